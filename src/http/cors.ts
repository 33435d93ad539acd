import type { IncomingMessage, ServerResponse } from "node:http";

/** Which web origins may call the gateway from a browser. */
export interface Cors {
  /** Exact origins; `"*"` alone means any. Empty: none, and no CORS header is ever sent. */
  readonly origins: readonly string[];
}

const METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
/** Every header in which a credential or a choice of ours travels, and what SDKs send beside them. */
const HEADERS = [
  "Accept",
  "Authorization",
  "Content-Type",
  "X-API-Key",
  "X-Virtual-Key",
  "X-Service-Key",
  "X-Goog-Api-Key",
  "Api-Key",
  "X-Agent-ID",
  "X-Org-ID",
  "X-Request-ID",
  "Idempotency-Key",
  "Mcp-Session-Id",
  "Mcp-Protocol-Version",
  "Mcp-Method",
  "Mcp-Name",
  "Last-Event-ID",
].join(", ");
const EXPOSED =
  "X-Request-ID, X-Next-Cursor, Link, Retry-After, RateLimit, RateLimit-Policy, Mcp-Session-Id, WWW-Authenticate";
const MAX_AGE_SECONDS = "300";

/**
 * Adds CORS headers (Fetch standard) for an allowed origin. Credentials are never allowed: the gateway
 * takes keys, not cookies. True: this was a preflight, and it has been answered.
 */
export function applyCors(cors: Cors, req: IncomingMessage, res: ServerResponse): boolean {
  if (cors.origins.length === 0) return false;
  const { origin } = req.headers;
  if (origin === undefined) return false;
  const isPreflight = req.method === "OPTIONS" && req.headers["access-control-request-method"] !== undefined;
  const isAllowed = cors.origins.includes("*") || cors.origins.includes(origin);
  res.setHeader("vary", "Origin");
  if (isAllowed) {
    res.setHeader("access-control-allow-origin", cors.origins.includes("*") ? "*" : origin);
    res.setHeader("access-control-expose-headers", EXPOSED);
  }
  if (!isPreflight) return false;
  if (isAllowed) {
    res.setHeader("access-control-allow-methods", METHODS);
    res.setHeader("access-control-allow-headers", HEADERS);
    res.setHeader("access-control-max-age", MAX_AGE_SECONDS);
  }
  res.writeHead(204, { "content-length": "0" }).end();
  return true;
}
