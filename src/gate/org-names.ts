import type { ChangeBus } from "../core/changes.ts";
import type { Db } from "../storage/open-database.ts";

/** Public ids of organizations by uid, kept until an organization changes. */
export function createOrgNames(db: Db, changes: ChangeBus): { idOf(orgUid: string): Promise<string> } {
  const ids = new Map<string, string>();
  changes.subscribe((change) => {
    if (change.kind === "org" || change.kind === "all") ids.clear();
  });
  return {
    async idOf(orgUid) {
      const known = ids.get(orgUid);
      if (known !== undefined) return known;
      const row = await db.selectFrom("orgs").select("id").where("uid", "=", orgUid).executeTakeFirstOrThrow();
      ids.set(orgUid, row.id);
      return row.id;
    },
  };
}
