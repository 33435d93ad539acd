import { BoundedMap } from "../core/bounded-map.ts";
import type { Clock } from "../core/clock.ts";
import { GatewayError } from "../core/errors.ts";
import { type BackOff, createBackOff } from "./back-off.ts";

/** Holds up callers whose own links fail, so that they neither start processes in a loop nor hold up anybody else. */
export interface CallerBackOff {
  failed(principalUid: string): void;
  succeeded(principalUid: string): void;
  /** @throws GatewayError `upstream.unavailable` while the caller has to wait */
  refuse(principalUid: string): void;
}

/** Callers whose failures are remembered. */
const MAX_PRINCIPALS = 1_000;

export function createCallerBackOff(server: string, clock: Clock, random: () => number): CallerBackOff {
  const callers = new BoundedMap<string, BackOff>(MAX_PRINCIPALS);
  return {
    failed(principalUid) {
      const backOff = callers.get(principalUid) ?? createBackOff(clock, random);
      backOff.failed();
      callers.set(principalUid, backOff);
    },
    succeeded: (principalUid) => void callers.delete(principalUid),
    refuse(principalUid) {
      const waitMs = callers.peek(principalUid)?.waitMs() ?? 0;
      if (waitMs === 0) return;
      const seconds = Math.ceil(waitMs / 1_000);
      throw new GatewayError("upstream.unavailable", {
        message: `the MCP server ${server} failed for this caller; it can be started again in ${seconds} s`,
        headers: { "retry-after": String(seconds) },
      });
    },
  };
}
