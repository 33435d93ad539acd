import type { Selectable } from "kysely";
import { z } from "zod";
import type { Db } from "../storage/open-database.ts";
import { isAfter, type Page, type PageRequest, toPage } from "../storage/page.ts";
import type { Database } from "../storage/schema.ts";
import type { ServiceAccount } from "./model.ts";

type Services = ServiceAccount["services"];

/** Pass a transaction as `db` to bind every method to it. */
export function createServiceAccountStore(db: Db) {
  async function withServices(row: Selectable<Database["service_accounts"]>): Promise<ServiceAccount> {
    const services: Services =
      row.all_services === 1
        ? "all"
        : await db
            .selectFrom("service_account_services as allowed")
            .innerJoin("services", "services.uid", "allowed.service_uid")
            .where("allowed.service_account_uid", "=", row.uid)
            .select(["services.uid", "services.id"])
            .orderBy("services.id")
            .execute();
    return fromRow(row, services);
  }

  async function setServices(account: ServiceAccount): Promise<void> {
    await db.deleteFrom("service_account_services").where("service_account_uid", "=", account.uid).execute();
    if (account.services === "all" || account.services.length === 0) return;
    await db
      .insertInto("service_account_services")
      .values(
        account.services.map((service) => ({
          service_account_uid: account.uid,
          org_uid: account.orgUid,
          service_uid: service.uid,
        })),
      )
      .execute();
  }

  return {
    async insert(account: ServiceAccount, apiKeyHash: string): Promise<void> {
      await db
        .insertInto("service_accounts")
        .values({
          uid: account.uid,
          org_uid: account.orgUid,
          id: account.id,
          api_key_hash: apiKeyHash,
          created_by: account.createdBy,
          created_at_ms: account.createdAtMs,
          ...changeable(account),
        })
        .execute();
      await setServices(account);
    },

    async findById(orgUid: string, id: string): Promise<ServiceAccount | null> {
      const row = await db
        .selectFrom("service_accounts")
        .selectAll()
        .where("org_uid", "=", orgUid)
        .where("id", "=", id)
        .executeTakeFirst();
      return row ? withServices(row) : null;
    },

    async findByApiKeyHash(hash: string): Promise<(ServiceAccount & { readonly orgId: string }) | null> {
      const row = await db
        .selectFrom("service_accounts")
        .innerJoin("orgs", "orgs.uid", "service_accounts.org_uid")
        .selectAll("service_accounts")
        .select("orgs.id as org_id")
        .where("api_key_hash", "=", hash)
        .executeTakeFirst();
      return row ? { ...(await withServices(row)), orgId: row.org_id } : null;
    },

    async list(
      orgUid: string,
      { limit, after }: PageRequest,
      filter: { name?: string | undefined },
    ): Promise<Page<ServiceAccount>> {
      let query = db.selectFrom("service_accounts").selectAll().where("org_uid", "=", orgUid);
      if (filter.name !== undefined) query = query.where("name", "=", filter.name);
      if (after) {
        query = query.where(isAfter(after));
      }
      const rows = await query
        .orderBy("created_at_ms", "desc")
        .orderBy("uid", "desc")
        .limit(limit + 1)
        .execute();
      const page = toPage(
        rows.map((row) => ({ ...row, createdAtMs: row.created_at_ms })),
        limit,
      );
      return { items: await Promise.all(page.items.map(withServices)), next: page.next };
    },

    async update(account: ServiceAccount): Promise<void> {
      await db.updateTable("service_accounts").set(changeable(account)).where("uid", "=", account.uid).execute();
      await setServices(account);
    },

    async setApiKeyHash(uid: string, apiKeyHash: string): Promise<void> {
      await db.updateTable("service_accounts").set({ api_key_hash: apiKeyHash }).where("uid", "=", uid).execute();
    },

    /** Only where it is still the given one: a rotation at the same moment wins. */
    async replaceApiKeyHash(fromHash: string, toHash: string): Promise<void> {
      await db
        .updateTable("service_accounts")
        .set({ api_key_hash: toHash })
        .where("api_key_hash", "=", fromHash)
        .execute();
    },

    async remove(uid: string): Promise<void> {
      await db.deleteFrom("service_accounts").where("uid", "=", uid).execute();
    },

    /** The services of the org with these public ids; fewer than asked for when some are unknown. */
    async findServices(orgUid: string, ids: readonly string[]): Promise<{ uid: string; id: string }[]> {
      if (ids.length === 0) return [];
      return db
        .selectFrom("services")
        .select(["uid", "id"])
        .where("org_uid", "=", orgUid)
        .where("id", "in", ids)
        .orderBy("id")
        .execute();
    },
  };
}

function changeable(account: ServiceAccount) {
  return {
    name: account.name,
    all_services: account.services === "all" ? 1 : 0,
    max_ttl_seconds: account.maxTtlSeconds,
    max_rate_limit: account.maxRateLimit,
    max_scope: account.maxScope,
  };
}

function fromRow(row: Selectable<Database["service_accounts"]>, services: Services): ServiceAccount {
  return {
    uid: row.uid,
    orgUid: row.org_uid,
    id: row.id,
    name: row.name,
    services,
    maxTtlSeconds: row.max_ttl_seconds,
    maxRateLimit: row.max_rate_limit,
    maxScope: z.enum(["read", "write"]).parse(row.max_scope),
    createdBy: row.created_by,
    createdAtMs: row.created_at_ms,
  };
}
