import type { Selectable } from "kysely";
import type { Database } from "../storage/schema.ts";
import type { Db } from "../storage/open-database.ts";
import { type Page, type PageRequest, toPage } from "../storage/page.ts";
import type { Org } from "./model.ts";

/** Pass a transaction as `db` to bind every method to it. */
export function createOrgStore(db: Db) {
  return {
    async insert(org: Org): Promise<void> {
      await db
        .insertInto("orgs")
        .values({
          uid: org.uid,
          id: org.id,
          name: org.name,
          domain: org.domain,
          email: org.email,
          created_at_ms: org.createdAtMs,
          updated_at_ms: org.createdAtMs,
        })
        .execute();
    },

    async findById(id: string): Promise<Org | null> {
      const row = await db.selectFrom("orgs").selectAll().where("id", "=", id).executeTakeFirst();
      return row ? fromRow(row) : null;
    },

    async findByUid(uid: string): Promise<Org | null> {
      const row = await db.selectFrom("orgs").selectAll().where("uid", "=", uid).executeTakeFirst();
      return row ? fromRow(row) : null;
    },

    /** Those that the user is a member of, newest first. */
    async listOfUser(userUid: string, { limit, after }: PageRequest): Promise<Page<Org>> {
      let query = db
        .selectFrom("orgs")
        .innerJoin("memberships", "memberships.org_uid", "orgs.uid")
        .where("memberships.user_uid", "=", userUid)
        .selectAll("orgs");
      if (after) {
        query = query.where((eb) =>
          eb.or([
            eb("orgs.created_at_ms", "<", after.createdAtMs),
            eb.and([eb("orgs.created_at_ms", "=", after.createdAtMs), eb("orgs.uid", "<", after.uid)]),
          ]),
        );
      }
      const rows = await query
        .orderBy("orgs.created_at_ms", "desc")
        .orderBy("orgs.uid", "desc")
        .limit(limit + 1)
        .execute();
      return toPage(rows.map(fromRow), limit);
    },

    async update(
      uid: string,
      change: { name?: string; domain?: string | null; email?: string | null },
      nowMs: number,
    ): Promise<void> {
      await db
        .updateTable("orgs")
        .set({ ...change, updated_at_ms: nowMs })
        .where("uid", "=", uid)
        .execute();
    },

    /**
     * Takes the org's row until the transaction ends. Whoever counts owners does this first, so that two
     * owners cannot remove each other at the same moment. A no-op UPDATE: it locks on both engines.
     */
    async lock(uid: string): Promise<void> {
      await db
        .updateTable("orgs")
        .set((eb) => ({ updated_at_ms: eb.ref("updated_at_ms") }))
        .where("uid", "=", uid)
        .execute();
    },

    /** With all that belongs to it. Virtual keys first: their grants hold on to services. */
    async remove(uid: string): Promise<void> {
      await db.deleteFrom("virtual_keys").where("org_uid", "=", uid).execute();
      await db.deleteFrom("orgs").where("uid", "=", uid).execute();
    },
  };
}

function fromRow(row: Selectable<Database["orgs"]>): Org {
  return {
    uid: row.uid,
    id: row.id,
    name: row.name,
    domain: row.domain,
    email: row.email,
    createdAtMs: row.created_at_ms,
  };
}
