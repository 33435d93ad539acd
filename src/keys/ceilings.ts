import type { Principal } from "../access/principal.ts";
import { GatewayError } from "../core/errors.ts";
import type { KeySource, Scope } from "./model.ts";

/** The instance's ceilings, from the configuration (`keys.*`). */
export interface KeyLimits {
  readonly maxTtlMs: number;
  readonly maxRateLimit: number;
  readonly memberMaxTtlMs: number;
  readonly memberMaxRateLimit: number;
  readonly mcpMaxTtlMs: number;
  readonly mcpMaxRateLimit: number;
}

/** The most that one caller may grant. */
export interface Ceilings {
  readonly ttlMs: number;
  /** Requests per minute. */
  readonly rateLimit: number;
  readonly scope: Scope;
}

/** How the caller's request names what is checked: `ttl_seconds` over MCP, `ttl` or `expires_at` over REST. */
export interface ArgumentNames {
  readonly ttl: string;
  readonly rateLimit: string;
  readonly scope: string;
  /** Of the n-th granted service or MCP server. */
  readonly target: (index: number) => string;
}

/** What may be granted: the instance's own ceiling, and below it the caller's and the way's. */
export function ceilingsOf(principal: Principal, source: KeySource, limits: KeyLimits): Ceilings {
  const ttl = [limits.maxTtlMs];
  const rate = [limits.maxRateLimit];
  if (source === "mcp") {
    ttl.push(limits.mcpMaxTtlMs);
    rate.push(limits.mcpMaxRateLimit);
  }
  let scope: Scope = "write";
  switch (principal.kind) {
    case "user":
      if (principal.role === "member") {
        ttl.push(limits.memberMaxTtlMs);
        rate.push(limits.memberMaxRateLimit);
      }
      break;
    case "service_account":
      if (principal.maxTtlSeconds !== null) ttl.push(principal.maxTtlSeconds * 1_000);
      if (principal.maxRateLimit !== null) rate.push(principal.maxRateLimit);
      scope = principal.maxScope;
      break;
    case "virtual_key":
    case "gateway_agent":
    case "local":
      throw new GatewayError("key.cannot_issue");
  }
  return { ttlMs: Math.min(...ttl), rateLimit: Math.min(...rate), scope };
}

/** What is not asked for is not checked. @throws GatewayError `ceiling.exceeded` naming each argument and its ceiling */
export function assertWithin(
  ceilings: Ceilings,
  asked: { ttlMs?: number | undefined; rateLimit?: number | undefined; scope?: Scope | undefined },
  names: ArgumentNames,
): void {
  const fields: { path: string; message: string }[] = [];
  if (asked.ttlMs !== undefined && asked.ttlMs > ceilings.ttlMs) {
    fields.push({ path: names.ttl, message: `at most ${Math.floor(ceilings.ttlMs / 1_000)} seconds for this caller` });
  }
  if (asked.rateLimit !== undefined && asked.rateLimit > ceilings.rateLimit) {
    fields.push({ path: names.rateLimit, message: `at most ${ceilings.rateLimit} per minute for this caller` });
  }
  if (asked.scope === "write" && ceilings.scope === "read") {
    fields.push({ path: names.scope, message: "at most read for this caller" });
  }
  if (fields.length === 0) return;
  const message = fields.map((field) => `${field.path}: ${field.message}`).join("; ");
  throw new GatewayError("ceiling.exceeded", { message, fields });
}
