import { type JsonText, members } from "../../jsonrpc/json-slice.ts";
import type { ServerRequest } from "../../mcp-links/types.ts";
import { isObject } from "./envelope.ts";

/** Methods whose results may ask for input (2026-07-28, Multi Round-Trip Requests). */
const MAY_ASK: ReadonlySet<string> = new Set(["tools/call", "prompts/get", "resources/read"]);

/** Whether a result of this method may be `input_required`. */
export function mayAsk(method: string): boolean {
  return MAY_ASK.has(method);
}

/**
 * What keeps a server's request from its client: the method of no embedded request, or what the client did not declare.
 * Null where it may be asked. `capabilities` is a ClientCapabilities object that was checked.
 */
export function whyNotAsked({ method, params }: ServerRequest, capabilities: JsonText): string | null {
  const declared: unknown = JSON.parse(capabilities);
  const asked: unknown = params === undefined ? {} : JSON.parse(params);
  const has = (name: string, part?: string) => {
    const value = isObject(declared) ? declared[name] : undefined;
    return isObject(value) && (part === undefined || isObject(value[part]));
  };
  const wants = (name: string) => isObject(asked) && asked[name] !== undefined;
  if (method === "roots/list") return has("roots") ? null : "the client has no roots";
  if (method === "sampling/createMessage") {
    if (!has("sampling")) return "the client does not sample";
    return !(wants("tools") || wants("toolChoice")) || has("sampling", "tools")
      ? null
      : "the client samples without tools";
  }
  if (method !== "elicitation/create") return "this revision has no such request";
  if (!has("elicitation")) return "the client does not elicit";
  if (isObject(asked) && asked["mode"] === "url")
    return has("elicitation", "url") ? null : "the client does not elicit by URL";
  // A bare declaration means forms (2026-07-28, Elicitation).
  return has("elicitation", "form") || !has("elicitation", "url") ? null : "the client does not elicit by form";
}

/** What a client would have to declare to be asked this: a ClientCapabilities object. Null where no declaration helps. */
export function capabilitiesFor({ method, params }: ServerRequest): JsonText | null {
  if (method === "roots/list") return '{"roots":{}}';
  const asked: unknown = params === undefined ? {} : JSON.parse(params);
  const wants = (name: string) => isObject(asked) && asked[name] !== undefined;
  if (method === "sampling/createMessage")
    return wants("tools") || wants("toolChoice") ? '{"sampling":{"tools":{}}}' : '{"sampling":{}}';
  if (method !== "elicitation/create") return null;
  return isObject(asked) && asked["mode"] === "url" ? '{"elicitation":{"url":{}}}' : '{"elicitation":{}}';
}

/** Whether the client's answer has the form that the method's result has. */
export function isAnswer(method: string, answer: JsonText): boolean {
  const value: unknown = JSON.parse(answer);
  if (!isObject(value)) return false;
  if (method === "roots/list") return Array.isArray(value["roots"]);
  if (method === "sampling/createMessage") return typeof value["model"] === "string" && "content" in value;
  const { action, content } = value;
  return (
    (action === "accept" || action === "decline" || action === "cancel") && (content === undefined || isObject(content))
  );
}

/** The members of `inputResponses` by key, or null where it is no object. */
export function readResponses(text: JsonText | undefined): Map<string, JsonText> | null {
  if (text === undefined) return new Map();
  if (!text.startsWith("{")) return null;
  return new Map(members(text).map(({ name, start, end }) => [name, text.slice(start, end)]));
}

/** The result that asks a client for input and tells it how to come back. */
export function inputRequiredText(asked: ReadonlyMap<string, ServerRequest>, state: string): JsonText {
  const requests = Array.from(asked, ([key, { method, params }]) => {
    const rest = params === undefined ? "" : `,"params":${params}`;
    return `${JSON.stringify(key)}:{"method":${JSON.stringify(method)}${rest}}`;
  });
  return `{"resultType":"input_required","inputRequests":{${requests.join(",")}},"requestState":${JSON.stringify(state)}}`;
}
