import type { Selectable } from "kysely";
import type { Role } from "../access/principal.ts";
import type { Db } from "../storage/open-database.ts";
import { type Page, type PageRequest, toPage } from "../storage/page.ts";
import type { Database } from "../storage/schema.ts";
import { RoleName, type User } from "./model.ts";

/** A user as an org sees them: `role` is null for one whose home it is without a membership. */
export type UserInOrg = User & { readonly role: Role | null };

/** Pass a transaction as `db` to bind every method to it. */
export function createUserStore(db: Db) {
  return {
    async insert(user: User, apiKeyHash: string): Promise<void> {
      await db
        .insertInto("users")
        .values({
          uid: user.uid,
          org_uid: user.orgUid,
          name: user.name,
          email: user.email,
          api_key_hash: apiKeyHash,
          created_at_ms: user.createdAtMs,
          updated_at_ms: user.createdAtMs,
        })
        .execute();
    },

    async findByUid(uid: string): Promise<User | null> {
      const row = await db.selectFrom("users").selectAll().where("uid", "=", uid).executeTakeFirst();
      return row ? fromRow(row) : null;
    },

    /** @param email lower case */
    async findByEmail(email: string): Promise<User | null> {
      const row = await db.selectFrom("users").selectAll().where("email", "=", email).executeTakeFirst();
      return row ? fromRow(row) : null;
    },

    async findByApiKeyHash(hash: string): Promise<User | null> {
      const row = await db.selectFrom("users").selectAll().where("api_key_hash", "=", hash).executeTakeFirst();
      return row ? fromRow(row) : null;
    },

    /** Members of the org and those whose home it is, newest first. */
    async listOfOrg(
      orgUid: string,
      { limit, after }: PageRequest,
      filter: { email?: string | undefined },
    ): Promise<Page<UserInOrg>> {
      let query = db
        .selectFrom("users")
        .leftJoin("memberships", (join) =>
          join.onRef("memberships.user_uid", "=", "users.uid").on("memberships.org_uid", "=", orgUid),
        )
        .where((eb) => eb.or([eb("users.org_uid", "=", orgUid), eb("memberships.user_uid", "is not", null)]))
        .selectAll("users")
        .select("memberships.role as role");
      if (filter.email !== undefined) query = query.where("users.email", "=", filter.email);
      if (after) {
        query = query.where((eb) =>
          eb.or([
            eb("users.created_at_ms", "<", after.createdAtMs),
            eb.and([eb("users.created_at_ms", "=", after.createdAtMs), eb("users.uid", "<", after.uid)]),
          ]),
        );
      }
      const rows = await query
        .orderBy("users.created_at_ms", "desc")
        .orderBy("users.uid", "desc")
        .limit(limit + 1)
        .execute();
      return toPage(
        rows.map((row) => ({ ...fromRow(row), role: row.role === null ? null : RoleName.parse(row.role) })),
        limit,
      );
    },

    async update(uid: string, change: { name?: string; email?: string }, nowMs: number): Promise<void> {
      await db
        .updateTable("users")
        .set({ ...change, updated_at_ms: nowMs })
        .where("uid", "=", uid)
        .execute();
    },

    async setApiKeyHash(uid: string, apiKeyHash: string): Promise<void> {
      await db.updateTable("users").set({ api_key_hash: apiKeyHash }).where("uid", "=", uid).execute();
    },

    /** Only where it is still the given one: a rotation at the same moment wins. */
    async replaceApiKeyHash(fromHash: string, toHash: string): Promise<void> {
      await db.updateTable("users").set({ api_key_hash: toHash }).where("api_key_hash", "=", fromHash).execute();
    },

    async setHome(uid: string, orgUid: string): Promise<void> {
      await db.updateTable("users").set({ org_uid: orgUid }).where("uid", "=", uid).execute();
    },

    async listUidsOfHome(orgUid: string): Promise<string[]> {
      const rows = await db.selectFrom("users").select("uid").where("org_uid", "=", orgUid).execute();
      return rows.map((row) => row.uid);
    },

    /** Memberships and sessions go with it. */
    async remove(uid: string): Promise<void> {
      await db.deleteFrom("users").where("uid", "=", uid).execute();
    },
  };
}

function fromRow(row: Selectable<Database["users"]>): User {
  return { uid: row.uid, orgUid: row.org_uid, name: row.name, email: row.email, createdAtMs: row.created_at_ms };
}
