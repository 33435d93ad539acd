import { type JsonText, members, memberText, stringValue, withMembers } from "../../jsonrpc/json-slice.ts";
import { type ClientFacts, REVISION_2026 } from "../types.ts";

/** Names in `_meta` that MCP 2026-07-28 reserves (Base Protocol, `_meta`). */
export const META = {
  protocolVersion: "io.modelcontextprotocol/protocolVersion",
  clientInfo: "io.modelcontextprotocol/clientInfo",
  clientCapabilities: "io.modelcontextprotocol/clientCapabilities",
  logLevel: "io.modelcontextprotocol/logLevel",
  subscriptionId: "io.modelcontextprotocol/subscriptionId",
  serverInfo: "io.modelcontextprotocol/serverInfo",
} as const;

const ENVELOPE = [META.protocolVersion, META.clientInfo, META.clientCapabilities, META.logLevel];

/** Params as they are sent on, and what was in the way. */
export interface Outgoing {
  readonly params: JsonText | undefined;
  /** The client's own progress token, where it gave one: the server got our request id in its place. */
  readonly token: JsonText | undefined;
  /** The log level of a 2026 client, for a server that is told it by `logging/setLevel`. */
  readonly logLevel: string | undefined;
}

/**
 * Whether the params may have a `_meta`. It is nearly always absent, and a search for a substring is far cheaper than reading
 * the members. A name written with escapes is found too: else a client could set a progress token that is another request's.
 */
function mayHaveMeta(params: JsonText): boolean {
  return params.includes("_meta") || params.includes("\\u");
}

/** Params for a 2025 server: our progress token, and nothing of the envelope of 2026. All else stays as it is. */
export function forInitializedServer(params: JsonText | undefined, id: number): Outgoing {
  const meta = params !== undefined && mayHaveMeta(params) ? memberText(params, "_meta") : undefined;
  if (params === undefined || meta === undefined) return { params, token: undefined, logLevel: undefined };
  const changes: Record<string, JsonText | undefined> = {};
  let token: JsonText | undefined;
  let logLevel: JsonText | undefined;
  let left = 0;
  for (const { name, start, end } of members(meta)) {
    if (name === META.logLevel) logLevel = meta.slice(start, end);
    if (name === "progressToken") {
      token = meta.slice(start, end);
      changes[name] = String(id);
    }
    if (ENVELOPE.some((key) => key === name)) changes[name] = undefined;
    else left++;
  }
  if (Object.keys(changes).length === 0) return { params, token, logLevel: undefined };
  const edited = left === 0 ? undefined : withMembers(meta, changes);
  return { params: withMembers(params, { _meta: edited }), token, logLevel: stringValue(logLevel) };
}

/** What each request to a 2026 server says of its client, as JSON members without the braces. */
export function envelopeText(client: ClientFacts, gatewayInfo: JsonText, logLevel: string | undefined): JsonText {
  const level = logLevel === undefined ? "" : `,"${META.logLevel}":${JSON.stringify(logLevel)}`;
  return (
    `"${META.protocolVersion}":"${REVISION_2026}","${META.clientInfo}":${client.info ?? gatewayInfo},` +
    `"${META.clientCapabilities}":${client.capabilities}${level}`
  );
}

/**
 * Params for a 2026 server: our progress token and the envelope. With `keepOwn`, an envelope that is there already passes
 * as the client wrote it; without, it is replaced: a 2025 client has no say in it.
 */
export function forStatelessServer(
  params: JsonText | undefined,
  id: number,
  envelope: JsonText,
  keepOwn: boolean,
): Outgoing {
  if (params === undefined) return { params: `{"_meta":{${envelope}}}`, token: undefined, logLevel: undefined };
  const meta = mayHaveMeta(params) ? memberText(params, "_meta") : undefined;
  if (meta === undefined) return { params: appended(params, envelope), token: undefined, logLevel: undefined };
  const token = memberText(meta, "progressToken");
  const own = keepOwn && memberText(meta, META.protocolVersion) !== undefined;
  if (own && token === undefined) return { params, token, logLevel: undefined };
  const changes: Record<string, JsonText | undefined> = {};
  if (token !== undefined) changes["progressToken"] = String(id);
  if (!own) {
    for (const key of ENVELOPE) changes[key] = undefined;
    const text = `{${envelope}}`;
    for (const { name, start, end } of members(text)) changes[name] = text.slice(start, end);
  }
  return { params: withMembers(params, { _meta: withMembers(meta, changes) }), token, logLevel: undefined };
}

/** The object with `_meta` at its end; the rest is not even read. */
function appended(params: JsonText, envelope: JsonText): JsonText {
  const end = params.lastIndexOf("}");
  const comma = params.slice(0, end).trim() === "{" ? "" : ",";
  return `${params.slice(0, end)}${comma}"_meta":{${envelope}}}`;
}

/** A notification's params without the id of the subscription it came by, which is ours and not the client's. */
export function withoutSubscriptionId(params: JsonText | undefined): JsonText | undefined {
  if (params === undefined || !params.includes(META.subscriptionId)) return params;
  const meta = memberText(params, "_meta");
  if (meta === undefined) return params;
  const edited = withMembers(meta, { [META.subscriptionId]: undefined });
  return withMembers(params, { _meta: edited === "{}" ? undefined : edited });
}
