import type { IncomingMessage, ServerResponse } from "node:http";
import { ERRORS, GatewayError, toGatewayError } from "../core/errors.ts";
import { requestIdFrom } from "../core/ids.ts";
import type { RequestContext } from "../http/route.ts";
import { RPC } from "../jsonrpc/codes.ts";
import { elements, type JsonText } from "../jsonrpc/json-slice.ts";
import { errorReply, NotAMessage, readMessage, responseText } from "../jsonrpc/message.ts";
import { JsonRefused, readStrictJson } from "../jsonrpc/strict-json.ts";
import type { Backends, InboundMessage } from "./backend.ts";
import { checkHostAndOrigin, checkMediaTypes, readAgentId } from "./front-door.ts";
import { sendJson } from "./legacy/answer.ts";
import type { LegacyClients } from "./legacy/clients.ts";
import { classify } from "./modern/classify.ts";
import type { ModernClients } from "./modern/clients.ts";
import { parseMcpPath } from "./path.ts";
import { readBody } from "./read-body.ts";
import type { Caller, EndpointDeps, FrontDoor, McpLimits } from "./types.ts";
import { firstValue } from "../http/first-value.ts";

export interface McpEndpoint {
  /** Answers one request, whatever it is. Never throws; settles when the answer is written or the client is gone. */
  handle(request: IncomingMessage, response: ServerResponse): Promise<void>;
  /** After this every request is answered 503. */
  close(): void;
}

/** What a request is, before its body is read. */
type Head = Omit<InboundMessage, "text" | "message">;

/** The only revision whose clients may send JSON-RPC batches; also what a request without the header counts as. */
const BATCH_REVISION = "2025-03-26";

/**
 * The gateway as an MCP server, in both eras. The order of the stages in `handle` is the security argument: each refuses
 * before the next one costs anything, and nothing of the body is read for somebody who is not authenticated.
 */
export function createMcpEndpoint(
  deps: EndpointDeps,
  parts: { readonly backends: Backends; readonly legacy: LegacyClients; readonly modern: ModernClients },
  door: FrontDoor,
  limits: McpLimits,
): McpEndpoint {
  const { backends, legacy, modern } = parts;
  let closed = false;

  async function identify(request: IncomingMessage, requestId: string): Promise<Caller> {
    const context = contextOf(deps, request, requestId);
    const found = deps.authenticate({ context, orgId: context.header("x-org-id") ?? null }); // 401, 429
    const { principal, live } = found instanceof Promise ? await found : found;
    return { principal, live, agentId: readAgentId(request.headers), context }; // 400
  }

  async function handlePost(head: Head): Promise<void> {
    const { request, response } = head;
    checkMediaTypes(request.headers); // 415, 406
    const bytes = await readBody(request, limits); // 413, 408
    if (bytes === null) return;
    const text = readStrictJson(bytes, limits.maxJsonDepth);
    if (text.startsWith("[")) return handleBatch(head, text);
    const message = readMessage(text);
    deps.onMessage?.(message);
    const inbound: InboundMessage = { ...head, text, message };
    const classified = classify(request.headers, message);
    if (classified.kind === "legacy") await legacy.handlePost(inbound);
    else await modern.handle(inbound, classified);
    if (!response.writableEnded && !response.headersSent && !response.destroyed)
      throw new Error("a message was left without an answer");
  }

  async function handleBatch(head: Head, text: JsonText): Promise<void> {
    const version = firstValue(head.request.headers["mcp-protocol-version"]);
    const messages = elements(text).map(({ start, end }) => readMessage(text.slice(start, end)));
    if (version !== undefined && version !== BATCH_REVISION)
      throw new NotAMessage(`revision ${version.slice(0, 32)} has no JSON-RPC batches; send one message per request`);
    if (messages.length === 0) throw new NotAMessage("a batch must not be empty");
    if (messages.length > limits.maxBatch)
      throw new NotAMessage(`a batch may have at most ${limits.maxBatch} messages`);
    if (messages.some((message) => classify(head.request.headers, message).kind !== "legacy"))
      throw new NotAMessage("revision 2026-07-28 has no JSON-RPC batches; send one message per request");
    const ids = messages.flatMap((message) => (message.kind === "request" ? [message.id] : []));
    // Answers are told apart by their id.
    if (new Set(ids).size < ids.length) throw new NotAMessage("two requests of the batch have the same id");
    return legacy.handleBatch({ ...head, text }, messages);
  }

  function fail(thrown: unknown, requestId: string, request: IncomingMessage, response: ServerResponse): void {
    const refused = refuse(thrown, requestId);
    if (refused.code === "internal") deps.log.error({ err: thrown, requestId }, "MCP request failed");
    if (response.headersSent) return void response.destroy();
    for (const [name, value] of Object.entries(refused.headers)) response.setHeader(name, value);
    if (refused.code === "request.timeout" || mustClose(request, limits)) response.setHeader("connection", "close");
    sendJson(response, refused.text, refused.status);
  }

  return {
    async handle(request, response) {
      const requestId = requestIdFrom(firstValue(request.headers["x-request-id"]));
      response.setHeader("x-request-id", requestId);
      // Replies hold secrets and depend on who asks.
      response.setHeader("cache-control", "no-store");
      try {
        if (closed) throw new GatewayError("gateway.draining");
        checkHostAndOrigin(request.headers, door); // 403
        const target = parseMcpPath(request.url ?? "/mcp");
        if (target === null) throw new GatewayError("mcp.server_not_found"); // 404
        checkMethod(request); // 405
        const caller = await identify(request, requestId);
        backends.assertVisible(caller, target); // 404
        if (request.method === "GET") return legacy.handleGet(request, response, caller, target);
        if (request.method === "DELETE") return legacy.handleDelete(request, response, caller, target);
        await handlePost({ request, response, caller, target, requestId, forwardHeaders: traceHeaders(request) });
      } catch (thrown) {
        fail(thrown, requestId, request, response);
      }
    },

    close() {
      closed = true;
    },
  };
}

/** A refusal before a message could be answered: the id is not known, or not to be trusted. */
function refuse(thrown: unknown, requestId: string) {
  if (thrown instanceof JsonRefused)
    return rpcFailure(400, errorReply(RPC.parseError, `Parse error: ${thrown.message}`));
  if (thrown instanceof NotAMessage)
    return rpcFailure(400, errorReply(RPC.invalidRequest, `Invalid request: ${thrown.message}`));
  const error = toGatewayError(thrown);
  const headers: Record<string, string> = { ...error.headers };
  // RFC 6750 §3: a 401 says how to authenticate.
  if (error.status === 401) headers["www-authenticate"] ??= 'Bearer realm="bifrost"';
  const reply = errorReply(ERRORS[error.code].rpc, error.publicMessage, { code: error.code, request_id: requestId });
  return { ...rpcFailure(error.status, reply), code: error.code, headers };
}

function rpcFailure(status: number, reply: ReturnType<typeof errorReply>) {
  const headers: Readonly<Record<string, string>> = {};
  return { status, text: responseText(null, reply), headers, code: "" };
}

function contextOf(deps: EndpointDeps, request: IncomingMessage, requestId: string): RequestContext {
  return {
    requestId,
    clientAddress: deps.clientAddress(request),
    publicUrl: deps.publicUrl ?? `http://${hostOf(request)}`,
    header: (name) => firstValue(request.headers[name]),
  };
}

/** What the client calls us, where it is a host and port and nothing else: it ends up in addresses that agents call. */
function hostOf(request: IncomingMessage): string {
  const host = request.headers.host ?? "";
  return /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/.test(host) ? host : "localhost";
}

/** POST carries messages in both eras; GET and DELETE are about a session (2025-11-25, Streamable HTTP). */
function checkMethod({ method, headers }: IncomingMessage): void {
  const isOfSession = headers["mcp-session-id"] !== undefined && (method === "GET" || method === "DELETE");
  if (method !== "POST" && !isOfSession)
    throw new GatewayError("request.method_not_allowed", { headers: { allow: "POST" } });
}

/** W3C Trace Context passes; nothing else of a client's headers reaches an upstream. */
function traceHeaders({ headers }: IncomingMessage): Readonly<Record<string, string>> {
  const { traceparent, tracestate } = headers;
  if (typeof traceparent !== "string") return NO_HEADERS;
  return typeof tracestate === "string" ? { traceparent, tracestate } : { traceparent };
}

const NO_HEADERS: Readonly<Record<string, string>> = {};

/** A short rest of the body is read and dropped by Node, and the connection lives on; a long or unknown one is not worth it. */
function mustClose(request: IncomingMessage, limits: McpLimits): boolean {
  return !request.complete && !(Number(request.headers["content-length"]) <= limits.maxBodyBytes);
}
