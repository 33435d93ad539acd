import { KEPT_VERSIONS } from "../credentials/store.ts";
import type { Db } from "../storage/open-database.ts";

export interface RetentionPolicy {
  /** How long a key is kept after it expired or was revoked. */
  readonly keysMs: number;
  /** How long a session is kept after it ended. */
  readonly sessionsMs: number;
}

/** Rows deleted, by what they are. */
export interface PurgeCounts {
  readonly keys: number;
  readonly sessions: number;
  readonly idempotencyKeys: number;
  readonly credentialVersions: number;
}

/** Replies are kept for a day (idempotency/run-once.ts). */
const IDEMPOTENCY_MS = 86_400_000;
/** Rows per statement: SQLite has one writer, which must not be held for long. */
const BATCH = 500;

/**
 * Deletes what nobody can use any more and nobody is promised: keys and sessions that ended long enough ago,
 * stored replies, secrets beyond the kept versions. Safe on several gateways at once. The audit trail is never
 * purged.
 *
 * @param batch rows per statement
 */
export async function purge(db: Db, nowMs: number, policy: RetentionPolicy, batch = BATCH): Promise<PurgeCounts> {
  const keysBefore = nowMs - policy.keysMs;
  const sessionsBefore = nowMs - policy.sessionsMs;
  return {
    keys: await inBatches(batch, () =>
      db
        .deleteFrom("virtual_keys")
        .where("uid", "in", (eb) =>
          eb
            .selectFrom("virtual_keys")
            .select("uid")
            .where((w) => w.or([w("expires_at_ms", "<", keysBefore), w("revoked_at_ms", "<", keysBefore)]))
            .limit(batch),
        )
        .executeTakeFirstOrThrow(),
    ),
    sessions: await inBatches(batch, () =>
      db
        .deleteFrom("sessions")
        .where("uid", "in", (eb) =>
          eb
            .selectFrom("sessions")
            .select("uid")
            .where((w) => w.or([w("expires_at_ms", "<", sessionsBefore), w("revoked_at_ms", "<", sessionsBefore)]))
            .limit(batch),
        )
        .executeTakeFirstOrThrow(),
    ),
    idempotencyKeys: await inBatches(batch, () =>
      db
        .deleteFrom("idempotency_keys")
        .where("key_hash", "in", (eb) =>
          eb
            .selectFrom("idempotency_keys")
            .select("key_hash")
            .where("created_at_ms", "<", nowMs - IDEMPOTENCY_MS)
            .orderBy("created_at_ms")
            .limit(batch),
        )
        .where("created_at_ms", "<", nowMs - IDEMPOTENCY_MS)
        .executeTakeFirstOrThrow(),
    ),
    credentialVersions: await rowsDeleted(
      db
        .deleteFrom("credential_versions")
        .where("version", "<=", (eb) =>
          eb
            .selectFrom("credentials")
            .select((c) => c("credentials.version", "-", KEPT_VERSIONS).as("oldest"))
            .whereRef("credentials.uid", "=", "credential_versions.credential_uid"),
        )
        .executeTakeFirstOrThrow(),
    ),
  };
}

async function inBatches(batch: number, deleteSome: () => Promise<{ numDeletedRows: bigint }>): Promise<number> {
  let total = 0;
  for (;;) {
    const deleted = await rowsDeleted(deleteSome());
    total += deleted;
    if (deleted < batch) return total;
  }
}

async function rowsDeleted(deletion: Promise<{ numDeletedRows: bigint }>): Promise<number> {
  return Number((await deletion).numDeletedRows);
}
