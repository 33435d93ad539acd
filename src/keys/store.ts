import { type ExpressionBuilder, type Kysely, type Selectable, sql } from "kysely";
import { z } from "zod";
import { parseJson, parseJsonOrNull } from "../storage/json-column.ts";
import { isAfter, type Page, type PageRequest, toPage } from "../storage/page.ts";
import type { Database } from "../storage/schema.ts";
import type { Grant, KeySource, KeyStatus, Scope, VirtualKey } from "./model.ts";

export type KeyStore = ReturnType<typeof createKeyStore>;

export interface KeyFilter {
  readonly source?: KeySource | undefined;
  /** Public id of a service that the key is granted. */
  readonly target?: string | undefined;
  readonly agentId?: string | undefined;
  readonly ownerUid?: string | undefined;
  readonly status?: KeyStatus | undefined;
  /** Part of the id or name, ASCII case ignored. */
  readonly q?: string | undefined;
}

/** What {@link KeyStore.update} may change. Secrets, source, owner and uses have their own methods or none. */
export type KeyChanges = Partial<
  Pick<VirtualKey, "name" | "scope" | "expiresAtMs" | "rateLimit" | "maxConcurrency" | "maxUses" | "agentId">
> & { readonly metadata?: Readonly<Record<string, string>>; readonly grants?: readonly Grant[] };

const Texts = z.array(z.string());
const ArgumentRules = z.array(
  z.object({
    tool: z.string(),
    argument: z.string(),
    allow: z.array(z.union([z.string(), z.number(), z.boolean()])),
  }),
);
const Metadata = z.record(z.string(), z.string());

/**
 * Virtual keys with their grants. Holds no rules. Pass a transaction as `db` to bind every method to it;
 * `insert` and `update` write several rows and must be called on one.
 */
export function createKeyStore(db: Kysely<Database>) {
  const withGrants = async (rows: readonly Selectable<Database["virtual_keys"]>[]): Promise<VirtualKey[]> => {
    if (rows.length === 0) return [];
    const uids = rows.map((row) => row.uid);
    const grants = await db
      .selectFrom("grants")
      .leftJoin("services", "services.uid", "grants.service_uid")
      .selectAll("grants")
      .select("services.id as service_id")
      .where("grants.key_uid", "in", uids)
      .orderBy("grants.position")
      .execute();
    return rows.map((row) => fromRow(row, grants.filter((grant) => grant.key_uid === row.uid).map(toGrant)));
  };
  const one = async (rows: readonly Selectable<Database["virtual_keys"]>[]) => (await withGrants(rows))[0] ?? null;

  return {
    /** @throws a unique violation (storage/errors.ts) when the org has a key with this id */
    async insert(key: VirtualKey): Promise<void> {
      await db.insertInto("virtual_keys").values(toRow(key)).execute();
      await insertGrants(db, key);
    },

    /**
     * The key that this secret hash belongs to, whatever the key's state (revoked, expired, used up), or null.
     * A previous secret counts until its grace ends; a caller that remembers the answer must compare
     * `previousSecretHash` with the hash and forget at `previousExpiresAtMs`. Two reads on unique indexes, one
     * when nothing is found.
     */
    async findBySecretHash(hash: string, nowMs: number): Promise<VirtualKey | null> {
      const row = await db
        .selectFrom("virtual_keys")
        .selectAll()
        .where((eb) => eb.or([eb("secret_hash", "=", hash), eb("previous_secret_hash", "=", hash)]))
        .executeTakeFirst();
      if (!row || (row.secret_hash !== hash && (row.previous_expires_at_ms ?? 0) <= nowMs)) return null;
      return one([row]);
    },

    async findByUid(uid: string): Promise<VirtualKey | null> {
      return one(await db.selectFrom("virtual_keys").selectAll().where("uid", "=", uid).execute());
    },

    async findById(orgUid: string, id: string): Promise<VirtualKey | null> {
      const rows = await db
        .selectFrom("virtual_keys")
        .selectAll()
        .where("org_uid", "=", orgUid)
        .where("id", "=", id)
        .execute();
      return one(rows);
    },

    /** Newest first. @param nowMs what `status` is judged by */
    async list(orgUid: string, filter: KeyFilter, page: PageRequest, nowMs: number): Promise<Page<VirtualKey>> {
      let query = db.selectFrom("virtual_keys").selectAll().where("org_uid", "=", orgUid);
      if (filter.source !== undefined) query = query.where("source", "=", filter.source);
      if (filter.agentId !== undefined) query = query.where("agent_id", "=", filter.agentId);
      if (filter.ownerUid !== undefined) query = query.where("owner_uid", "=", filter.ownerUid);
      const { target, status, q } = filter;
      if (target !== undefined) query = query.where((eb) => grantsService(eb, target));
      if (status !== undefined) query = query.where((eb) => hasStatus(eb, status, nowMs));
      if (q !== undefined) query = query.where((eb) => eb.or([containsText("id", q), containsText("name", q)]));
      const after = page.after;
      if (after) {
        query = query.where(isAfter(after));
      }
      const rows = await query
        .orderBy("created_at_ms", "desc")
        .orderBy("uid", "desc")
        .limit(page.limit + 1)
        .execute();
      return toPage(await withGrants(rows), page.limit);
    },

    /** True if the key was live until now. Revoking a revoked key changes nothing. */
    async revoke(uid: string, atMs: number): Promise<boolean> {
      const result = await db
        .updateTable("virtual_keys")
        .set({ revoked_at_ms: atMs, updated_at_ms: atMs })
        .where("uid", "=", uid)
        .where("revoked_at_ms", "is", null)
        .executeTakeFirst();
      return result.numUpdatedRows === 1n;
    },

    /** Those of these keys that are revoked or no longer exist. */
    async revokedAmong(uids: readonly string[]): Promise<string[]> {
      const gone = new Set(uids);
      for (let at = 0; at < uids.length; at += 500) {
        const live = await db
          .selectFrom("virtual_keys")
          .select("uid")
          .where("uid", "in", uids.slice(at, at + 500))
          .where("revoked_at_ms", "is", null)
          .execute();
        for (const { uid } of live) gone.delete(uid);
      }
      return [...gone];
    },

    /** Revokes all keys that are granted a service, also beside others, and returns those that were not revoked before. */
    async revokeByService(serviceUid: string, atMs: number): Promise<string[]> {
      const rows = await db
        .updateTable("virtual_keys")
        .set({ revoked_at_ms: atMs, updated_at_ms: atMs })
        .where("revoked_at_ms", "is", null)
        .where("uid", "in", (eb) => eb.selectFrom("grants").select("key_uid").where("service_uid", "=", serviceUid))
        .returning("uid")
        .execute();
      return rows.map((row) => row.uid);
    },

    /** How many keys that are granted a service could still be used. */
    async countLiveByService(serviceUid: string, nowMs: number): Promise<number> {
      const row = await db
        .selectFrom("virtual_keys")
        .select((eb) => eb.fn.countAll<number>().as("count"))
        .where("revoked_at_ms", "is", null)
        .where("expires_at_ms", ">", nowMs)
        .where("uid", "in", (eb) => eb.selectFrom("grants").select("key_uid").where("service_uid", "=", serviceUid))
        .executeTakeFirstOrThrow();
      return Number(row.count);
    },

    /** Takes a service out of all keys; the keys that have it must be revoked first. */
    async dropGrantsOf(serviceUid: string): Promise<void> {
      await db.deleteFrom("grants").where("service_uid", "=", serviceUid).execute();
    },

    /** Replaces what is given, grants as a whole. */
    async update(key: Pick<VirtualKey, "uid" | "orgUid">, changes: KeyChanges, atMs: number): Promise<void> {
      const { grants, metadata, ...rest } = changes;
      await db
        .updateTable("virtual_keys")
        .set({
          ...(rest.name === undefined ? {} : { name: rest.name }),
          ...(rest.scope === undefined ? {} : { scope: rest.scope }),
          ...(rest.expiresAtMs === undefined ? {} : { expires_at_ms: rest.expiresAtMs }),
          ...(rest.rateLimit === undefined ? {} : { rate_limit: rest.rateLimit }),
          ...(rest.maxConcurrency === undefined ? {} : { max_concurrency: rest.maxConcurrency }),
          ...(rest.maxUses === undefined ? {} : { max_uses: rest.maxUses }),
          ...(rest.agentId === undefined ? {} : { agent_id: rest.agentId }),
          ...(metadata === undefined ? {} : { metadata: JSON.stringify(metadata) }),
          updated_at_ms: atMs,
        })
        .where("uid", "=", key.uid)
        .execute();
      if (grants === undefined) return;
      await db.deleteFrom("grants").where("key_uid", "=", key.uid).execute();
      await insertGrants(db, { ...key, grants });
    },

    /**
     * Gives a key a new secret. The one before stays valid until `previousUntilMs`, the one before that ends
     * now. False if the key was revoked or rotated in between: nothing is written then.
     */
    async rotate(
      key: Pick<VirtualKey, "uid" | "secretHash">,
      next: { secretHash: string; hint: string; previousUntilMs: number },
      atMs: number,
    ): Promise<boolean> {
      const result = await db
        .updateTable("virtual_keys")
        .set({
          secret_hash: next.secretHash,
          hint: next.hint,
          previous_secret_hash: key.secretHash,
          previous_expires_at_ms: next.previousUntilMs,
          updated_at_ms: atMs,
        })
        .where("uid", "=", key.uid)
        .where("secret_hash", "=", key.secretHash)
        .where("revoked_at_ms", "is", null)
        .executeTakeFirst();
      return result.numUpdatedRows === 1n;
    },

    /**
     * Takes one use of a key. True for at most `maxUses` callers ever, however many ask at once on however
     * many instances: the check and the count are one statement. False also for a revoked or unknown key.
     */
    async claimUse(uid: string): Promise<boolean> {
      const result = await db
        .updateTable("virtual_keys")
        .set((eb) => ({ uses: eb("uses", "+", 1) }))
        .where("uid", "=", uid)
        .where("revoked_at_ms", "is", null)
        .where((eb) => eb.or([eb("max_uses", "is", null), eb("uses", "<", eb.ref("max_uses"))]))
        .executeTakeFirst();
      return result.numUpdatedRows === 1n;
    },
  };
}

type KeyExpression = ExpressionBuilder<Database, "virtual_keys">;

function grantsService(eb: KeyExpression, serviceId: string) {
  return eb.exists(
    eb
      .selectFrom("grants")
      .innerJoin("services", "services.uid", "grants.service_uid")
      .select("grants.key_uid")
      .whereRef("grants.key_uid", "=", "virtual_keys.uid")
      .where("services.id", "=", serviceId),
  );
}

/** The same order as keyStatus in model.ts. */
function hasStatus(eb: KeyExpression, status: KeyStatus, nowMs: number) {
  const live = eb("revoked_at_ms", "is", null);
  const unexpired = eb("expires_at_ms", ">", nowMs);
  const spent = eb.and([eb("max_uses", "is not", null), eb("uses", ">=", eb.ref("max_uses"))]);
  switch (status) {
    case "revoked":
      return eb("revoked_at_ms", "is not", null);
    case "expired":
      return eb.and([live, eb("expires_at_ms", "<=", nowMs)]);
    case "used":
      return eb.and([live, unexpired, spent]);
    case "active":
      return eb.and([live, unexpired, eb.not(spent)]);
  }
}

function containsText(column: "id" | "name", part: string) {
  const pattern = `%${part.toLowerCase().replace(/[\\%_]/g, "\\$&")}%`;
  return sql<boolean>`lower(${sql.ref(column)}) like ${pattern} escape '\\'`;
}

async function insertGrants(db: Kysely<Database>, key: Pick<VirtualKey, "uid" | "orgUid" | "grants">): Promise<void> {
  if (key.grants.length === 0) return;
  await db
    .insertInto("grants")
    .values(key.grants.map((grant, position) => grantRow(key, grant, position)))
    .execute();
}

function grantRow(key: Pick<VirtualKey, "uid" | "orgUid">, grant: Grant, position: number): Database["grants"] {
  const text = (list: readonly string[] | null) => (list === null ? null : JSON.stringify(list));
  const isService = grant.kind === "service";
  return {
    key_uid: key.uid,
    org_uid: key.orgUid,
    position,
    kind: grant.kind,
    service_uid: isService ? grant.serviceUid : null,
    mcp_server: isService ? null : grant.mcpServer,
    methods: isService ? text(grant.methods) : null,
    paths: isService ? text(grant.paths) : null,
    tools: isService ? null : text(grant.tools),
    prompts: isService ? null : text(grant.prompts),
    resources: isService ? null : text(grant.resources),
    arguments: isService || grant.arguments.length === 0 ? null : JSON.stringify(grant.arguments),
  };
}

function toGrant(row: Database["grants"] & { service_id: string | null }): Grant {
  if (row.kind === "service" && row.service_uid !== null) {
    return {
      kind: "service",
      serviceUid: row.service_uid,
      serviceId: row.service_id ?? "",
      methods: parseJsonOrNull(Texts, row.methods, "grants.methods"),
      paths: parseJsonOrNull(Texts, row.paths, "grants.paths"),
    };
  }
  if (row.kind === "mcp_server" && row.mcp_server !== null) {
    return {
      kind: "mcp_server",
      mcpServer: row.mcp_server,
      tools: parseJsonOrNull(Texts, row.tools, "grants.tools"),
      prompts: parseJsonOrNull(Texts, row.prompts, "grants.prompts"),
      resources: parseJsonOrNull(Texts, row.resources, "grants.resources"),
      arguments: parseJsonOrNull(ArgumentRules, row.arguments, "grants.arguments") ?? [],
    };
  }
  throw new Error(`the database holds an unreadable grant of key ${row.key_uid}`);
}

function toRow(key: VirtualKey) {
  return {
    uid: key.uid,
    org_uid: key.orgUid,
    id: key.id,
    name: key.name,
    secret_hash: key.secretHash,
    hint: key.hint,
    previous_secret_hash: key.previousSecretHash,
    previous_expires_at_ms: key.previousExpiresAtMs,
    scope: key.scope,
    expires_at_ms: key.expiresAtMs,
    rate_limit: key.rateLimit,
    max_concurrency: key.maxConcurrency,
    max_uses: key.maxUses,
    uses: key.uses,
    agent_id: key.agentId,
    source: key.source,
    owner_kind: key.ownerKind,
    owner_uid: key.ownerUid,
    metadata: JSON.stringify(key.metadata),
    created_at_ms: key.createdAtMs,
    updated_at_ms: key.updatedAtMs,
    revoked_at_ms: key.revokedAtMs,
  };
}

const SCOPE = z.enum(["read", "write"]) satisfies z.ZodType<Scope>;
const SOURCE = z.enum(["api", "mcp", "service_account"]) satisfies z.ZodType<KeySource>;
const OWNER = z.enum(["user", "service_account"]);

function fromRow(row: Selectable<Database["virtual_keys"]>, grants: readonly Grant[]): VirtualKey {
  return {
    uid: row.uid,
    orgUid: row.org_uid,
    id: row.id,
    name: row.name,
    secretHash: row.secret_hash,
    hint: row.hint,
    previousSecretHash: row.previous_secret_hash,
    previousExpiresAtMs: row.previous_expires_at_ms,
    scope: SCOPE.parse(row.scope),
    expiresAtMs: row.expires_at_ms,
    rateLimit: row.rate_limit,
    maxConcurrency: row.max_concurrency,
    maxUses: row.max_uses,
    uses: row.uses,
    agentId: row.agent_id,
    source: SOURCE.parse(row.source),
    ownerKind: OWNER.parse(row.owner_kind),
    ownerUid: row.owner_uid,
    metadata: parseJson(Metadata, row.metadata, "virtual_keys.metadata"),
    grants,
    createdAtMs: row.created_at_ms,
    updatedAtMs: row.updated_at_ms,
    revokedAtMs: row.revoked_at_ms,
  };
}
