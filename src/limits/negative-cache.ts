import { BoundedMap } from "../core/bounded-map.ts";
import type { Clock } from "../core/clock.ts";

/** Keyed hashes of secrets that were looked up and not found: repeating a bad key costs no second look-up. */
export interface NegativeCache {
  has(secretHash: string): boolean;
  add(secretHash: string): void;
  clear(): void;
}

/**
 * Bounded, and short-lived because a key may come into being after it was tried, as on a lagging replica.
 *
 * @param clock give core's `steadyClock`
 */
export function createNegativeCache(
  clock: Clock,
  { ttlMs, maxEntries }: { readonly ttlMs: number; readonly maxEntries: number } = {
    ttlMs: 10_000,
    maxEntries: 20_000,
  },
): NegativeCache {
  const until = new BoundedMap<string, number>(maxEntries);
  return {
    has(secretHash) {
      const untilMs = until.peek(secretHash);
      if (untilMs === undefined) return false;
      if (clock.now() < untilMs) return true;
      until.delete(secretHash);
      return false;
    },
    add: (secretHash) => until.set(secretHash, clock.now() + ttlMs),
    clear: () => until.clear(),
  };
}
