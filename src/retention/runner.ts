import type { Clock } from "../core/clock.ts";
import type { Logger } from "../core/log.ts";
import type { Db } from "../storage/open-database.ts";
import { purge, type RetentionPolicy } from "./purge.ts";

/** Calls back once after a time; returns what calls it off. */
export type Schedule = (task: () => void, delayMs: number) => () => void;

const FIRST_AFTER_MS = 60_000;
const EVERY_MS = 3_600_000;

/** A timer that does not keep the process alive. */
export const systemSchedule: Schedule = (task, delayMs) => {
  const timer = setTimeout(task, delayMs).unref();
  return () => clearTimeout(timer);
};

/**
 * Purges a minute after the start and then every hour, never twice at once. A purge that fails is logged and
 * tried again at its next time: it is housekeeping, and nothing waits for it.
 */
export function startRetention(deps: {
  readonly db: Db;
  readonly clock: Clock;
  readonly log: Logger;
  readonly policy: RetentionPolicy;
  readonly schedule?: Schedule;
}): { stop(): void } {
  const schedule = deps.schedule ?? systemSchedule;
  let stopped = false;
  let cancel = schedule(run, FIRST_AFTER_MS);

  function run(): void {
    purge(deps.db, deps.clock.now(), deps.policy)
      .then(
        (counts) => {
          if (Object.values(counts).some((count) => count > 0))
            deps.log.info(counts, "purged what was kept long enough");
        },
        (err: unknown) => {
          // The database may be closed under a purge that runs while the gateway stops.
          if (!stopped) deps.log.error({ err }, "purging failed");
        },
      )
      .finally(() => {
        if (!stopped) cancel = schedule(run, EVERY_MS);
      });
  }

  return {
    stop() {
      stopped = true;
      cancel();
    },
  };
}
