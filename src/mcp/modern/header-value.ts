const BASE64_OPEN = "=?base64?";
const BASE64_CLOSE = "?=";

/**
 * The value of `mcp-name` or `mcp-param-*` as text: what is not plain ASCII comes as `=?base64?…?=` (2026-07-28, Streamable
 * HTTP, Value Encoding). Undefined where that is malformed.
 */
export function decodeHeader(value: string): string | undefined {
  if (!value.startsWith(BASE64_OPEN) || !value.endsWith(BASE64_CLOSE)) return value;
  const base64 = value.slice(BASE64_OPEN.length, value.length - BASE64_CLOSE.length);
  const bytes = Buffer.from(base64, "base64");
  // Node skips what is no Base64; only the canonical form reads the same everywhere.
  if (bytes.toString("base64") !== base64) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
