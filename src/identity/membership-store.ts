import type { Role } from "../access/principal.ts";
import type { Db } from "../storage/open-database.ts";
import { type Page, type PageRequest, toPage } from "../storage/page.ts";
import { type Org, RoleName } from "./model.ts";

export interface Member {
  readonly userUid: string;
  readonly name: string;
  readonly role: Role;
  readonly createdAtMs: number;
}

export type MembershipOfUser = Pick<Org, "uid" | "id" | "name"> & { readonly role: Role };

/** Pass a transaction as `db` to bind every method to it. */
export function createMembershipStore(db: Db) {
  return {
    async insert(orgUid: string, userUid: string, role: Role, nowMs: number): Promise<void> {
      await db
        .insertInto("memberships")
        .values({ org_uid: orgUid, user_uid: userUid, role, created_at_ms: nowMs })
        .execute();
    },

    async find(orgUid: string, userUid: string): Promise<Member | null> {
      const row = await db
        .selectFrom("memberships")
        .innerJoin("users", "users.uid", "memberships.user_uid")
        .where("memberships.org_uid", "=", orgUid)
        .where("memberships.user_uid", "=", userUid)
        .select(["users.uid", "users.name", "memberships.role", "memberships.created_at_ms"])
        .executeTakeFirst();
      return row ? fromRow(row) : null;
    },

    /** The orgs of a user with their role in each, oldest membership first. Never long: read on every authentication. */
    async listOfUser(userUid: string): Promise<MembershipOfUser[]> {
      const rows = await db
        .selectFrom("memberships")
        .innerJoin("orgs", "orgs.uid", "memberships.org_uid")
        .where("memberships.user_uid", "=", userUid)
        .select(["orgs.uid", "orgs.id", "orgs.name", "memberships.role"])
        .orderBy("memberships.created_at_ms")
        .orderBy("orgs.uid")
        .execute();
      return rows.map((row) => ({ uid: row.uid, id: row.id, name: row.name, role: RoleName.parse(row.role) }));
    },

    async listOfOrg(
      orgUid: string,
      { limit, after }: PageRequest,
      filter: { role?: Role | undefined },
    ): Promise<Page<Member & { uid: string }>> {
      let query = db
        .selectFrom("memberships")
        .innerJoin("users", "users.uid", "memberships.user_uid")
        .where("memberships.org_uid", "=", orgUid)
        .select(["users.uid", "users.name", "memberships.role", "memberships.created_at_ms"]);
      if (filter.role !== undefined) query = query.where("memberships.role", "=", filter.role);
      if (after) {
        query = query.where((eb) =>
          eb.or([
            eb("memberships.created_at_ms", "<", after.createdAtMs),
            eb.and([eb("memberships.created_at_ms", "=", after.createdAtMs), eb("users.uid", "<", after.uid)]),
          ]),
        );
      }
      const rows = await query
        .orderBy("memberships.created_at_ms", "desc")
        .orderBy("users.uid", "desc")
        .limit(limit + 1)
        .execute();
      return toPage(
        rows.map((row) => ({ ...fromRow(row), uid: row.uid })),
        limit,
      );
    },

    async setRole(orgUid: string, userUid: string, role: Role): Promise<void> {
      await db
        .updateTable("memberships")
        .set({ role })
        .where("org_uid", "=", orgUid)
        .where("user_uid", "=", userUid)
        .execute();
    },

    async remove(orgUid: string, userUid: string): Promise<void> {
      await db.deleteFrom("memberships").where("org_uid", "=", orgUid).where("user_uid", "=", userUid).execute();
    },

    async countOwners(orgUid: string): Promise<number> {
      const row = await db
        .selectFrom("memberships")
        .where("org_uid", "=", orgUid)
        .where("role", "=", "owner")
        .select((eb) => eb.fn.countAll<number>().as("owners"))
        .executeTakeFirstOrThrow();
      return Number(row.owners);
    },
  };
}

function fromRow(row: { uid: string; name: string; role: string; created_at_ms: number }): Member {
  return { userUid: row.uid, name: row.name, role: RoleName.parse(row.role), createdAtMs: row.created_at_ms };
}
