import type { Clock } from "../core/clock.ts";
import { GatewayError } from "../core/errors.ts";
import type { JsonText } from "../jsonrpc/json-slice.ts";
import type { Reply } from "../jsonrpc/message.ts";
import { contentTexts, isErrorResult } from "./tool-result.ts";

/** Longest time that a server's own "rate reset in" is believed; the limits behind these servers are hourly at most. */
const MAX_RESET_MS = 3_600_000;
/** A probe that nobody heard of again (a client that hung up) must not hold the circuit half open for ever. */
const PROBE_TIMEOUT_MS = 30_000;

/** One call that was let through. Told once how it ended; a second time changes nothing. */
export interface Attempt {
  /** The server answered. */
  answered(reply: Reply): void;
  /** It did not: says nothing about its rate limit, and another call may probe. */
  failed(): void;
}

/** Holds back calls to a server whose own rate limit was reached, for all callers together. */
export interface Breaker {
  /** @throws GatewayError `mcp.circuit_open` with `Retry-After` */
  admit(): Attempt;
  readonly state: "closed" | "open" | "half_open";
}

export interface BreakerOptions {
  readonly server: string;
  /** Rate-limited results in a row that open it; 0 never does. */
  readonly threshold: number;
  /** How long it stays open where the server does not say. */
  readonly cooldownMs: number;
  /** Steady. */
  readonly clock: Clock;
}

/**
 * Closed until `threshold` rate-limited results in a row; then open until the server's "rate reset in N s" or the cool-down;
 * then half open: one call probes, and decides. Answers to calls that were let through before it opened count no more.
 */
export function createBreaker({ server, threshold, cooldownMs, clock }: BreakerOptions): Breaker {
  let inARow = 0;
  /** Null while closed. */
  let openUntil: number | null = null;
  let probe: { readonly since: number } | null = null;
  /** Counts openings and closings, so that a late answer is known as one. */
  let era = 0;

  const isProbing = (): boolean => probe !== null && clock.now() - probe.since < PROBE_TIMEOUT_MS;

  function open(forMs: number): void {
    openUntil = clock.now() + forMs;
    probe = null;
    era++;
  }

  function close(): void {
    openUntil = null;
    probe = null;
    inARow = 0;
    era++;
  }

  function admit(): Attempt {
    if (openUntil === null) return watch(null);
    const waitMs = openUntil - clock.now();
    if (waitMs > 0) throw refusal(server, waitMs);
    if (isProbing()) throw refusal(server, 1_000);
    probe = { since: clock.now() };
    return watch(probe);
  }

  function watch(asProbe: { readonly since: number } | null): Attempt {
    const begun = era;
    let isOver = false;
    /** False for what is told twice, too late, or by a probe that was given up. */
    const isNews = (): boolean => {
      const news = !isOver && begun === era && probe === asProbe;
      isOver = true;
      return news;
    };
    return {
      answered(reply) {
        // The usual case: closed, and nothing to count or reset.
        const limited = rateLimit(reply);
        if (limited === "unknown") {
          if (isNews()) probe = null;
        } else if (limited === null) {
          if (isNews()) {
            if (asProbe !== null) close();
            else inARow = 0;
          }
        } else if (isNews() && (asProbe !== null || (threshold > 0 && ++inARow >= threshold))) {
          open(limited.resetMs ?? cooldownMs);
        }
      },
      failed() {
        if (isNews()) probe = null;
      },
    };
  }

  return {
    admit,
    get state() {
      if (openUntil === null) return "closed";
      return clock.now() < openUntil ? "open" : "half_open";
    },
  };
}

function refusal(server: string, waitMs: number): GatewayError {
  const seconds = Math.ceil(waitMs / 1_000);
  return new GatewayError("mcp.circuit_open", {
    message: `rate limit circuit breaker is OPEN for server ${JSON.stringify(server)}; retry in ${seconds}s`,
    headers: { "retry-after": String(seconds) },
  });
}

/** Null: not rate-limited. `unknown`: an error of the protocol, which says nothing about the limit. */
function rateLimit(reply: Reply): { readonly resetMs: number | null } | "unknown" | null {
  if ("error" in reply) return "unknown";
  return rateLimitOf(reply.result);
}

/** Whether a result tells that the server's own rate limit was reached, and when that ends if it says so. */
export function rateLimitOf(result: JsonText): { readonly resetMs: number | null } | null {
  if (!isErrorResult(result)) return null;
  const text = contentTexts(result).join("\n").toLowerCase();
  const isLimited =
    /rate limit exceeded|api rate limit|secondary rate limit|too many requests/.test(text) ||
    (text.includes("rate limit") && text.includes("403"));
  return isLimited ? { resetMs: readReset(text) } : null;
}

/** "rate reset in 47s", and as GitHub's client writes it "rate reset in 4m30s". */
function readReset(text: string): number | null {
  const found = /rate reset in (?:(\d{1,4})h)?(?:(\d{1,6})m)?(?:(\d{1,8})(?:\.\d+)?s)?/.exec(text);
  if (found === null) return null;
  const [hours, minutes, seconds] = found.slice(1).map((part) => Number(part ?? 0));
  const ms = ((hours ?? 0) * 3_600 + (minutes ?? 0) * 60 + (seconds ?? 0)) * 1_000;
  return ms > 0 ? Math.min(ms, MAX_RESET_MS) : null;
}
