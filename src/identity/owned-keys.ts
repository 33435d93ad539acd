import type { ChangeBus } from "../core/changes.ts";
import type { Db } from "../storage/open-database.ts";

interface KeyOwner {
  readonly kind: "user" | "service_account";
  readonly uid: string;
}

/**
 * For whoever issues a key: whether its owner is still there, in this org, and will be until the
 * transaction ends. The no-op UPDATE holds the owner's row, so that a key cannot slip in between the
 * removal of its owner and the revocation of the owner's keys.
 */
export async function holdOwner(trx: Db, owner: KeyOwner & { readonly orgUid: string }): Promise<boolean> {
  const held =
    owner.kind === "user"
      ? trx
          .updateTable("memberships")
          .set((eb) => ({ role: eb.ref("role") }))
          .where("org_uid", "=", owner.orgUid)
          .where("user_uid", "=", owner.uid)
      : trx
          .updateTable("service_accounts")
          .set((eb) => ({ name: eb.ref("name") }))
          .where("org_uid", "=", owner.orgUid)
          .where("uid", "=", owner.uid);
  return (await held.executeTakeFirstOrThrow()).numUpdatedRows === 1n;
}

/**
 * Revokes every virtual key of an owner, in one org or (null) in all, and returns their uids. It writes
 * the key table directly, from below the folder that owns it: whoever removes an owner must do this in
 * the same transaction, after the removal, or keys would outlive the person or account that answers for them.
 */
export async function revokeKeysOfOwner(
  trx: Db,
  owner: KeyOwner & { readonly orgUid: string | null },
  nowMs: number,
): Promise<string[]> {
  let query = trx
    .updateTable("virtual_keys")
    .set({ revoked_at_ms: nowMs, updated_at_ms: nowMs })
    .where("owner_kind", "=", owner.kind)
    .where("owner_uid", "=", owner.uid)
    .where("revoked_at_ms", "is", null);
  if (owner.orgUid !== null) query = query.where("org_uid", "=", owner.orgUid);
  const rows = await query.returning("uid").execute();
  return rows.map((row) => row.uid);
}

/** Tells every cache; call after the commit, never before: a cache must not read the state that is about to go. */
export function publishRemoval(changes: ChangeBus, principalUid: string, keyUids: readonly string[]): void {
  changes.publish({ kind: "principal", uid: principalUid });
  for (const uid of keyUids) changes.publish({ kind: "key", uid, revoked: true });
}
