import { GatewayError } from "../core/errors.ts";

/** Where a proxied request wants to go, read from the raw request target; nothing is decoded. */
export interface ProxyTarget {
  /** From `/v1/services/{service}/proxy/…`; null for `/v1/proxy/…`, where the key's single target decides. */
  readonly serviceId: string | null;
  /** Path below the service's base path, as sent: `""` or starting with `/`. */
  readonly path: string;
  /** Query as sent, without `?` and without our own key parameter; `""` for none. */
  readonly query: string;
  /** Value of our own key parameter; only services that opt in accept it. */
  readonly keyInQuery: string | null;
  /** The part of the client's path that stands for the service, for rewriting `Location`. */
  readonly mount: string;
}

const SINGLE = "/v1/proxy";
const NAMED = /^\/v1\/services\/([A-Za-z0-9][A-Za-z0-9._-]{0,63})\/proxy(?=[/?]|$)/;
/** Our own name, so that it never collides with an upstream's (`key` is Google's). */
const KEY_PARAMETER = "bifrost_key=";

/** Whether a request target belongs to the proxy plane. Cheap: called for every request. */
export function isProxyTarget(url: string): boolean {
  if (url.startsWith(SINGLE)) {
    const next = url.charCodeAt(SINGLE.length);
    return Number.isNaN(next) || next === 0x2f || next === 0x3f;
  }
  return url.startsWith("/v1/services/") && NAMED.test(url);
}

/**
 * Splits a request target for which {@link isProxyTarget} holds.
 *
 * @throws GatewayError `request.path_invalid` for dot segments in any encoding, backslashes, `#` and control characters
 */
export function parseTarget(url: string): ProxyTarget {
  const named = url.startsWith(SINGLE) ? null : NAMED.exec(url);
  const mount = named ? named[0] : SINGLE;
  const queryStart = url.indexOf("?", mount.length);
  const path = queryStart === -1 ? url.slice(mount.length) : url.slice(mount.length, queryStart);
  checkPath(path);
  const rawQuery = queryStart === -1 ? "" : url.slice(queryStart + 1);
  if (/[#\x00-\x20\x7f]/.test(rawQuery)) throw invalid("the query has a character that must be percent-encoded");
  const own = rawQuery.includes(KEY_PARAMETER) ? withoutKey(rawQuery) : { query: rawQuery, key: null };
  return { serviceId: named?.[1] ?? null, path, query: own.query, keyInQuery: own.key, mount };
}

/** Screens out what cannot be harmless with one test; almost every path passes it. */
const SUSPICIOUS = /[%\\#\x00-\x20\x7f-\uffff]|\/\.|;/;

/**
 * A path may not climb out of the service's base path, however the upstream decodes it. Each round of
 * decoding is checked, since some servers decode twice; parameters after `;` are ignored, since some
 * servers cut them off before they resolve `..`.
 */
function checkPath(path: string): void {
  if (!SUSPICIOUS.test(path)) return;
  if (/[\\#\x00-\x20\x7f-\uffff]/.test(path))
    throw invalid("the path has a backslash, `#`, control or non-ASCII character");
  let decoded = path;
  for (let round = 0; round < 4; round++) {
    const segments = decoded.split(/[/\\]/);
    if (segments.some((segment) => /^\.{1,2}(?:;.*)?$/s.test(segment))) throw invalid("the path has a dot segment");
    if (decoded.includes("\0")) throw invalid("the path has an encoded NUL");
    const next = decodeOnce(decoded);
    if (next === decoded) return;
    decoded = next;
  }
  throw invalid("the path is percent-encoded more than three times over");
}

/** Decodes the ASCII escapes; what is not one stays. */
function decodeOnce(text: string): string {
  return text.replace(/%([0-7][0-9A-Fa-f])/g, (_whole, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

function invalid(message: string): GatewayError {
  return new GatewayError("request.path_invalid", { message: `invalid request path: ${message}` });
}

/** Removes our parameter textually: the rest keeps its order, its encoding and its oddities, so signatures hold. */
function withoutKey(query: string): { query: string; key: string | null } {
  const pairs = query.split("&");
  const own = pairs.find((pair) => pair.startsWith(KEY_PARAMETER));
  return {
    query: pairs.filter((pair) => !pair.startsWith(KEY_PARAMETER)).join("&"),
    key: own === undefined ? null : own.slice(KEY_PARAMETER.length),
  };
}
