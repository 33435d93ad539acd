import { isJson } from "../jsonrpc/is-json.ts";
import type { JsonText } from "../jsonrpc/json-slice.ts";
import type { Redactor } from "./redactor.ts";

/** One message between the gateway and a server. */
export interface RpcMessage {
  readonly event: "rpc_request" | "rpc_response";
  /** `OUT`: from the gateway to the server. */
  readonly direction: "IN" | "OUT";
  readonly server: string;
  readonly method: string;
  /** For `tools/call`. */
  readonly tool: string | null;
  /** Code of the failure where there is no answer, or message of the server's error. */
  readonly error: string | null;
  /** Params, result or error object; null where payloads are not logged, and where there is none. */
  readonly payload: { readonly part: "params" | "result" | "error"; readonly text: JsonText } | null;
}

/** In bytes of UTF-8. */
export const PREVIEW_BYTES = 10 * 1024;
const NAME_MAX = 200;

/**
 * One line of rpc-messages.jsonl (`rpc-message/v2`). A payload that fits is there as JSON. One that is too long, or whose
 * secrets cannot be taken out without harm to its form, is there as text: `{"_truncated":…,"_length":…,"_preview":…}`.
 */
export function rpcRecord(message: RpcMessage, timestamp: string, redactor: Redactor): string {
  const { event, direction, server, method, tool, error, payload } = message;
  const head = JSON.stringify({
    timestamp,
    event,
    _schema: "rpc-message/v2",
    direction,
    server_id: server,
    method: redactor.redactHead(method, NAME_MAX),
    ...(tool !== null && { tool_name: redactor.redactHead(tool, NAME_MAX) }),
    ...(error !== null && { error: redactor.redactHead(error, NAME_MAX) }),
  });
  if (payload === null) return head;
  return `${head.slice(0, -1)},"payload":{${JSON.stringify(payload.part)}:${payloadJson(payload.text, redactor)}}}`;
}

function payloadJson(text: JsonText, redactor: Redactor): JsonText {
  const fits =
    text.length * 3 <= PREVIEW_BYTES || (text.length <= PREVIEW_BYTES && Buffer.byteLength(text) <= PREVIEW_BYTES);
  if (fits) {
    const redacted = redactor.redact(text);
    // A secret of digits may have stood for a number.
    if (redacted === text || isJson(redacted)) return onOneLine(redacted);
  }
  return JSON.stringify({
    _truncated: !fits,
    _length: text.length,
    _preview: withinBytes(redactor.redactHead(text, PREVIEW_BYTES), PREVIEW_BYTES),
  });
}

/** JSON has line ends only between its tokens. */
function onOneLine(json: JsonText): JsonText {
  return /[\r\n]/.test(json) ? json.replace(/[\r\n]+/g, " ") : json;
}

function withinBytes(text: string, max: number): string {
  if (text.length * 3 <= max || Buffer.byteLength(text) <= max) return text;
  // What is cut within a character ends in the replacement character.
  return Buffer.from(text).subarray(0, max).toString("utf8").replace(/�+$/, "");
}
