import type { IncomingHttpHeaders } from "node:http";
import { RPC } from "../../jsonrpc/codes.ts";
import { type Member, members, stringValue } from "../../jsonrpc/json-slice.ts";
import {
  errorReply,
  type Message,
  type NotificationMessage,
  type Reply,
  type RequestMessage,
} from "../../jsonrpc/message.ts";
import { META } from "../../mcp-links/eras/envelope.ts";
import { REVISION_2026 } from "../../mcp-links/types.ts";
import { type Envelope, type EnvelopeProblem, isToken, readEnvelope, readMeta, type RequestMeta } from "./envelope.ts";
import { decodeHeader } from "./header-value.ts";

/** Of which era a POST is, or why it is of none. */
export type Classification =
  /** `initialize` with a session, or no sign of the 2026 era: the 2025 adapter's. */
  | { readonly kind: "legacy" }
  | { readonly kind: "refused"; readonly status: 400; readonly reply: Reply }
  | {
      readonly kind: "request";
      readonly message: RequestMessage;
      readonly envelope: Envelope;
      readonly params: readonly Member[];
    }
  /** `envelope` is null where the header alone says the era: a notification need not carry one. */
  | { readonly kind: "notification"; readonly message: NotificationMessage; readonly envelope: Envelope | null };

const LEGACY: Classification = { kind: "legacy" };

/**
 * The era of one POST, read from the body first and the headers second, in the order and with the codes of the official
 * SDK (`classifyInboundRequest`, then its checks before dispatch): malformed envelope -32602; a header that contradicts the
 * body or is missing -32020; a revision not spoken here -32022. All with HTTP 400.
 */
export function classify(headers: IncomingHttpHeaders, message: Message): Classification {
  if (message.kind === "result" || message.kind === "error") return LEGACY;
  const version = headerOf(headers, "mcp-protocol-version");
  const params = message.params === undefined ? [] : members(message.params);
  const meta = readMeta(message.params, params);
  const claims = meta?.values.has(META.protocolVersion) === true;
  const named = version !== undefined && isModern(version);
  if (!claims && !named) return LEGACY;
  // A malformed `_meta` is no JSON-RPC message of MCP at all: before everything that reads it.
  if (meta === null || !isWellFormed(meta)) return refused(RPC.invalidRequest, "Invalid request: _meta is malformed");
  return message.kind === "request"
    ? classifyRequest({ headers, message, params, version, meta: claims ? meta : null, given: meta })
    : classifyNotification(headers, message, version, claims ? meta : undefined);
}

interface RequestParts {
  readonly headers: IncomingHttpHeaders;
  readonly message: RequestMessage;
  readonly params: readonly Member[];
  readonly version: string | undefined;
  /** Null without the claim of an era. */
  readonly meta: RequestMeta | null | undefined;
  /** What there is of `_meta`. */
  readonly given: RequestMeta | undefined;
}

function classifyRequest({ headers, message, params, version, meta, given }: RequestParts): Classification {
  const { method } = message;
  const envelope = meta ? readEnvelope(meta) : null;
  const isClaim = envelope !== null && !("problem" in envelope) && isModern(envelope.revision);
  if (method === "initialize" && !isClaim) {
    if (version === undefined || !isModern(version)) return LEGACY;
    return mismatch("MCP-Protocol-Version", "initialize belongs to earlier revisions than the header names");
  }
  if (envelope === null) return missingEnvelope(given);
  if ("problem" in envelope) return badEnvelope(envelope);
  if (version !== undefined && version !== envelope.revision)
    return mismatch("MCP-Protocol-Version", "_meta names another protocol version");
  const methodHeader = headerOf(headers, "mcp-method");
  if (methodHeader !== undefined && methodHeader !== method)
    return mismatch("Mcp-Method", "the body has another method");
  if (envelope.revision !== REVISION_2026) return unsupported(envelope.revision);
  // What follows the official SDK checks of messages of its own revision only.
  if (version === undefined) return mismatch("MCP-Protocol-Version", "this header is required");
  if (methodHeader === undefined) return mismatch("Mcp-Method", "this header is required");
  return checkName(headers, message, params) ?? { kind: "request", message, envelope, params };
}

function classifyNotification(
  headers: IncomingHttpHeaders,
  message: NotificationMessage,
  version: string | undefined,
  meta: RequestMeta | undefined,
): Classification {
  const revision = meta ? stringValue(meta.values.get(META.protocolVersion)) : version;
  if (revision === undefined) return badEnvelope({ key: META.protocolVersion, problem: "must be a string" });
  if (version !== undefined && version !== revision)
    return mismatch("MCP-Protocol-Version", "_meta names another protocol version");
  const methodHeader = headerOf(headers, "mcp-method");
  if (isModern(revision) && methodHeader !== undefined && methodHeader !== message.method)
    return mismatch("Mcp-Method", "the body has another method");
  if (revision !== REVISION_2026) return unsupported(revision);
  const envelope = meta ? readEnvelope(meta) : null;
  return { kind: "notification", message, envelope: envelope && !("problem" in envelope) ? envelope : null };
}

/** Revisions are dates, so that text order is their order. */
function isModern(revision: string): boolean {
  return revision >= REVISION_2026;
}

function isWellFormed(meta: RequestMeta | undefined): boolean {
  const token = meta?.values.get("progressToken");
  return token === undefined || isToken(token);
}

/** Which member of params `Mcp-Name` repeats, by method (Streamable HTTP, Standard Request Headers; tasks extension). */
const NAME_SOURCE: ReadonlyMap<string, string> = new Map([
  ["tools/call", "name"],
  ["prompts/get", "name"],
  ["resources/read", "uri"],
  ["tasks/get", "taskId"],
  ["tasks/update", "taskId"],
  ["tasks/cancel", "taskId"],
]);

function checkName(
  headers: IncomingHttpHeaders,
  { method, params }: RequestMessage,
  parts: readonly Member[],
): Classification | null {
  const source = NAME_SOURCE.get(method);
  if (source === undefined) return null;
  const member = parts.find(({ name }) => name === source);
  const value = member && stringValue(params?.slice(member.start, member.end));
  const header = headerOf(headers, "mcp-name");
  if (header === undefined) return value === undefined ? null : mismatch("Mcp-Name", `it must repeat params.${source}`);
  const decoded = decodeHeader(header);
  if (decoded === undefined) return mismatch("Mcp-Name", "its Base64 is invalid");
  return value !== undefined && decoded !== value ? mismatch("Mcp-Name", `params.${source} is another`) : null;
}

function headerOf(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(", ") : value;
}

function missingEnvelope(meta: RequestMeta | undefined): Classification {
  const required = [META.protocolVersion, META.clientCapabilities];
  const missing = meta ? required.filter((key) => !meta.values.has(key)) : ["_meta"];
  return refused(
    RPC.invalidParams,
    `Invalid params: the MCP-Protocol-Version header names ${REVISION_2026} or later, but params lack ${missing.join(", ")}`,
    { envelope: { missing } },
  );
}

function badEnvelope(problem: EnvelopeProblem): Classification {
  return refused(RPC.invalidParams, `Invalid params: ${problem.key}: ${problem.problem}`, { envelope: problem });
}

function mismatch(header: string, problem: string): Classification {
  return refused(RPC.headerMismatch, `The request's headers and body disagree: ${header}: ${problem}`, {
    mismatch: { header },
  });
}

function unsupported(requested: string): Classification {
  return refused(RPC.unsupportedProtocolVersion, "Unsupported protocol version", {
    supported: [REVISION_2026],
    // Echoed, as the specification wants it; a longer text is no revision of anything.
    requested: requested.slice(0, 64),
  });
}

function refused(code: number, message: string, data?: unknown): Classification {
  return { kind: "refused", status: 400, reply: errorReply(code, message, data) };
}
