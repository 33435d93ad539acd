import type { Selectable } from "kysely";
import type { Db } from "../storage/open-database.ts";
import type { Database } from "../storage/schema.ts";
import type { Session } from "./model.ts";

/** Pass a transaction as `db` to bind every method to it. */
export function createSessionStore(db: Db) {
  return {
    async insert(session: Session, tokenHash: string, nowMs: number): Promise<void> {
      await db
        .insertInto("sessions")
        .values({
          uid: session.uid,
          org_uid: session.orgUid,
          user_uid: session.userUid,
          token_hash: tokenHash,
          started_at_ms: session.startedAtMs,
          created_at_ms: nowMs,
          expires_at_ms: session.expiresAtMs,
          revoked_at_ms: session.revokedAtMs,
        })
        .execute();
    },

    /** Whatever its state. */
    async findByTokenHash(hash: string): Promise<Session | null> {
      const row = await db.selectFrom("sessions").selectAll().where("token_hash", "=", hash).executeTakeFirst();
      return row ? fromRow(row) : null;
    },

    async findByUid(uid: string): Promise<Session | null> {
      const row = await db.selectFrom("sessions").selectAll().where("uid", "=", uid).executeTakeFirst();
      return row ? fromRow(row) : null;
    },

    async replaceTokenHash(fromHash: string, toHash: string): Promise<void> {
      await db.updateTable("sessions").set({ token_hash: toHash }).where("token_hash", "=", fromHash).execute();
    },

    /** False when it was revoked before: of two who try, one wins. */
    async revoke(uid: string, nowMs: number): Promise<boolean> {
      const { numUpdatedRows } = await db
        .updateTable("sessions")
        .set({ revoked_at_ms: nowMs })
        .where("uid", "=", uid)
        .where("revoked_at_ms", "is", null)
        .executeTakeFirstOrThrow();
      return numUpdatedRows === 1n;
    },

    /** Every session of a user, in one org or in all; `exceptUid` stays. */
    async revokeOfUser(
      userUid: string,
      nowMs: number,
      only: { orgUid?: string; exceptUid?: string | null } = {},
    ): Promise<void> {
      let query = db
        .updateTable("sessions")
        .set({ revoked_at_ms: nowMs })
        .where("user_uid", "=", userUid)
        .where("revoked_at_ms", "is", null);
      if (only.orgUid !== undefined) query = query.where("org_uid", "=", only.orgUid);
      if (only.exceptUid !== undefined && only.exceptUid !== null) query = query.where("uid", "!=", only.exceptUid);
      await query.execute();
    },
  };
}

function fromRow(row: Selectable<Database["sessions"]>): Session {
  return {
    uid: row.uid,
    orgUid: row.org_uid,
    userUid: row.user_uid,
    startedAtMs: row.started_at_ms,
    expiresAtMs: row.expires_at_ms,
    revokedAtMs: row.revoked_at_ms,
  };
}
