import type { IncomingMessage } from "node:http";
import type { LiveService } from "../gate/catalog.ts";
import type { VirtualKey } from "../keys/model.ts";

/**
 * Request headers that never pass, lower case. Four reasons:
 * hop-by-hop (RFC 9110 §7.6.1) or owned by the client that makes the upstream connection;
 * credentials meant for the gateway; forwarding claims that anyone can write; and headers that ask an
 * upstream to treat the request as another method or path than the one that policy has seen.
 */
const STRIPPED: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
  "host",
  "content-length",
  "expect",
  "authorization",
  "x-virtual-key",
  "x-api-key",
  "api-key",
  "x-goog-api-key",
  "x-service-key",
  "x-org-id",
  "cookie",
  "cookie2",
  "forwarded",
  "x-real-ip",
  "x-client-ip",
  "x-cluster-client-ip",
  "true-client-ip",
  "cf-connecting-ip",
  "via",
  "x-http-method",
  "x-http-method-override",
  "x-method-override",
  "x-original-url",
  "x-rewrite-url",
  "x-request-id",
  "x-agent-id",
]);

/** Whether a client's header may reach an upstream at all; a service may narrow it further. @param lower lower-case name */
export function isForwardedRequestHeader(lower: string): boolean {
  return mayPass(gatewayName(lower));
}

function mayPass(name: string): boolean {
  return !STRIPPED.has(name) && !name.startsWith("x-bifrost-") && !name.startsWith("x-forwarded-");
}

/**
 * The name as a CGI-like upstream (RFC 3875 §4.1.18: WSGI, Rack, PHP) cannot tell it from: there
 * `X_Bifrost_Key_ID` and `X-Bifrost-Key-ID` become one variable, so what holds for one holds for the other.
 */
function gatewayName(lower: string): string {
  return /[^a-z0-9-]/.test(lower) ? lower.replace(/[^a-z0-9-]/g, "-") : lower;
}

/** How a credential enters the request; made once per service and credential version by inject.ts. */
export interface HeaderInjection {
  /** Lower case; an inbound header of this name is removed. */
  readonly name: string;
  readonly value: string;
}

export interface OutboundHeaderInput {
  readonly req: IncomingMessage;
  readonly key: VirtualKey;
  readonly target: LiveService;
  readonly requestId: string;
  readonly injection: HeaderInjection | null;
  /** `X-Bifrost-Identity`, where the service asks for it. */
  readonly assertion: string | null;
  /** Set where the service asks for the client's address. */
  readonly forwarded: { readonly address: string; readonly host: string; readonly proto: string } | null;
}

/**
 * The headers of the upstream request, on a fresh list of alternating names and values. What the client
 * sent is filtered first, including what its `Connection` header names; ours are added last, so nothing a
 * client sends can remove or replace them.
 */
export function outboundHeaders(input: OutboundHeaderInput): string[] {
  const { req, key, target, injection } = input;
  const { settings } = target.service;
  const { rawHeaders } = req;
  const nominated = nominatedByConnection(req.headers.connection);
  const injected = injection === null ? null : gatewayName(injection.name);
  const out: string[] = [];

  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? "";
    const lower = name.toLowerCase();
    const asGateway = gatewayName(lower);
    if (!mayPass(asGateway) && !(lower === "cookie" && settings.forwardCookies)) continue;
    if (nominated?.has(lower) || asGateway === injected) continue;
    if (settings.allowHeaders !== null && !settings.allowHeaders.includes(lower) && !lower.startsWith("content-"))
      continue;
    if (lower === "accept-encoding" && settings.credentialEcho === "strict") continue;
    out.push(name, rawHeaders[i + 1] ?? "");
  }

  if (settings.credentialEcho === "strict") out.push("accept-encoding", "identity");
  if (input.forwarded) {
    out.push(
      "x-forwarded-for",
      input.forwarded.address,
      "x-forwarded-host",
      input.forwarded.host,
      "x-forwarded-proto",
      input.forwarded.proto,
    );
  }
  if (injection) out.push(injection.name, injection.value);
  out.push("X-Request-ID", input.requestId, "X-Bifrost-Key-ID", key.id);
  if (key.source === "mcp") out.push("X-Bifrost-Agent-ID", key.agentId ?? key.id);
  if (input.assertion !== null) out.push("X-Bifrost-Identity", input.assertion);
  return out;
}

/** Header names that the client declares hop-by-hop; null for the usual values, which nominate nothing. */
export function nominatedByConnection(header: string | undefined): ReadonlySet<string> | null {
  if (header === undefined || header === "keep-alive" || header === "close") return null;
  return new Set(
    header
      .toLowerCase()
      .split(",")
      .map((name) => name.trim()),
  );
}

/** Whether the client sends a body: RFC 9112 §6.3 says by these two headers alone. */
export function hasBody(req: IncomingMessage): boolean {
  const length = req.headers["content-length"];
  return (length !== undefined && length !== "0") || req.headers["transfer-encoding"] !== undefined;
}
