import type { Clock } from "../core/clock.ts";

/** Keeps callers from waiting for something that is known to be down. */
export interface CircuitBreaker {
  /** Whether to try: always while closed; while open one caller per pause, as a probe. */
  allows(): boolean;
  succeeded(): void;
  failed(): void;
  isOpen(): boolean;
}

/**
 * Opens after `failures` in a row, closes with the next success.
 *
 * @param clock give core's `steadyClock`
 */
export function createCircuitBreaker(
  clock: Clock,
  { failures, pauseMs }: { readonly failures: number; readonly pauseMs: number },
): CircuitBreaker {
  let inARow = 0;
  let probeAtMs = 0;
  return {
    allows() {
      if (inARow < failures) return true;
      const nowMs = clock.now();
      if (nowMs < probeAtMs) return false;
      probeAtMs = nowMs + pauseMs;
      return true;
    },
    succeeded() {
      inARow = 0;
    },
    failed() {
      inARow++;
      if (inARow >= failures) probeAtMs = clock.now() + pauseMs;
    },
    isOpen: () => inARow >= failures,
  };
}
