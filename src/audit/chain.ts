import type { Database } from "../storage/schema.ts";
import type { Db } from "../storage/open-database.ts";
import type { Keyring } from "../vault/keyring.ts";

type Entry = Database["audit_entries"];

/** `previous_hash` of the first entry of an org. */
export const GENESIS_HASH = "";

const BATCH = 500;

/** Keyed hash of an entry and, through `previous_hash`, of all before it. An array: no choice of texts makes two entries equal. */
export function chainHash(keyring: Keyring, entry: Omit<Entry, "hash">): string {
  return keyring.auditMac(
    JSON.stringify([
      "v1",
      entry.org_uid,
      entry.seq,
      entry.uid,
      entry.at_ms,
      entry.actor_kind,
      entry.actor_id,
      entry.action,
      entry.target_kind,
      entry.target_id,
      entry.outcome,
      entry.detail,
      entry.request_id,
      entry.client_address,
      entry.previous_hash,
    ]),
  );
}

export type ChainVerdict =
  | { readonly intact: true; readonly entries: number }
  | {
      readonly intact: false;
      /** The first entry that is not as it was written, or is missing. */
      readonly brokenSeq: number;
      readonly reason: "altered" | "missing" | "unlinked" | "truncated";
    };

/**
 * Reads an org's whole trail and checks every link and the head. It finds what was altered, inserted or
 * removed by someone without the master key. What no chain can show: entries cut from the end together
 * with a head that was put back to match; keep copies of `audit_heads` elsewhere against that.
 */
export async function verifyAuditChain(db: Db, keyring: Keyring, orgUid: string): Promise<ChainVerdict> {
  // The head is read first: entries that are appended meanwhile are beyond it and left out.
  const head = await db.selectFrom("audit_heads").selectAll().where("org_uid", "=", orgUid).executeTakeFirst();
  const lastSeq = head?.seq ?? 0;
  let seq = 0;
  let hash = GENESIS_HASH;
  for (;;) {
    const rows = await db
      .selectFrom("audit_entries")
      .selectAll()
      .where("org_uid", "=", orgUid)
      .where("seq", ">", seq)
      .orderBy("seq")
      .limit(BATCH)
      .execute();
    for (const row of rows) {
      if (row.seq > lastSeq && head) break;
      if (row.seq !== seq + 1) return { intact: false, brokenSeq: seq + 1, reason: "missing" };
      if (row.previous_hash !== hash) return { intact: false, brokenSeq: row.seq, reason: "unlinked" };
      if (chainHash(keyring, row) !== row.hash) return { intact: false, brokenSeq: row.seq, reason: "altered" };
      seq = row.seq;
      hash = row.hash;
    }
    if (rows.length < BATCH || seq >= lastSeq) break;
  }
  if (seq < lastSeq || (!head && seq > 0)) return { intact: false, brokenSeq: seq + 1, reason: "truncated" };
  if (head && head.hash !== hash) return { intact: false, brokenSeq: seq, reason: "unlinked" };
  return { intact: true, entries: seq };
}
