import { z } from "zod";
import { keyStatus, type VirtualKey } from "../../../keys/model.ts";

/** What both `request_key` and `list_my_keys` say about a key. Never a secret, nor an internal id. */
export const KeyFacts = {
  key_id: z.string().describe("Public id of the key; not a secret. `revoke_key` takes it."),
  services: z.array(z.string()).describe("Names of the services the key reaches."),
  scope: z.enum(["read", "write"]).describe("`read` admits GET, HEAD and OPTIONS only."),
  expires_at: z.string().describe("RFC 3339, UTC."),
  rate_limit: z.int().describe("Requests per minute."),
  one_shot: z.boolean().describe("Whether the key works for a single request."),
  max_uses: z.int().nullable().describe("Requests the key is good for; null for no limit."),
  agent_id: z.string().nullable().describe("The agent the key was issued to, if one was named."),
};

export function keyFacts(key: VirtualKey) {
  return {
    key_id: key.id,
    services: key.grants.flatMap((grant) => (grant.kind === "service" ? [grant.serviceId] : [])),
    scope: key.scope,
    expires_at: new Date(key.expiresAtMs).toISOString(),
    rate_limit: key.rateLimit,
    one_shot: key.maxUses === 1,
    max_uses: key.maxUses,
    agent_id: key.agentId,
  };
}

/** The state of a key and where it came from, for lists. */
export const KeyState = {
  name: z.string(),
  status: z.enum(["active", "expired", "revoked", "used"]),
  source: z.enum(["api", "mcp", "service_account"]).describe("How the key was issued."),
  created_at: z.string().describe("RFC 3339, UTC."),
};

export function keyState(key: VirtualKey, nowMs: number) {
  return {
    name: key.name,
    status: keyStatus(key, nowMs),
    source: key.source,
    created_at: new Date(key.createdAtMs).toISOString(),
  };
}
