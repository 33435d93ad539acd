/** Wall-clock time in Unix milliseconds. Injected everywhere, so that tests own time. */
export interface Clock {
  now(): number;
}

export const systemClock: Clock = { now: () => Date.now() };
