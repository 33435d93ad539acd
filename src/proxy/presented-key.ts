import type { IncomingHttpHeaders } from "node:http";

/**
 * The headers in which SDKs send their API key, and so the virtual key, in the order in which they win:
 * our own, then OpenAI and most others, Anthropic, Azure, Google.
 */
const API_KEY_HEADERS = ["x-api-key", "api-key", "x-goog-api-key"] as const;

/**
 * The virtual key that a request presents, or null. The first header that holds something shaped like one
 * wins; without any, the first that holds anything, so that the answer is "invalid", not "missing".
 */
export function presentedKey(headers: IncomingHttpHeaders): string | null {
  const own = single(headers["x-virtual-key"]);
  if (own !== undefined) return own;
  const bearer = bearerToken(headers.authorization);
  if (bearer?.startsWith("bfk_")) return bearer;
  let other: string | undefined = bearer;
  for (const name of API_KEY_HEADERS) {
    const value = single(headers[name]);
    if (value === undefined) continue;
    if (value.startsWith("bfk_")) return value;
    other ??= value;
  }
  return other ?? null;
}

function single(value: string | string[] | undefined): string | undefined {
  const text = Array.isArray(value) ? value[0] : value;
  return text === undefined || text === "" ? undefined : text.trim();
}

/** RFC 6750 §2.1; the scheme is case-insensitive (RFC 9110 §11.1). */
function bearerToken(header: string | undefined): string | undefined {
  if (header === undefined || header.length < 8 || header.charCodeAt(6) !== 0x20) return undefined;
  return header.slice(0, 6).toLowerCase() === "bearer" ? header.slice(7).trim() : undefined;
}
