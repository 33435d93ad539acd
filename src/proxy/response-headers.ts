import type { EchoMask } from "./echo-mask.ts";
import { nominatedByConnection } from "./request-headers.ts";

/**
 * Response headers that never pass, lower case: hop-by-hop ones; those that would make the upstream's
 * rules the rules of the gateway's own origin (CORS, HSTS, Alt-Svc, service workers, clearing data,
 * reporting); and those the gateway sets itself.
 */
const STRIPPED: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "transfer-encoding",
  "upgrade",
  "set-cookie2",
  "strict-transport-security",
  "public-key-pins",
  "public-key-pins-report-only",
  "alt-svc",
  "clear-site-data",
  "nel",
  "report-to",
  "reporting-endpoints",
  "service-worker-allowed",
  "refresh",
  "x-request-id",
]);

export interface ResponseHeaderRules {
  readonly forwardCookies: boolean;
  /** The upstream's origin and base path, and the path under which the client sees them. */
  readonly origin: string;
  readonly basePath: string;
  readonly mount: string;
  readonly mask: EchoMask | null;
}

/**
 * The upstream's response headers as the client may see them, alternating names and values.
 *
 * @param raw as undici hands them over: buffers of names and values (HTTP/1.1), or an object (HTTP/2)
 * @param connection the `Connection` header, whose names are hop-by-hop
 */
export function relayedHeaders(
  raw: unknown,
  connection: string | string[] | undefined,
  rules: ResponseHeaderRules,
): string[] {
  const nominated = nominatedByConnection(Array.isArray(connection) ? connection.join(",") : connection);
  const out: string[] = [];
  const relay = (name: string, value: string) => {
    const relayed = relayedValue(name.toLowerCase(), value, nominated, rules);
    if (relayed !== null) out.push(name, rules.mask === null ? relayed : rules.mask.text(relayed));
  };
  eachPair(raw, relay);
  return out;
}

function relayedValue(
  lower: string,
  value: string,
  nominated: ReadonlySet<string> | null,
  rules: ResponseHeaderRules,
): string | null {
  if (STRIPPED.has(lower) || nominated?.has(lower)) return null;
  if (lower.startsWith("x-bifrost-") || lower.startsWith("access-control-")) return null;
  if (lower === "set-cookie") return rules.forwardCookies ? confineCookie(value, rules.mount) : null;
  if (lower === "location" || lower === "content-location") return rewriteLocation(value, rules);
  return value;
}

/** The cookie belongs to this service's part of the gateway's origin, not to all of it, and to no other host. */
function confineCookie(value: string, mount: string): string {
  const kept = value.split(";").filter((part) => !/^\s*(domain|path)\s*=/i.test(part));
  return `${kept.join(";")}; Path=${mount}`;
}

/**
 * A redirect within the service leads back through the gateway; one to another host passes, since the
 * gateway does not follow it and the client decides; one to the upstream's own host outside the base
 * path is dropped, since it would name an internal address that the client may not reach.
 */
function rewriteLocation(value: string, rules: ResponseHeaderRules): string | null {
  const isAbsolute = /^[a-z][a-z0-9+.-]*:/i.test(value) || value.startsWith("//");
  if (!isAbsolute && !value.startsWith("/")) return value;
  const url = URL.parse(value, `${rules.origin}/`);
  if (url === null) return null;
  if (url.origin !== rules.origin) return isAbsolute && url.hostname !== new URL(rules.origin).hostname ? value : null;
  const path = url.pathname;
  if (path !== rules.basePath && !path.startsWith(`${rules.basePath}/`)) return null;
  return rules.mount + path.slice(rules.basePath.length) + url.search + url.hash;
}

/** Trailers, filtered as headers are, as name and value pairs. */
export function relayedTrailers(raw: unknown, mask: EchoMask | null): [string, string][] {
  const out: [string, string][] = [];
  eachPair(raw, (name, value) => {
    const lower = name.toLowerCase();
    // RFC 9110 §6.5.1: framing, routing and authentication have no place in trailers.
    if (STRIPPED.has(lower) || lower === "content-length" || lower === "set-cookie") return;
    if (lower.startsWith("x-bifrost-") || lower.startsWith("access-control-")) return;
    out.push([name, mask === null ? value : mask.text(value)]);
  });
  return out;
}

function eachPair(raw: unknown, use: (name: string, value: string) => void): void {
  if (Array.isArray(raw)) {
    for (let i = 0; i + 1 < raw.length; i += 2) use(textOf(raw[i]), textOf(raw[i + 1]));
    return;
  }
  for (const [name, value] of Object.entries((raw ?? {}) as Record<string, string | string[] | undefined>)) {
    if (name.startsWith(":") || value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) use(name, String(one));
  }
}

function textOf(part: unknown): string {
  return Buffer.isBuffer(part) ? part.toString("latin1") : String(part);
}
