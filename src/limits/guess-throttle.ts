import { isIPv6 } from "node:net";
import { BoundedMap } from "../core/bounded-map.ts";
import type { Clock } from "../core/clock.ts";
import { GatewayError } from "../core/errors.ts";
import { SlidingWindow } from "./sliding-window.ts";

export interface GuessThrottleSettings {
  /** Failed authentications per minute and address before that address is refused. */
  readonly failuresPerMinute: number;
  /** Look-ups of unknown secrets per second over all addresses: what guessing may cost the database at most. */
  readonly lookupsPerSecond: number;
  /** Addresses remembered; the least recently failing one is forgotten first. */
  readonly maxAddresses: number;
}

export const GUESS_THROTTLE_DEFAULTS: GuessThrottleSettings = {
  failuresPerMinute: 20,
  lookupsPerSecond: 500,
  maxAddresses: 20_000,
};

/**
 * Makes guessing secrets slow for one address and cheap for us from many.
 *
 * Ask {@link isThrottled} after a cache of known secrets has missed and before anything else is spent, so
 * that a client with a good key is not locked out by a neighbour behind the same address.
 */
export interface GuessThrottle {
  /** Whole seconds to wait (`auth.throttled`, Retry-After), or null. Refused requests are not counted. */
  isThrottled(address: string): number | null;
  /** Counts one authentication that failed because the secret was unknown or malformed. */
  recordFailure(address: string): void;
  /** Takes one database look-up from the common allowance. Null, or whole seconds to wait where it is spent. */
  takeLookup(): number | null;
}

/** @param clock give core's `steadyClock` */
export function createGuessThrottle(clock: Clock, settings: GuessThrottleSettings): GuessThrottle {
  const { failuresPerMinute, lookupsPerSecond, maxAddresses } = settings;
  const failures = new BoundedMap<string, SlidingWindow>(maxAddresses);
  // A bucket that holds one second's allowance and fills evenly.
  let allowance = lookupsPerSecond;
  let filledAtMs = clock.now();

  return {
    isThrottled(address) {
      const window = failures.peek(networkOf(address));
      if (!window) return null;
      const waitMs = window.msUntilBelow(failuresPerMinute, clock.now());
      return waitMs > 0 ? Math.ceil(waitMs / 1_000) : null;
    },
    recordFailure(address) {
      const network = networkOf(address);
      const nowMs = clock.now();
      let window = failures.get(network);
      if (!window) {
        window = new SlidingWindow(nowMs);
        failures.set(network, window);
      }
      window.add(nowMs);
    },
    takeLookup() {
      const nowMs = clock.now();
      const filled = (Math.max(0, nowMs - filledAtMs) * lookupsPerSecond) / 1_000;
      allowance = Math.min(lookupsPerSecond, allowance + filled);
      filledAtMs = nowMs;
      if (allowance < 1) return 1;
      allowance--;
      return null;
    },
  };
}

/** `auth.throttled` with Retry-After. */
export function throttledError(retryAfterSeconds: number): GatewayError {
  return new GatewayError("auth.throttled", { headers: { "retry-after": String(retryAfterSeconds) } });
}

/** What counts as one client: an IPv4 address, or an IPv6 /64, since any host has a whole one to choose from. */
export function networkOf(address: string): string {
  if (!isIPv6(address)) return address;
  const [whole = ""] = address.split("%");
  const [head = "", tail] = whole.split("::");
  const groups = head === "" ? [] : head.split(":");
  if (tail !== undefined) {
    const after = tail === "" ? [] : tail.split(":");
    // A trailing dotted IPv4 stands for two groups.
    const afterGroups = after.length + (tail.includes(".") ? 1 : 0);
    while (groups.length + afterGroups < 8) groups.push("0");
    groups.push(...after);
  }
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(":")}::/64`;
}
