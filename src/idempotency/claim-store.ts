import type { Db } from "../storage/open-database.ts";

/** One use of an Idempotency-Key. `madeAtMs` tells it from a later claim that took it over. */
export interface Claim {
  readonly orgUid: string;
  readonly principalUid: string;
  readonly keyHash: string;
  readonly requestHash: string;
  readonly madeAtMs: number;
}

export function createClaimStore(db: Db) {
  return {
    /** False when someone else holds it: the primary key decides, also between gateways. */
    async take(claim: Claim): Promise<boolean> {
      const { numInsertedOrUpdatedRows } = await db
        .insertInto("idempotency_keys")
        .values({
          org_uid: claim.orgUid,
          principal_uid: claim.principalUid,
          key_hash: claim.keyHash,
          request_hash: claim.requestHash,
          status: 0,
          sealed_reply: null,
          created_at_ms: claim.madeAtMs,
        })
        .onConflict((c) => c.doNothing())
        .executeTakeFirstOrThrow();
      return numInsertedOrUpdatedRows === 1n;
    },

    find(claim: Claim) {
      return db
        .selectFrom("idempotency_keys")
        .select(["request_hash", "status", "sealed_reply", "created_at_ms"])
        .where("org_uid", "=", claim.orgUid)
        .where("principal_uid", "=", claim.principalUid)
        .where("key_hash", "=", claim.keyHash)
        .executeTakeFirst();
    },

    /** Keeps the reply, unless the claim was taken over meanwhile. */
    async settle(claim: Claim, status: number, sealedReply: string): Promise<void> {
      await db
        .updateTable("idempotency_keys")
        .set({ status, sealed_reply: sealedReply })
        .where("org_uid", "=", claim.orgUid)
        .where("principal_uid", "=", claim.principalUid)
        .where("key_hash", "=", claim.keyHash)
        .where("created_at_ms", "=", claim.madeAtMs)
        .execute();
    },

    /** Removes the claim that was made at `madeAtMs`, and no later one. */
    async drop(claim: Claim, madeAtMs: number): Promise<void> {
      await db
        .deleteFrom("idempotency_keys")
        .where("org_uid", "=", claim.orgUid)
        .where("principal_uid", "=", claim.principalUid)
        .where("key_hash", "=", claim.keyHash)
        .where("created_at_ms", "=", madeAtMs)
        .execute();
    },
  };
}
