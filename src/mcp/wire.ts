import type { Principal, VirtualKeyPrincipal } from "../access/principal.ts";
import { auditedWrite } from "../audit/audited-write.ts";
import { byPrincipal } from "../audit/log.ts";
import { GatewayError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import { type AuthenticateDeps, authenticate } from "../gate/authenticate.ts";
import type { LiveKey } from "../gate/key-cache.ts";
import type { ClientAddressOf } from "../http/client-address.ts";
import type { RequestContext } from "../http/route.ts";
import { type Authenticator, bearerOf } from "../identity/authenticate.ts";
import type { KeyWriteDeps } from "../keys/issue.ts";
import { ceilingsOf } from "../keys/ceilings.ts";
import { createKeyIssuer } from "../keys/issue.ts";
import { createKeyStore } from "../keys/store.ts";
import { revokeKey } from "../keys/write.ts";
import { usableServices } from "../services/access.ts";
import { createServiceStore } from "../services/store.ts";
import type { McpDeps, ServiceSummary } from "./types.ts";

export interface McpParts {
  readonly version: string;
  readonly log: Logger;
  readonly clientAddress: ClientAddressOf;
  readonly publicUrl: string | null;
  readonly authenticator: Authenticator;
  readonly gate: AuthenticateDeps;
  readonly keyWrites: KeyWriteDeps;
  orgIdOf(orgUid: string): Promise<string>;
}

/** Services shown to one agent. An organization with more should name them to its agents itself. */
const MAX_LISTED = 500;

const names = {
  ttl: "ttl_seconds",
  rateLimit: "rate_limit",
  scope: "scope",
  target: () => "service_name",
};

/** Joins the MCP endpoint to the stores and rules of the API plane: what a caller may do is decided there. */
export function wireMcp(parts: McpParts): McpDeps {
  const { db, clock } = parts.keyWrites;
  const keys = createKeyStore(db);
  const services = createServiceStore(db);
  const issue = createKeyIssuer(parts.keyWrites);

  return {
    version: parts.version,
    log: parts.log,
    clientAddress: parts.clientAddress,
    publicUrl: parts.publicUrl,
    now: () => clock.now(),
    authenticate: (request) => identify(parts, request),

    async listServices(principal) {
      const usable = usableServices(principal);
      const scopes = scopesOf(parts, principal);
      const filter = { enabledOnly: true, ...(usable === "all" ? {} : { uids: usable }) };
      const { items } = await services.list(principal.orgUid, filter, { limit: MAX_LISTED, after: null });
      return items.map((service): ServiceSummary => ({ name: service.id, description: service.description, scopes }));
    },

    issueKey: ({ principal, agentId, context }, request) =>
      issue(
        principal,
        {
          id: null,
          name: "",
          grants: [{ kind: "service", service: request.serviceName, methods: null, paths: null }],
          scope: request.scope,
          ttlMs: request.ttlSeconds * 1_000,
          rateLimit: request.rateLimit,
          maxConcurrency: null,
          maxUses: request.maxUses,
          agentId,
          metadata: {},
        },
        { source: "mcp", request: context, names },
      ),

    async listKeys({ principal, agentId }, limit) {
      if (principal.kind === "virtual_key") {
        const own = await keys.findByUid(principal.uid);
        return own ? [own] : [];
      }
      const filter = { ownerUid: principal.uid, ...(agentId === null ? {} : { agentId }) };
      return (await keys.list(principal.orgUid, filter, { limit, after: null }, clock.now())).items;
    },

    async revokeKey({ principal, agentId, context }, keyId) {
      const key = await keys.findById(principal.orgUid, keyId);
      const isOwn =
        key !== null &&
        (principal.kind === "virtual_key"
          ? key.uid === principal.uid
          : key.ownerUid === principal.uid && (agentId === null || key.agentId === agentId));
      if (!isOwn) return false;
      if (principal.kind === "virtual_key") await revokeSelf(parts.keyWrites, principal, key.uid, context);
      else await revokeKey(parts.keyWrites, { principal, request: context }, keyId);
      return true;
    },
  };
}

/** Users and service accounts by the management authenticator; virtual keys by the proxy's own gate. */
async function identify(
  parts: McpParts,
  request: { context: RequestContext; orgId: string | null },
): Promise<Principal> {
  const { context } = request;
  const presented = [
    bearerOf(context.header("authorization")),
    context.header("x-api-key"),
    context.header("x-virtual-key"),
  ].filter((secret) => secret !== undefined && secret !== "");
  const virtual = presented.find((secret) => secret?.startsWith("bfk_"));
  if (virtual === undefined) return parts.authenticator.authenticate(request);
  if (presented.some((secret) => secret !== virtual)) throw new GatewayError("auth.conflict");
  const live = await authenticate(virtual, context.clientAddress, parts.gate);
  return toPrincipal(live, await parts.orgIdOf(live.key.orgUid));
}

function toPrincipal({ key, services }: LiveKey, orgId: string): VirtualKeyPrincipal {
  return {
    kind: "virtual_key",
    uid: key.uid,
    id: key.id,
    orgUid: key.orgUid,
    orgId,
    services: [...services.values()].map((grant) => grant.serviceUid),
  };
}

function scopesOf(parts: McpParts, principal: Principal): readonly ("read" | "write")[] {
  if (principal.kind === "virtual_key") return [];
  return ceilingsOf(principal, "mcp", parts.keyWrites.limits).scope === "write" ? ["read", "write"] : ["read"];
}

/** The one thing a virtual key may change: it ends itself. */
async function revokeSelf(
  deps: KeyWriteDeps,
  principal: VirtualKeyPrincipal,
  keyUid: string,
  request: RequestContext,
): Promise<void> {
  await auditedWrite(deps, async (trx) => {
    const ended = await createKeyStore(trx).revoke(keyUid, deps.clock.now());
    const event = {
      ...byPrincipal(principal, request),
      action: "key.revoke",
      target: { kind: "key", id: principal.id },
    };
    return {
      result: undefined,
      events: ended ? [event] : [],
      changes: [{ kind: "key", uid: keyUid, revoked: true }],
    };
  });
}
