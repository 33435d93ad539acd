/** Wall-clock time in Unix milliseconds. Injected everywhere, so that tests own time. */
export interface Clock {
  now(): number;
}

export const systemClock: Clock = { now: () => Date.now() };

/**
 * Milliseconds that never step back or jump when the system's time is set. For what measures spans
 * (limits, caches); the origin is the process start's wall time, so values look like Unix times.
 */
export const steadyClock: Clock = { now: () => performance.timeOrigin + performance.now() };
