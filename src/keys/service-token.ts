import type { IssueServiceToken } from "../identity/service-token-route.ts";
import type { ArgumentNames } from "./ceilings.ts";
import type { KeyIssuer } from "./issue.ts";

const names: ArgumentNames = { ttl: "ttl_seconds", rateLimit: "rate_limit", scope: "scope", target: () => "service" };

/** `POST /v1/service-token`, which identity/ serves, issues through the one issuer like everything else. */
export function issueServiceTokenWith(issueKey: KeyIssuer): IssueServiceToken {
  return async function issueServiceToken({ account, service, ttlSeconds, rateLimit, scope }, request) {
    const { key, secret } = await issueKey(
      account,
      {
        id: null,
        name: "",
        grants: [{ kind: "service", service: service.id, methods: null, paths: null }],
        scope,
        ttlMs: ttlSeconds * 1_000,
        rateLimit,
        maxConcurrency: null,
        maxUses: null,
        agentId: null,
        metadata: {},
      },
      { source: "service_account", request, names },
    );
    return { id: key.id, secret, expiresAtMs: key.expiresAtMs };
  };
}
