import type { z } from "zod";
import { parseDurationMs } from "../core/duration.ts";
import { GatewayError } from "../core/errors.ts";
import { toIso, toIsoOrNull } from "../http/fields.ts";
import type { Db } from "../storage/open-database.ts";
import type { ArgumentNames } from "./ceilings.ts";
import type { KeyRequest } from "./issue.ts";
import { keyStatus, type VirtualKey } from "./model.ts";
import type { GrantRequest } from "./resolve-grants.ts";
import type { KeyBody, KeyChange, NewKey } from "./schemas.ts";
import type { KeyUpdate } from "./write.ts";

type NewKeyInput = z.output<typeof NewKey>;
type KeyChangeInput = z.output<typeof KeyChange>;

const DEFAULT_TTL_MS = 3_600_000;

/** How a REST body names what ceilings and services are checked for. */
export function argumentNames(body: NewKeyInput | KeyChangeInput): ArgumentNames {
  return {
    ttl: (["expires_at", "ttl_seconds"] as const).find((name) => body[name] !== undefined) ?? "ttl",
    rateLimit: "rate_limit",
    scope: "scope",
    target(index) {
      const grant = body.grants?.[index];
      if (!grant) return "target";
      return `grants.${index}.${"service" in grant ? "service" : "mcp_server"}`;
    },
  };
}

/** @throws GatewayError `request.invalid` for a time that has passed */
export function toRequest(body: NewKeyInput, nowMs: number): KeyRequest {
  return {
    id: body.id ?? null,
    name: body.name,
    grants: toGrantRequests(body) ?? [],
    scope: body.scope,
    ttlMs: toTtlMs(body, nowMs) ?? DEFAULT_TTL_MS,
    rateLimit: body.rate_limit,
    maxConcurrency: body.max_concurrency,
    maxUses: body.one_shot ? 1 : (body.max_uses ?? null),
    agentId: body.agent_id,
    metadata: body.metadata,
  };
}

/** @throws GatewayError `request.invalid` for a time that has passed */
export function toUpdate(body: KeyChangeInput, nowMs: number): KeyUpdate {
  const grants = toGrantRequests(body);
  const ttlMs = toTtlMs(body, nowMs);
  const maxUses = body.one_shot === true ? 1 : body.max_uses;
  return {
    ...(body.name === undefined ? {} : { name: body.name }),
    ...(body.scope === undefined ? {} : { scope: body.scope }),
    ...(body.rate_limit === undefined ? {} : { rateLimit: body.rate_limit }),
    ...(body.max_concurrency === undefined ? {} : { maxConcurrency: body.max_concurrency }),
    ...(maxUses === undefined ? {} : { maxUses }),
    ...(body.agent_id === undefined ? {} : { agentId: body.agent_id }),
    ...(body.metadata === undefined ? {} : { metadata: body.metadata }),
    ...(ttlMs === undefined ? {} : { ttlMs }),
    ...(grants === undefined ? {} : { grants }),
  };
}

function toGrantRequests(body: NewKeyInput | KeyChangeInput): GrantRequest[] | undefined {
  if (body.target !== undefined) return [{ kind: "service", service: body.target, methods: null, paths: null }];
  return body.grants?.map((grant) =>
    "service" in grant
      ? { kind: "service", ...grant }
      : {
          kind: "mcp_server",
          mcpServer: grant.mcp_server,
          tools: grant.tools,
          prompts: grant.prompts,
          resources: grant.resources,
          arguments: grant.arguments,
        },
  );
}

function toTtlMs(body: NewKeyInput | KeyChangeInput, nowMs: number): number | undefined {
  if (body.ttl_seconds !== undefined) return body.ttl_seconds * 1_000;
  if (body.ttl !== undefined) return parseDurationMs(body.ttl) ?? undefined;
  if (body.expires_at === undefined) return undefined;
  const ttlMs = Date.parse(body.expires_at) - nowMs;
  if (ttlMs > 0) return ttlMs;
  const message = "expires_at must be in the future";
  throw new GatewayError("request.invalid", { message, fields: [{ path: "expires_at", message }] });
}

/** @param ownerId public id of the owner */
export function toBody(key: VirtualKey, ownerId: string, nowMs: number): KeyBody {
  const [only, ...others] = key.grants;
  const graceMs = key.previousExpiresAtMs;
  return {
    id: key.id,
    name: key.name,
    target: only?.kind === "service" && others.length === 0 ? only.serviceId : null,
    grants: key.grants.map((grant) =>
      grant.kind === "service"
        ? { service: grant.serviceId, methods: copy(grant.methods), paths: copy(grant.paths) }
        : {
            mcp_server: grant.mcpServer,
            tools: copy(grant.tools),
            prompts: copy(grant.prompts),
            resources: copy(grant.resources),
            arguments: grant.arguments.map((rule) => ({ ...rule, allow: [...rule.allow] })),
          },
    ),
    scope: key.scope,
    expires_at: toIso(key.expiresAtMs),
    rate_limit: key.rateLimit,
    max_concurrency: key.maxConcurrency,
    max_uses: key.maxUses,
    one_shot: key.maxUses === 1,
    uses: key.uses,
    used: key.maxUses !== null && key.uses >= key.maxUses,
    status: keyStatus(key, nowMs),
    agent_id: key.agentId,
    source: key.source,
    owner: { kind: key.ownerKind, id: ownerId },
    metadata: { ...key.metadata },
    key_hint: key.hint,
    previous_secret_expires_at: graceMs !== null && graceMs > nowMs ? toIso(graceMs) : null,
    created_at: toIso(key.createdAtMs),
    updated_at: toIso(key.updatedAtMs),
    revoked_at: toIsoOrNull(key.revokedAtMs),
  };
}

/** Public ids of the owners of keys: a user's uid is public, a service account's is looked up. */
export async function ownerNames(db: Db, keys: readonly VirtualKey[]): Promise<(key: VirtualKey) => string> {
  const uids = [...new Set(keys.filter((key) => key.ownerKind === "service_account").map((key) => key.ownerUid))];
  const rows =
    uids.length === 0
      ? []
      : await db.selectFrom("service_accounts").select(["uid", "id"]).where("uid", "in", uids).execute();
  const names = new Map(rows.map(({ uid, id }) => [uid, id]));
  return (key) => names.get(key.ownerUid) ?? key.ownerUid;
}

/** Uid of the owner that a public id names in an org. */
export async function ownerUidOf(db: Db, orgUid: string, id: string): Promise<string> {
  const account = await db
    .selectFrom("service_accounts")
    .select("uid")
    .where("org_uid", "=", orgUid)
    .where("id", "=", id)
    .executeTakeFirst();
  return account?.uid ?? id;
}

function copy(list: readonly string[] | null): string[] | null {
  return list === null ? null : [...list];
}
