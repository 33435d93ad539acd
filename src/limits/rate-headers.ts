import { GatewayError } from "../core/errors.ts";
import { WINDOW_MS } from "./sliding-window.ts";
import type { LimitVerdict } from "./types.ts";

const POLICY = '"bifrost"';
const WINDOW_SECONDS = WINDOW_MS / 1_000;

/**
 * The `RateLimit` and `RateLimit-Policy` response fields (draft-ietf-httpapi-ratelimit-headers-09, structured
 * fields): the key's requests per minute, what is left of them, and the seconds until all are available again.
 * No partition key: it would tell one client about others.
 */
export function rateHeaders(
  rateLimit: number,
  verdict: { readonly remaining: number; readonly resetMs: number },
): { ratelimit: string; "ratelimit-policy": string } {
  return {
    ratelimit: `${POLICY};r=${verdict.remaining};t=${Math.ceil(verdict.resetMs / 1_000)}`,
    "ratelimit-policy": `${POLICY};q=${rateLimit};w=${WINDOW_SECONDS}`,
  };
}

/** The value of `Retry-After` (RFC 9110 §10.2.3): whole seconds, rounded up, at least 1. */
export function retryAfter(ms: number): string {
  return String(Math.max(1, Math.ceil(ms / 1_000)));
}

/** The error of a refused request: `limit.rate` or `limit.concurrency`, with all header fields a client needs. */
export function limitError(rateLimit: number, verdict: Extract<LimitVerdict, { admitted: false }>): GatewayError {
  return new GatewayError(verdict.reason === "rate" ? "limit.rate" : "limit.concurrency", {
    headers: { ...rateHeaders(rateLimit, verdict), "retry-after": retryAfter(verdict.retryAfterMs) },
  });
}
