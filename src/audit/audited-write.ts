import type { Change, ChangeBus } from "../core/changes.ts";
import type { Clock } from "../core/clock.ts";
import type { Db } from "../storage/open-database.ts";
import type { Keyring } from "../vault/keyring.ts";
import { type AuditEvent, createAuditLog } from "./log.ts";

/** What every operation that writes needs. */
export interface WriteDeps {
  readonly db: Db;
  readonly keyring: Keyring;
  readonly clock: Clock;
  readonly changes: ChangeBus;
}

/** What a write did: its result, what goes on the trail, and what caches must forget. */
export interface Written<T> {
  readonly result: T;
  readonly events: readonly AuditEvent[];
  readonly changes: readonly Change[];
}

/**
 * Runs a write in one transaction with its audit entries, so that both stand or fall together. Caches hear of
 * it after the commit and before the returned promise resolves: never of what is rolled back, never too early.
 */
export async function auditedWrite<T>(deps: WriteDeps, work: (trx: Db) => Promise<Written<T>>): Promise<T> {
  const { result, changes } = await deps.db.transaction().execute(async (trx) => {
    const written = await work(trx);
    const audit = createAuditLog(trx, deps.keyring, deps.clock);
    for (const event of written.events) await audit.record(event);
    return written;
  });
  for (const change of changes) deps.changes.publish(change);
  return result;
}
