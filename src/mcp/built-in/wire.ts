import type { Principal } from "../../access/principal.ts";
import { auditedWrite } from "../../audit/audited-write.ts";
import { byPrincipal } from "../../audit/log.ts";
import { type ArgumentNames, ceilingsOf, type KeyLimits } from "../../keys/ceilings.ts";
import { createKeyIssuer, type KeyWriteDeps } from "../../keys/issue.ts";
import type { Scope, VirtualKey } from "../../keys/model.ts";
import { createKeyStore } from "../../keys/store.ts";
import { usableServices } from "../../services/access.ts";
import { createServiceStore } from "../../services/store.ts";
import {
  type Caller,
  DEFAULT_RATE_LIMIT,
  DEFAULT_TTL_SECONDS,
  type KeyRequest,
  type McpDeps,
  type ServiceSummary,
} from "../types.ts";

/** What the gateway's own tools are made of. */
export interface BuiltInParts {
  readonly version: string;
  readonly keyWrites: KeyWriteDeps;
}

/** How `request_key` names what the issuer checks. */
const ARGUMENTS: ArgumentNames = {
  ttl: "ttl_seconds",
  rateLimit: "rate_limit",
  scope: "scope",
  target: () => "service_name",
};

/** A page of a store is at most this long. */
const PAGE = 200;

/** The tools over the gateway's own stores and its one way to issue a key. */
export function wireBuiltIn(parts: BuiltInParts): McpDeps {
  const { keyWrites } = parts;
  const { db, clock } = keyWrites;
  const keys = createKeyStore(db);
  const issueKey = createKeyIssuer(keyWrites);

  const findOwn = async (caller: Caller, keyId: string): Promise<VirtualKey | null> => {
    const key = await keys.findById(caller.principal.orgUid, keyId);
    return key && isOwn(caller, key) ? key : null;
  };

  return {
    version: parts.version,
    now: () => clock.now(),

    async listServices(principal) {
      const scopes = await scopesOf(principal, keyWrites);
      return listUsable(principal, scopes, keyWrites);
    },

    issueKey: (caller, request) =>
      issueKey(caller.principal, toOrder(caller, request, keyWrites.limits), {
        source: "mcp",
        request: caller.context,
        names: ARGUMENTS,
      }),

    async listKeys(caller, limit) {
      const { principal, agentId } = caller;
      if (principal.kind === "virtual_key") {
        const self = await keys.findByUid(principal.uid);
        return self && isOwn(caller, self) ? [self] : [];
      }
      const filter = { ownerUid: principal.uid, ...(agentId !== null && { agentId }) };
      const page = await keys.list(
        principal.orgUid,
        filter,
        { limit: Math.min(limit, PAGE), after: null },
        clock.now(),
      );
      return page.items;
    },

    async revokeKey(caller, keyId) {
      const key = await findOwn(caller, keyId);
      if (!key) return false;
      await auditedWrite(keyWrites, async (trx) => {
        const ended = await createKeyStore(trx).revoke(key.uid, clock.now());
        const event = {
          ...byPrincipal(caller.principal, caller.context),
          action: "key.revoke",
          target: { kind: "key", id: key.id },
        };
        return {
          result: undefined,
          events: ended ? [event] : [],
          changes: [{ kind: "key", uid: key.uid, revoked: true }],
        };
      });
      return true;
    },
  };
}

/**
 * Own, not managed: an agent with an admin's credential does not see the keys of others here. A named agent sees its own among
 * its principal's; a virtual key sees itself, whatever agent it names.
 */
function isOwn({ principal, agentId }: Caller, key: VirtualKey): boolean {
  if (principal.kind === "virtual_key") return key.uid === principal.uid;
  if (agentId !== null && key.agentId !== agentId) return false;
  return key.orgUid === principal.orgUid && key.ownerUid === principal.uid;
}

function toOrder({ principal, agentId }: Caller, request: KeyRequest, limits: KeyLimits) {
  const ceilings = ceilingsOf(principal, "mcp", limits);
  const { serviceName, ttlSeconds, rateLimit, scope, maxUses } = request;
  return {
    id: null,
    name: "",
    grants: [{ kind: "service" as const, service: serviceName, methods: null, paths: null }],
    scope,
    ttlMs: ttlSeconds === null ? Math.min(DEFAULT_TTL_SECONDS * 1_000, ceilings.ttlMs) : ttlSeconds * 1_000,
    rateLimit: rateLimit ?? Math.min(DEFAULT_RATE_LIMIT, ceilings.rateLimit),
    maxConcurrency: null,
    maxUses,
    agentId,
    metadata: {},
  };
}

async function listUsable(principal: Principal, scopes: Scope[], { db }: KeyWriteDeps): Promise<ServiceSummary[]> {
  const store = createServiceStore(db);
  const usable = usableServices(principal);
  const filter = { enabledOnly: true, ...(usable !== "all" && { uids: usable }) };
  const found: ServiceSummary[] = [];
  let after = null;
  do {
    const page = await store.list(principal.orgUid, filter, { limit: PAGE, after });
    found.push(...page.items.map(({ id, description }) => ({ name: id, description, scopes })));
    after = page.next;
  } while (after !== null);
  return found.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

async function scopesOf(principal: Principal, { db, limits }: KeyWriteDeps): Promise<Scope[]> {
  const most =
    principal.kind === "virtual_key"
      ? (await createKeyStore(db).findByUid(principal.uid))?.scope
      : ceilingsOf(principal, "mcp", limits).scope;
  return most === "write" ? ["read", "write"] : ["read"];
}
