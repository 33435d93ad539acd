import { eachMember, type JsonText, memberText } from "./json-slice.ts";

/** An id as it was sent: the text of a string or number, so that `0`, `"0"` and `1e3` survive (JSON-RPC 2.0 §4). */
export type IdText = JsonText;

/** A message with its parts unparsed. `params` is the text of an object; MCP has no positional parameters. */
export type Message =
  | { readonly kind: "request"; readonly id: IdText; readonly method: string; readonly params: JsonText | undefined }
  | { readonly kind: "notification"; readonly method: string; readonly params: JsonText | undefined }
  | { readonly kind: "result"; readonly id: IdText; readonly result: JsonText }
  /** `id` is null where the sender could not read the request's. */
  | { readonly kind: "error"; readonly id: IdText | null; readonly error: JsonText };

export type RequestMessage = Extract<Message, { kind: "request" }>;
export type NotificationMessage = Extract<Message, { kind: "notification" }>;

/** The answer to a request, without the id, which each hop has its own of. */
export type Reply = { readonly result: JsonText } | { readonly error: JsonText };

/** JSON, but not a message of JSON-RPC 2.0 as MCP uses it. The text says why, and quotes nothing. */
export class NotAMessage extends Error {
  override readonly name = "NotAMessage";
}

/**
 * The parts of one message. Only its shape is looked at: `text` must be JSON already (JSON.parse or parseStrictJson).
 *
 * @throws NotAMessage for arrays too: batches are the caller's affair
 */
export function readMessage(text: JsonText): Message {
  let version = false;
  let id: JsonText | undefined;
  let method: JsonText | undefined;
  let params: JsonText | undefined;
  let result: JsonText | undefined;
  let error: JsonText | undefined;
  eachMember(text, 0, ({ name, start, end }) => {
    const value = text.slice(start, end);
    if (name === "jsonrpc") version = value === '"2.0"';
    else if (name === "id") id = value;
    else if (name === "method") method = value;
    else if (name === "params") params = value;
    else if (name === "result") result = value;
    else if (name === "error") error = value;
  });
  if (!version) throw new NotAMessage('not a JSON-RPC message: jsonrpc must be "2.0"');
  if (method !== undefined) return readCall(method, id, params);
  if (result !== undefined && error === undefined && id !== undefined) {
    assertId(id);
    if (!result.startsWith("{")) throw new NotAMessage("result must be an object");
    return { kind: "result", id, result };
  }
  if (error !== undefined && result === undefined) {
    if (id !== undefined && id !== "null") assertId(id);
    if (!/^-?\d+$/.test(memberText(error, "code") ?? "") || !memberText(error, "message")?.startsWith('"'))
      throw new NotAMessage("error must have an integer code and a message");
    return { kind: "error", id: id === undefined || id === "null" ? null : id, error };
  }
  throw new NotAMessage("a message needs a method, or an id with either result or error");
}

function readCall(methodText: JsonText, id: JsonText | undefined, params: JsonText | undefined): Message {
  if (!methodText.startsWith('"')) throw new NotAMessage("method must be a string");
  if (params !== undefined && !params.startsWith("{")) throw new NotAMessage("params must be an object");
  const method = methodText.includes("\\") ? String(JSON.parse(methodText)) : methodText.slice(1, -1);
  if (id === undefined) return { kind: "notification", method, params };
  assertId(id);
  return { kind: "request", id, method, params };
}

/** MCP: a string or an integer, never null (2025-11-25, Base Protocol, Requests). */
function assertId(id: JsonText): void {
  if (!id.startsWith('"') && !/^-?\d+(?:\.0+)?$/.test(id)) throw new NotAMessage("id must be a string or an integer");
}

/** The text of a request. */
export function requestText(id: IdText, method: string, params: JsonText | undefined): JsonText {
  const rest = params === undefined ? "" : `,"params":${params}`;
  return `{"jsonrpc":"2.0","id":${id},"method":${JSON.stringify(method)}${rest}}`;
}

/** The text of a notification. */
export function notificationText(method: string, params: JsonText | undefined): JsonText {
  const rest = params === undefined ? "" : `,"params":${params}`;
  return `{"jsonrpc":"2.0","method":${JSON.stringify(method)}${rest}}`;
}

/** The text of a response. */
export function responseText(id: IdText | null, reply: Reply): JsonText {
  const outcome = "result" in reply ? `"result":${reply.result}` : `"error":${reply.error}`;
  return `{"jsonrpc":"2.0","id":${id ?? "null"},${outcome}}`;
}

/** An error reply. `data` is parsed JSON. */
export function errorReply(code: number, message: string, data?: unknown): Reply {
  return { error: JSON.stringify({ code, message, ...(data !== undefined && { data }) }) };
}
