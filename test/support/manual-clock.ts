import type { Clock } from "../../src/core/clock.ts";

/** Time that moves only when a test says so. */
export interface ManualClock extends Clock {
  set(nowMs: number): void;
  advance(ms: number): void;
}

export function createManualClock(startMs = 1_800_000_000_000): ManualClock {
  let nowMs = startMs;
  return {
    now: () => nowMs,
    set: (value) => void (nowMs = value),
    advance: (ms) => void (nowMs += ms),
  };
}
