import { type JsonText, memberText, stringValue } from "../../jsonrpc/json-slice.ts";
import { REVISION_2026 } from "../types.ts";

/** Which member of the params goes into `mcp-name` (2026-07-28, Streamable HTTP, Standard Request Headers). */
const NAMED_BY: ReadonlyMap<string, string> = new Map([
  ["tools/call", "name"],
  ["prompts/get", "name"],
  ["resources/read", "uri"],
  // Extension io.modelcontextprotocol/tasks.
  ["tasks/get", "taskId"],
  ["tasks/update", "taskId"],
  ["tasks/cancel", "taskId"],
]);

/** The headers that repeat what the body says; a server refuses a request where they differ (-32020). */
export function requestHeaders(method: string, params: JsonText | undefined): Record<string, string> {
  const headers: Record<string, string> = { "mcp-protocol-version": REVISION_2026, "mcp-method": method };
  const member = NAMED_BY.get(method);
  const name = member === undefined || params === undefined ? undefined : stringValue(memberText(params, member));
  if (name !== undefined) headers["mcp-name"] = encodeHeaderValue(name);
  return headers;
}

const PREFIX = "=?base64?";
const SUFFIX = "?=";

/**
 * A value as `mcp-name` and `mcp-param-*` carry it: as it is where it is plain ASCII, else Base64 of its UTF-8 in a marker
 * (2026-07-28, Streamable HTTP, Value Encoding). What looks like the marker is encoded too, and what is empty.
 */
export function encodeHeaderValue(value: string): string {
  const plain = isPlain(value) && !(value.startsWith(PREFIX) && value.endsWith(SUFFIX));
  return plain ? value : PREFIX + Buffer.from(value, "utf8").toString("base64") + SUFFIX;
}

function isPlain(value: string): boolean {
  if (value === "" || value !== value.trim()) return false;
  for (let at = 0; at < value.length; at++) {
    const code = value.charCodeAt(at);
    if (code > 0x7e || (code < 0x20 && code !== 0x09)) return false;
  }
  return true;
}
