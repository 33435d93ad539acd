import { mayOwnKeys, type Principal } from "../access/principal.ts";
import { auditedWrite, type WriteDeps } from "../audit/audited-write.ts";
import { type AuditEvent, byPrincipal } from "../audit/log.ts";
import { GatewayError } from "../core/errors.ts";
import type { RequestContext } from "../http/route.ts";
import { holdOwner } from "../identity/owned-keys.ts";
import { isForeignKeyViolation, isUniqueViolation } from "../storage/errors.ts";
import { type ArgumentNames, assertWithin, ceilingsOf, type KeyLimits } from "./ceilings.ts";
import { type KeySource, makeKey, type Scope, type VirtualKey } from "./model.ts";
import { type GrantRequest, resolveGrants } from "./resolve-grants.ts";
import { createKeyStore } from "./store.ts";

/** What a caller may decide about a new key; form and range already checked. */
export interface KeyRequest {
  /** Null: the gateway chooses one. */
  readonly id: string | null;
  readonly name: string;
  readonly grants: readonly GrantRequest[];
  readonly scope: Scope;
  readonly ttlMs: number;
  /** Requests per minute. */
  readonly rateLimit: number;
  readonly maxConcurrency: number | null;
  /** Null for no limit; 1 for a one-shot key. */
  readonly maxUses: number | null;
  readonly agentId: string | null;
  readonly metadata: Readonly<Record<string, string>>;
}

/** What the way of asking decides: server-owned, never read from a body. */
export interface IssueContext {
  readonly source: KeySource;
  readonly request: RequestContext;
  readonly names: ArgumentNames;
}

export type KeyIssuer = ReturnType<typeof createKeyIssuer>;

export interface KeyWriteDeps extends WriteDeps {
  readonly limits: KeyLimits;
}

/**
 * The one way in which virtual keys come to be: over REST, over MCP and for service accounts. The key belongs to
 * the principal that asks, reaches only what that principal may use and stays below its ceilings. The secret is
 * in the result and nowhere else.
 *
 * @throws GatewayError `key.cannot_issue` to whoever cannot own keys, `ceiling.exceeded`, `service.not_found`,
 *   `auth.forbidden`, `resource.exists` for a taken id
 */
export function createKeyIssuer(deps: KeyWriteDeps) {
  return async function issueKey(
    principal: Principal,
    input: KeyRequest,
    context: IssueContext,
  ): Promise<{ key: VirtualKey; secret: string }> {
    if (!mayOwnKeys(principal)) throw new GatewayError("key.cannot_issue");
    assertWithin(ceilingsOf(principal, context.source, deps.limits), input, context.names);
    const { kind: ownerKind, uid: ownerUid, orgUid } = principal;
    const nowMs = deps.clock.now();

    try {
      return await auditedWrite(deps, async (trx) => {
        // A key must not appear after its owner's keys were revoked with the owner.
        if (!(await holdOwner(trx, { kind: ownerKind, uid: ownerUid, orgUid }))) {
          throw new GatewayError("auth.required");
        }
        const { ttlMs, grants: requests, ...rest } = input;
        const grants = await resolveGrants(trx, principal, requests, context.names);
        const order = { ...rest, grants, expiresAtMs: nowMs + ttlMs, orgUid, ownerKind, ownerUid };
        const made = makeKey({ ...order, source: context.source }, (secret) => deps.keyring.hashSecret(secret), nowMs);
        await createKeyStore(trx).insert(made.key);
        return {
          result: made,
          events: [issued(made.key, principal, context.request)],
          changes: [{ kind: "key", uid: made.key.uid, revoked: false }],
        };
      });
    } catch (error) {
      if (isUniqueViolation(error)) {
        const fields = [{ path: "id", message: "taken" }];
        throw new GatewayError("resource.exists", { message: "key already exists", fields });
      }
      // The service was deleted between our look and the commit.
      if (isForeignKeyViolation(error)) throw new GatewayError("service.not_found");
      throw error;
    }
  };
}

function issued(key: VirtualKey, principal: Principal, request: RequestContext): AuditEvent {
  return {
    ...byPrincipal(principal, request),
    action: "key.issue",
    target: { kind: "key", id: key.id },
    detail: keyFacts(key),
  };
}

/** What the trail keeps of a key: enough to tell later what it could do. */
export function keyFacts(key: VirtualKey): AuditEvent["detail"] & {} {
  return {
    source: key.source,
    grants: key.grants.map((grant) => (grant.kind === "service" ? grant.serviceId : `mcp:${grant.mcpServer}`)),
    scope: key.scope,
    expires_at: new Date(key.expiresAtMs).toISOString(),
    rate_limit: key.rateLimit,
    max_concurrency: key.maxConcurrency,
    max_uses: key.maxUses,
    agent_id: key.agentId,
  };
}
