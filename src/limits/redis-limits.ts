import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";
import type { Clock } from "../core/clock.ts";
import { GatewayError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import { createCircuitBreaker } from "./circuit-breaker.ts";
import { createMemoryLimits } from "./memory-limits.ts";
import { GIVE_BACK, RENEW, runScript, TAKE } from "./redis-scripts.ts";
import type { LimitRequest, Limits, LimitVerdict } from "./types.ts";

export interface RedisLimitsOptions {
  /** A connection that fails fast: without an offline queue and without resending, see cluster/redis-connection.ts. */
  readonly redis: Redis;
  /** Core's `steadyClock`. Windows are measured by the Redis server's time, not by this. */
  readonly clock: Clock;
  readonly log: Pick<Logger, "warn" | "info">;
  /**
   * While Redis is down: `refuse` answers `limit.unavailable`; `local` goes on with this instance's own counts, so
   * that up to the limit times the number of instances may pass.
   */
  readonly whenDown: "refuse" | "local";
  /** How long one call may take, in milliseconds. */
  readonly deadlineMs: number;
  /** In front of every key in Redis, for instances of several gateways on one server. */
  readonly prefix?: string;
  /** How long a concurrency place outlives an instance that died. */
  readonly leaseMs?: number;
}

interface Lease {
  readonly id: string;
  readonly keyUid: string;
}

/**
 * Limits shared by all instances on one Redis: rate and concurrency are checked and taken by one script call, by
 * the server's clock, so that all instances together admit no more than one would.
 *
 * Fails as configured: a call that is late or refused by the connection counts as Redis down; after five in a row
 * none is tried for a second. A place that was taken although its answer came too late is given back.
 *
 * Concurrency of a key without a limit is not tracked; a limit set later counts from then on.
 */
export function createRedisLimits(options: RedisLimitsOptions): Limits {
  const { redis, clock, log, whenDown, deadlineMs, prefix = "bifrost", leaseMs = 30_000 } = options;
  const breaker = createCircuitBreaker(clock, { failures: 5, pauseMs: 1_000 });
  const local = createMemoryLimits(clock);
  const instance = randomUUID();
  const leases = new Map<string, Lease>();
  let taken = 0;

  const keysOf = (keyUid: string) => [`${prefix}:{${keyUid}}:rate`, `${prefix}:{${keyUid}}:running`] as const;

  /** Not awaited by requests. If it is lost, the lease runs out by itself. */
  function giveBack(lease: Lease, second: number): void {
    leases.delete(lease.id);
    runScript(redis, GIVE_BACK, keysOf(lease.keyUid), [lease.id, second]).catch(() => undefined);
  }

  async function takeShared(request: LimitRequest): Promise<LimitVerdict> {
    const { keyUid, rateLimit, maxConcurrency } = request;
    const lease = { id: `${instance}.${(taken++).toString(36)}`, keyUid };
    const call = runScript(redis, TAKE, keysOf(keyUid), [rateLimit, maxConcurrency ?? -1, lease.id, leaseMs]);
    const reply = await withDeadline(call, deadlineMs, ([admitted, , , , second = 0]) => {
      if (admitted === 1) giveBack(lease, second);
    });
    const [admitted = 0, remaining = 0, retryAfterMs = 0, resetMs = 0, second = 0] = reply;
    if (admitted !== 1) {
      return { admitted: false, reason: admitted === 0 ? "rate" : "concurrency", retryAfterMs, remaining, resetMs };
    }
    if (maxConcurrency !== null) leases.set(lease.id, lease);
    // Counted here too, so that a fall-back to local counts does not begin with empty ones.
    const own = whenDown === "local" ? local.take({ ...request, maxConcurrency: null }) : null;
    let settled = false;
    const settle = (undo: boolean) => {
      if (settled) return;
      settled = true;
      if (own?.admitted) {
        if (undo) own.undo();
        else own.release();
      }
      if (undo || maxConcurrency !== null) giveBack(lease, undo ? second : 0);
    };
    return { admitted: true, remaining, resetMs, release: () => settle(false), undo: () => settle(true) };
  }

  const renewal = setInterval(() => {
    const byKey = Map.groupBy(leases.values(), (lease) => lease.keyUid);
    for (const [keyUid, held] of byKey) {
      const ids = held.map((lease) => lease.id);
      // Until the next turn: a renewal that fails is tried again well before the lease ends.
      runScript(redis, RENEW, [keysOf(keyUid)[1]], [leaseMs, ...ids]).catch(() => undefined);
    }
  }, leaseMs / 4);
  renewal.unref();

  function down(request: LimitRequest, cause: unknown): LimitVerdict {
    if (whenDown === "local") return local.take(request);
    throw new GatewayError("limit.unavailable", { detail: "Redis is down", headers: { "retry-after": "1" }, cause });
  }

  return {
    async take(request) {
      if (!breaker.allows()) return down(request, undefined);
      try {
        const verdict = await takeShared(request);
        if (breaker.isOpen()) log.info({ event: "limits.redis_up" }, "Redis answers again: limits are shared");
        breaker.succeeded();
        return verdict;
      } catch (cause) {
        const wasOpen = breaker.isOpen();
        breaker.failed();
        if (breaker.isOpen() && !wasOpen) {
          log.warn({ event: "limits.redis_down", when_down: whenDown, reason: String(cause) }, "Redis does not answer");
        }
        return down(request, cause);
      }
    },
    async close() {
      clearInterval(renewal);
      await local.close();
    },
  };
}

/** The call's result if it comes in time; one that comes later goes to `late`. */
function withDeadline<T>(call: Promise<T>, ms: number, late: (result: T) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    let passed = false;
    const timer = setTimeout(() => {
      passed = true;
      reject(new Error(`no answer in ${ms} ms`));
    }, ms);
    call.then(
      (result) => {
        clearTimeout(timer);
        if (passed) late(result);
        else resolve(result);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}
