import type { Clock } from "../core/clock.ts";

/** Waits that grow with each failure in a row: 1 s, 2 s, 4 s … 60 s, each shortened by up to a quarter at random. */
export interface BackOff {
  /** Until the next try is due; 0 when it is. */
  waitMs(): number;
  /** Returns how long to wait. */
  failed(): number;
  succeeded(): void;
}

const FIRST_MS = 1_000;
const CAP_MS = 60_000;
/** Failures further apart are not in a row. */
const FORGET_MS = 300_000;

/** @param random from 0 to below 1; spreads the tries of many gateways and servers that failed at one time */
export function createBackOff(clock: Clock, random: () => number): BackOff {
  let failures = 0;
  let untilMs = 0;
  return {
    waitMs: () => Math.max(0, untilMs - clock.now()),
    failed() {
      if (clock.now() - untilMs > FORGET_MS) failures = 0;
      const delayMs = Math.min(CAP_MS, FIRST_MS * 2 ** Math.min(failures++, 10)) * (1 - random() / 4);
      untilMs = clock.now() + delayMs;
      return delayMs;
    },
    succeeded() {
      failures = 0;
      untilMs = 0;
    },
  };
}
