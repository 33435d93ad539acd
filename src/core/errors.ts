/**
 * Every failure a client can be told about, and the only place where one gets a status, a JSON-RPC
 * code and its public wording. docs/errors.md is generated from this table.
 *
 * Codes are public API: never renamed, never reused. `rpc` codes of ours stay outside
 * -32768..-32000, which JSON-RPC 2.0 and MCP reserve.
 */
export const ERRORS = {
  "request.invalid": {
    status: 400,
    rpc: -32602,
    title: "invalid request",
    remedy: "Correct the fields named in `fields`; nothing was written.",
  },
  "request.too_large": {
    status: 413,
    rpc: 4130,
    title: "request body too large",
    remedy: "Send a smaller body; management requests are limited to 1 MiB, MCP messages to 4 MiB.",
  },
  "request.unsupported_media_type": {
    status: 415,
    rpc: 4150,
    title: "unsupported content type",
    remedy: "Send `Content-Type: application/json`.",
  },
  "request.not_acceptable": {
    status: 406,
    rpc: 4060,
    title: "the reply is JSON, which this client does not accept",
    remedy: "Accept `application/json`.",
  },
  "request.timeout": {
    status: 408,
    rpc: 4080,
    title: "the request body did not arrive in time",
    remedy: "Send the whole body within 30 seconds.",
  },
  "request.org_required": {
    status: 400,
    rpc: 4000,
    title: "this credential belongs to several organizations",
    remedy: "Name one in the `X-Org-ID` header.",
  },
  "request.agent_id_invalid": {
    status: 400,
    rpc: 4000,
    title: "invalid X-Agent-ID",
    remedy: "Use 1 to 128 characters of A-Z a-z 0-9 . _ : @ - and not . or .. alone.",
  },
  "request.path_invalid": {
    status: 400,
    rpc: 4000,
    title: "invalid request path",
    remedy: "Remove dot segments (also encoded ones), backslashes and control characters from the path.",
  },
  "request.method_not_allowed": {
    status: 405,
    rpc: 4050,
    title: "method not allowed",
    remedy: "Use one of the methods in the `Allow` header. TRACE and CONNECT are never forwarded.",
  },
  "request.not_found": {
    status: 404,
    rpc: 4040,
    title: "not found",
    remedy: "Check the path against /docs.",
  },
  "auth.required": {
    status: 401,
    rpc: 4010,
    title: "unauthorized",
    remedy: "Send a session token (`Authorization: Bearer`) or an API key (`X-API-Key`).",
  },
  "auth.conflict": {
    status: 401,
    rpc: 4010,
    title: "the two credentials of this request do not belong to the same principal",
    remedy: "Send one credential, or two of the same user and organization.",
  },
  "auth.throttled": {
    status: 429,
    rpc: 4290,
    title: "too many failed authentications from this address",
    remedy: "Wait for `Retry-After` seconds; check the credential before trying again.",
  },
  "auth.forbidden": {
    status: 403,
    rpc: 4030,
    title: "forbidden",
    remedy: "Ask an owner or admin of the organization, or use a credential with the permission named in the message.",
  },
  "setup.token_invalid": {
    status: 401,
    rpc: 4010,
    title: "invalid setup token",
    remedy:
      "Use the one-time token that the gateway printed at its first start, or make a new one with `bifrost setup-token`.",
  },
  "setup.done": {
    status: 409,
    rpc: 4090,
    title: "already initialized",
    remedy: "Log in with an existing user; set-up runs once.",
  },
  "key.missing": {
    status: 401,
    rpc: 4010,
    title: "missing key",
    remedy:
      "Send the virtual key as `Authorization: Bearer`, `X-Virtual-Key`, `x-api-key`, `api-key` or `x-goog-api-key`.",
  },
  "key.invalid": {
    status: 401,
    rpc: 4010,
    title: "invalid key",
    remedy: "The key is unknown. Check for a typo (the last six characters are a checksum) or request a new one.",
  },
  "key.revoked": {
    status: 401,
    rpc: 4010,
    title: "key revoked",
    remedy: "Request a new key.",
  },
  "key.expired": {
    status: 401,
    rpc: 4010,
    title: "key expired",
    remedy: "Request a new key.",
  },
  "key.used": {
    status: 401,
    rpc: 4010,
    title: "key already used",
    remedy: "The key's uses are spent. Request a new key.",
  },
  "key.scope": {
    status: 403,
    rpc: 4030,
    title: "insufficient scope",
    remedy: "A key with scope `read` may only send GET, HEAD and OPTIONS. Request one with scope `write`.",
  },
  "key.not_granted": {
    status: 403,
    rpc: 4030,
    title: "the key is not granted this method and path",
    remedy: "Request a key whose grants include it, or ask for the service's allowed methods and paths to be widened.",
  },
  "key.target_required": {
    status: 400,
    rpc: 4000,
    title: "the key has no single target",
    remedy: "Name the service in the path: /v1/services/{service}/proxy/{path}.",
  },
  "key.cannot_issue": {
    status: 403,
    rpc: 4030,
    title: "this caller cannot issue keys",
    remedy: "Call with a user's or a service account's API key: virtual keys and configured agents cannot own keys.",
  },
  "ceiling.exceeded": {
    status: 403,
    rpc: -32602,
    title: "above what this caller may grant",
    remedy: "Ask for no more than the ceiling named in the message.",
  },
  "limit.rate": {
    status: 429,
    rpc: 4290,
    title: "Rate limit exceeded",
    remedy: "Wait for `Retry-After` seconds; the `RateLimit` header fields tell what is left.",
  },
  "limit.concurrency": {
    status: 429,
    rpc: 4290,
    title: "too many requests at once for this key",
    remedy: "Wait for a running request to end.",
  },
  "limit.unavailable": {
    status: 503,
    rpc: 5030,
    title: "limits cannot be checked right now",
    remedy: "Retry later. The gateway refuses rather than exceed a limit while its counter store is down.",
  },
  "service.not_found": {
    status: 404,
    rpc: 4040,
    title: "service not found",
    remedy: "Check the service id, and that the key is granted it.",
  },
  "service.unusable": {
    status: 502,
    rpc: 5020,
    title: "the service's credential cannot be used",
    remedy: "An admin must check the service's root key; the audit trail and the log have the reason.",
  },
  "upstream.address_refused": {
    status: 502,
    rpc: 5020,
    title: "the upstream's address is not allowed",
    remedy: "Private, loopback, link-local and metadata addresses need an entry in the service's `allow_addresses`.",
  },
  "upstream.unreachable": {
    status: 502,
    rpc: 5020,
    title: "the upstream could not be reached",
    remedy: "Check that the upstream is up and its origin is right (name resolution, port, TLS).",
  },
  "upstream.dns": {
    status: 502,
    rpc: 5020,
    title: "the upstream's name could not be resolved",
    remedy: "Check the service's origin and the gateway's name servers.",
  },
  "upstream.tls": {
    status: 502,
    rpc: 5020,
    title: "the TLS connection to the upstream failed",
    remedy: "Check the upstream's certificate and the service's origin.",
  },
  "upstream.reset": {
    status: 502,
    rpc: 5020,
    title: "the upstream closed the connection before answering",
    remedy: "Retry if the request is safe to repeat; the gateway never repeats one that may have been received.",
  },
  "upstream.protocol": {
    status: 502,
    rpc: 5020,
    title: "the upstream's answer was not valid HTTP",
    remedy: "Check that the service's origin speaks HTTP on this port.",
  },
  "upstream.timeout_connect": {
    status: 504,
    rpc: 5040,
    title: "the upstream did not accept a connection in time",
    remedy: "Raise the service's `timeouts.connect_ms`, or check the upstream.",
  },
  "upstream.timeout": {
    status: 504,
    rpc: 5040,
    title: "the upstream did not answer in time",
    remedy:
      "Check the upstream, or raise the service's `timeouts.headers_ms`, `idle_ms` or `total_ms`; of an MCP server `tool_timeout`.",
  },
  "upstream.too_large": {
    status: 502,
    rpc: 5020,
    title: "the upstream's answer is larger than the gateway accepts",
    remedy: "Ask for less at once; the limit guards the gateway's memory.",
  },
  "upstream.refused": {
    status: 502,
    rpc: 5020,
    title: "the upstream refused the request",
    remedy: "Check the server's address and its credentials in the configuration.",
  },
  "upstream.start_failed": {
    status: 502,
    rpc: 5020,
    title: "the MCP server could not be started",
    remedy: "Look at the server's log and at `bifrost mcp list`; the gateway tries again by itself.",
  },
  "upstream.unavailable": {
    status: 503,
    rpc: 5030,
    title: "the MCP server is not available at the moment",
    remedy: "Retry later; the gateway tries to reach it again by itself.",
  },
  "upstream.session_lost": {
    status: 502,
    rpc: 5020,
    title: "the MCP server has forgotten the session",
    remedy: "Retry; the gateway starts a new session with the server.",
  },
  "mcp.server_not_found": {
    status: 404,
    rpc: 4040,
    title: "no such MCP server",
    remedy: "Check the name in the path; servers that the caller may not use answer the same.",
  },
  "mcp.session_not_found": {
    status: 404,
    rpc: -32001,
    title: "Session not found",
    remedy: "Send `initialize` again: the session ended, or it is not this caller's.",
  },
  "mcp.sessions_exhausted": {
    status: 503,
    rpc: 5030,
    title: "too many open MCP sessions",
    remedy: "End sessions that are no longer used with DELETE, or raise `gateway.max_sessions`.",
  },
  "mcp.tool_not_allowed": {
    status: 403,
    rpc: -32602,
    title: "this tool is not allowed",
    remedy: "List the tools to see what is allowed; an operator decides with `tools` and with the key's grants.",
  },
  "mcp.arguments_not_allowed": {
    status: 403,
    rpc: -32602,
    title: "these arguments are not allowed for this caller",
    remedy: "Use arguments that the key's grant allows, or ask an operator for a wider grant.",
  },
  "mcp.call_limit": {
    status: 429,
    rpc: 4290,
    title: "tool call limit reached",
    remedy: "The limit is per session; an operator sets it with `tool_call_limits`.",
  },
  "mcp.circuit_open": {
    status: 503,
    rpc: 5030,
    title: "the MCP server's own rate limit was reached; calls are held back",
    remedy: "Retry after the time that the message names.",
  },
  "mcp.filter_failed": {
    status: 502,
    rpc: 5020,
    title: "the response filter failed, and the response was withheld",
    remedy: "Check the jq program in `tool_response_filters`; nothing unfiltered is ever returned.",
  },
  "resource.not_found": {
    status: 404,
    rpc: 4040,
    title: "not found",
    remedy: "Check the id; things of another organization answer the same.",
  },
  "resource.exists": {
    status: 409,
    rpc: 4090,
    title: "already exists",
    remedy: "Choose another id.",
  },
  "resource.in_use": {
    status: 409,
    rpc: 4090,
    title: "still in use",
    remedy: "Remove what the message names first, or repeat with `?cascade=true` where the operation offers it.",
  },
  "resource.read_only": {
    status: 409,
    rpc: 4090,
    title: "declared in the configuration file, read-only here",
    remedy: "Change the configuration file and reload.",
  },
  "resource.conflict": {
    status: 409,
    rpc: 4090,
    title: "conflict",
    remedy: "Read the resource again and repeat the change on its current state.",
  },
  "idempotency.mismatch": {
    status: 422,
    rpc: 4220,
    title: "Idempotency-Key was used for a different request",
    remedy: "Use a new key for a new request.",
  },
  "idempotency.in_progress": {
    status: 409,
    rpc: 4090,
    title: "a request with this Idempotency-Key is still running",
    remedy: "Retry after it has ended; the stored reply will be returned.",
  },
  "credential.origin_not_allowed": {
    status: 422,
    rpc: 4220,
    title: "the root key is not bound to this origin",
    remedy: "Re-enter the secret with the wider `origins` (PUT /v1/rootkeys/{id}), or use another root key.",
  },
  "gateway.closed": {
    status: 410,
    rpc: 4100,
    title: "Gateway has already been closed",
    remedy: "Nothing is to be done: the gateway is stopping.",
  },
  "gateway.draining": {
    status: 503,
    rpc: 5030,
    title: "the gateway is shutting down",
    remedy: "Retry; another instance or the restarted one will answer.",
  },
  internal: {
    status: 500,
    rpc: -32603,
    title: "internal error",
    remedy: "Report the `request_id`; the gateway's log has the cause under it.",
  },
} as const satisfies Record<string, { status: number; rpc: number; title: string; remedy: string }>;

export type ErrorCode = keyof typeof ERRORS;

/** One invalid input: `path` as in JSON (`grants.0.methods`), `""` for the whole body. */
export interface FieldProblem {
  readonly path: string;
  readonly message: string;
}

interface GatewayErrorOptions {
  /** Replaces the table's public title. Our own words only: never an upstream's or a database's text. */
  readonly message?: string;
  /** For logs only: may name hosts, ids and limits. Never sent to a client. */
  readonly detail?: string;
  readonly fields?: readonly FieldProblem[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

/** A refusal or failure with a stable code. Whatever is not one of these reaches a client as `internal`. */
export class GatewayError extends Error {
  override readonly name = "GatewayError";
  readonly code: ErrorCode;
  readonly status: number;
  readonly publicMessage: string;
  readonly fields: readonly FieldProblem[];
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: ErrorCode, options: GatewayErrorOptions = {}) {
    const publicMessage = options.message ?? ERRORS[code].title;
    super(options.detail ?? publicMessage, { cause: options.cause });
    this.code = code;
    this.status = ERRORS[code].status;
    this.publicMessage = publicMessage;
    this.fields = options.fields ?? [];
    this.headers = options.headers ?? {};
  }
}

/** Turns anything thrown into the one shape that is rendered, logged and audited. */
export function toGatewayError(thrown: unknown): GatewayError {
  return thrown instanceof GatewayError
    ? thrown
    : new GatewayError("internal", { detail: "unexpected throw", cause: thrown });
}
