/** Where an upstream is: what `URL.origin` says, and a path prefix without trailing slash ("" for none). */
export interface UpstreamAddress {
  readonly origin: string;
  readonly basePath: string;
}

const MAX_LENGTH = 2_048;

/**
 * Parses a service's endpoint. Only what can be an upstream and reads the same to everyone: http or https,
 * visible ASCII (a name with other letters in its `xn--` form), no user, query, fragment, backslash, empty
 * segment or dot segment, also not an encoded one. Null for anything else.
 */
export function parseEndpoint(text: string): UpstreamAddress | null {
  if (text.length > MAX_LENGTH || !/^https?:\/\/[^/?#\\@]+(\/|$)/i.test(text)) return null;
  if (!/^[\x21-\x7e]+$/.test(text) || /[?#\\]/.test(text) || !URL.canParse(text)) return null;
  const path = text.replace(/^https?:\/\/[^/]+/i, "");
  if (path.includes("//") || path.split("/").some(isDotSegment)) return null;
  const url = new URL(text);
  if (url.username !== "" || url.password !== "") return null;
  return { origin: url.origin, basePath: url.pathname.replace(/\/$/, "") };
}

/** Scheme, host and port of http or https, written exactly as `URL.origin` writes them. */
export function isOrigin(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : null;
  return url !== null && /^https?:$/.test(url.protocol) && url.origin === text;
}

/** `.` or `..`, each dot plain or percent-encoded (RFC 3986 §5.2.4; the WHATWG parser removes both). */
function isDotSegment(segment: string): boolean {
  return /^(\.|%2e){1,2}$/i.test(segment);
}
