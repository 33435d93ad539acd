import type { Schedule } from "../../src/mcp-servers/schedule.ts";
import { createManualClock, type ManualClock } from "./manual-clock.ts";

/** A clock whose timers fire when a test moves it. */
export interface ManualSchedule extends Schedule {
  readonly clock: ManualClock;
  /** Moves time, fires what is due in its order, and lets promises settle after each. */
  pass(ms: number): Promise<void>;
  /** Timers that wait. */
  waiting(): number;
}

/** Lets everything run that waits for no timer and no socket. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

export function createManualSchedule(clock = createManualClock()): ManualSchedule {
  const timers = new Set<{ readonly atMs: number; readonly run: () => void }>();
  return {
    clock,
    after(delayMs, run) {
      const timer = { atMs: clock.now() + delayMs, run };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    async pass(ms) {
      const endMs = clock.now() + ms;
      await settle();
      for (;;) {
        const due = [...timers].filter(({ atMs }) => atMs <= endMs).toSorted((a, b) => a.atMs - b.atMs)[0];
        if (!due) break;
        timers.delete(due);
        clock.set(Math.max(clock.now(), due.atMs));
        due.run();
        await settle();
      }
      clock.set(endMs);
    },
    waiting: () => timers.size,
  };
}
