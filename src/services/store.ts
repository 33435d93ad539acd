import { type Kysely, sql } from "kysely";
import { z } from "zod";
import { parseJson } from "../storage/json-column.ts";
import { isAfter, type Page, type PageRequest, toPage } from "../storage/page.ts";
import type { Database } from "../storage/schema.ts";
import { DEFAULT_SETTINGS, DEFAULT_TIMEOUTS, type Service, type ServiceSettings } from "./model.ts";

export type ServiceStore = ReturnType<typeof createServiceStore>;

export interface ServiceFilter {
  /** Part of the id or description, ASCII case ignored. */
  readonly q?: string | undefined;
  /** Uid of the credential that the service uses. */
  readonly credentialUid?: string | undefined;
  readonly managedBy?: Service["managedBy"] | undefined;
  /** Only these uids: what a service account may see. */
  readonly uids?: readonly string[] | undefined;
  /** Leave out services that the configuration no longer declares. */
  readonly enabledOnly?: boolean | undefined;
}

/** Upstream APIs. Holds no rules. Pass a transaction as `db` to bind every method to it. */
export function createServiceStore(db: Kysely<Database>) {
  return {
    /** @throws a unique violation (storage/errors.ts) when the org has a service with this id */
    async insert(service: Service): Promise<void> {
      await db.insertInto("services").values(toRow(service)).execute();
    },

    async findByUid(uid: string): Promise<Service | null> {
      const row = await db.selectFrom("services").selectAll().where("uid", "=", uid).executeTakeFirst();
      return row ? fromRow(row) : null;
    },

    async findById(orgUid: string, id: string): Promise<Service | null> {
      const row = await db
        .selectFrom("services")
        .selectAll()
        .where("org_uid", "=", orgUid)
        .where("id", "=", id)
        .executeTakeFirst();
      return row ? fromRow(row) : null;
    },

    /**
     * Reads a service and holds its row until the transaction ends: whoever gives keys a grant for it, and whoever
     * deletes it, take turns. On both engines: an UPDATE locks.
     */
    async lock(orgUid: string, id: string): Promise<Service | null> {
      const row = await db
        .updateTable("services")
        .set((eb) => ({ managed_by: eb.ref("managed_by") }))
        .where("org_uid", "=", orgUid)
        .where("id", "=", id)
        .returningAll()
        .executeTakeFirst();
      return row ? fromRow(row) : null;
    },

    /** Newest first. */
    async list(orgUid: string, filter: ServiceFilter, page: PageRequest): Promise<Page<Service>> {
      let query = db.selectFrom("services").selectAll().where("org_uid", "=", orgUid);
      if (filter.credentialUid !== undefined) query = query.where("credential_uid", "=", filter.credentialUid);
      if (filter.managedBy !== undefined) query = query.where("managed_by", "=", filter.managedBy);
      if (filter.enabledOnly === true) query = query.where("disabled_at_ms", "is", null);
      if (filter.uids !== undefined) {
        if (filter.uids.length === 0) return { items: [], next: null };
        query = query.where("uid", "in", filter.uids);
      }
      const { q } = filter;
      if (q !== undefined) {
        const pattern = `%${q.toLowerCase().replace(/[\\%_]/g, "\\$&")}%`;
        query = query.where(
          sql<boolean>`(lower(id) like ${pattern} escape '\\' or lower(description) like ${pattern} escape '\\')`,
        );
      }
      const after = page.after;
      if (after) {
        query = query.where(isAfter(after));
      }
      const rows = await query
        .orderBy("created_at_ms", "desc")
        .orderBy("uid", "desc")
        .limit(page.limit + 1)
        .execute();
      return toPage(rows.map(fromRow), page.limit);
    },

    /** Every service that the configuration declared, in all organizations, also disabled ones. */
    async listManaged(): Promise<Service[]> {
      const rows = await db.selectFrom("services").selectAll().where("managed_by", "=", "config").execute();
      return rows.map(fromRow);
    },

    /** Replaces everything but uid, org, id and creation time. */
    async update(service: Service): Promise<void> {
      const { uid, org_uid: _org, id: _id, created_at_ms: _created, ...values } = toRow(service);
      await db.updateTable("services").set(values).where("uid", "=", uid).execute();
    },

    /** @throws a foreign-key violation (storage/errors.ts) while keys have grants for it */
    async delete(uid: string): Promise<void> {
      await db.deleteFrom("services").where("uid", "=", uid).execute();
    },
  };
}

const InjectionColumn = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("header"),
    name: z.string(),
    prefix: z.string().default(""),
    template: z.string().nullable().default(null),
  }),
  z.object({ kind: z.literal("bearer") }),
  z.object({ kind: z.literal("basic"), username: z.string().nullable().default(null) }),
  z.object({ kind: z.literal("query"), name: z.string() }),
]);

const TimeoutsColumn = z.object({
  connectMs: z.int().default(DEFAULT_TIMEOUTS.connectMs),
  headersMs: z.int().default(DEFAULT_TIMEOUTS.headersMs),
  idleMs: z.int().default(DEFAULT_TIMEOUTS.idleMs),
  totalMs: z.int().default(DEFAULT_TIMEOUTS.totalMs),
});

/** Settings as stored. A setting added by a later release has its default in older rows. */
const SettingsColumn: z.ZodType<ServiceSettings> = z.object({
  injection: InjectionColumn,
  methods: z.array(z.string()).nullable().default(null),
  paths: z.array(z.string()).nullable().default(null),
  timeouts: TimeoutsColumn.prefault({}),
  http2: z.enum(["auto", "off", "prior_knowledge"]).default(DEFAULT_SETTINGS.http2),
  allowAddresses: z.array(z.string()).default([]),
  allowHeaders: z.array(z.string()).nullable().default(null),
  forwardCookies: z.boolean().default(false),
  forwardClientAddress: z.boolean().default(false),
  allowKeyInQuery: z.boolean().default(false),
  credentialEcho: z.enum(["redact", "strict", "off"]).default(DEFAULT_SETTINGS.credentialEcho),
  identityAssertion: z.boolean().default(false),
  identityAudience: z.string().nullable().default(null),
});

const ManagedBy = z.enum(["api", "config"]);

function toRow(service: Service): Database["services"] {
  return {
    uid: service.uid,
    org_uid: service.orgUid,
    id: service.id,
    description: service.description,
    origin: service.origin,
    base_path: service.basePath,
    credential_uid: service.credentialUid,
    settings: JSON.stringify(service.settings),
    managed_by: service.managedBy,
    disabled_at_ms: service.disabledAtMs,
    created_at_ms: service.createdAtMs,
    updated_at_ms: service.updatedAtMs,
  };
}

function fromRow(row: Database["services"]): Service {
  return {
    uid: row.uid,
    orgUid: row.org_uid,
    id: row.id,
    description: row.description,
    origin: row.origin,
    basePath: row.base_path,
    credentialUid: row.credential_uid,
    settings: parseJson(SettingsColumn, row.settings, "services.settings"),
    managedBy: ManagedBy.parse(row.managed_by),
    disabledAtMs: row.disabled_at_ms,
    createdAtMs: row.created_at_ms,
    updatedAtMs: row.updated_at_ms,
  };
}
