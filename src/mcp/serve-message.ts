import {
  classifyInboundRequest,
  createMcpHandler,
  isInitializeRequest,
  isJSONRPCRequest,
  ProtocolErrorCode,
  WebStandardStreamableHTTPServerTransport,
} from "@modelcontextprotocol/server";
import { buildServer } from "./build-server.ts";
import { internalError } from "./call-tool.ts";
import { INVALID_REQUEST, rpcFailure } from "./reply.ts";
import type { Caller, McpDeps, McpLimits } from "./types.ts";

/** The only revision whose clients may send JSON-RPC batches; also what a request without the header counts as. */
const BATCH_REVISION = "2025-03-26";

/**
 * Answers one parsed message of either era. Nothing is kept between messages: each gets its own SDK server, closed when the
 * answer is complete, so any gateway can answer any message (docs/decisions/0010-mcp-endpoint.md).
 */
export function createMessageServer(deps: McpDeps, limits: McpLimits) {
  const callers = new WeakMap<Request, Caller>();
  const modern = createMcpHandler(
    ({ requestInfo }) => {
      const caller = requestInfo && callers.get(requestInfo);
      if (!caller) throw new Error("a message reached the SDK without its caller");
      return buildServer(deps, caller);
    },
    { legacy: "reject" },
  );

  return {
    /** `request` carries method, headers and abort signal; its body is `message`. Never throws. */
    async serve(request: Request, message: unknown, caller: Caller): Promise<Response> {
      const version = request.headers.get("mcp-protocol-version") ?? undefined;
      const refused = Array.isArray(message) ? checkBatch(message, version, limits) : null;
      if (refused) return refused;
      try {
        const route = classifyInboundRequest({
          httpMethod: request.method,
          ...(version !== undefined && { protocolVersionHeader: version }),
          body: message,
        });
        if (route.kind === "legacy") return await serveLegacy(deps, request, message, caller);
        callers.set(request, caller);
        return await modern.fetch(request, { parsedBody: message });
      } catch (thrown) {
        const { code, message: text, data } = internalError(deps, caller, thrown);
        return rpcFailure({ status: 500, rpcCode: code, message: text, data });
      }
    },

    /** Ends running exchanges of the 2026 era; those of the 2025 era end with their own request. */
    close: () => modern.close(),
  };
}

/** One exchange with a client of 2025-11-25 or before, without a session. The SDK's own fallback would answer as SSE. */
async function serveLegacy(deps: McpDeps, request: Request, message: unknown, caller: Caller): Promise<Response> {
  // No session was ever issued, so each id is unknown, and a client with one starts over (2025-11-25, Session Management).
  if (request.headers.has("mcp-session-id"))
    return rpcFailure({ status: 404, rpcCode: -32001, message: "Session not found" });
  const malformed = checkInitialize(message);
  if (malformed) return malformed;

  const server = buildServer(deps, caller);
  const transport = new WebStandardStreamableHTTPServerTransport({ enableJsonResponse: true });
  try {
    await server.connect(transport);
    const response = await untilAborted(request.signal, transport.handleRequest(request, { parsedBody: message }));
    if (!Array.isArray(message) || response.status !== 200) return response;
    // The SDK unwraps the answer to a batch of one; JSON-RPC 2.0 §6 wants an array.
    const answer: unknown = await response.json();
    return Response.json(Array.isArray(answer) ? answer : [answer]);
  } finally {
    await server.close();
  }
}

/** The SDK's promise never settles when its client has gone: then nobody waits for the answer. */
function untilAborted(signal: AbortSignal, answer: Promise<Response>): Promise<Response> {
  const gone = new Promise<Response>((resolve) => {
    const resolveGone = () => resolve(new Response(null, { status: 499 }));
    if (signal.aborted) resolveGone();
    signal.addEventListener("abort", resolveGone, { once: true });
  });
  return Promise.race([answer, gone]);
}

/** The SDK takes a malformed `initialize` for some other request, and answers -32603 with zod's text. */
function checkInitialize(message: unknown): Response | null {
  if (!isJSONRPCRequest(message) || message.method !== "initialize" || isInitializeRequest(message)) return null;
  const error = {
    code: ProtocolErrorCode.InvalidParams,
    message: "initialize needs protocolVersion, capabilities and clientInfo with name and version",
  };
  return Response.json({ jsonrpc: "2.0", id: message.id, error });
}

function checkBatch(batch: readonly unknown[], version: string | undefined, limits: McpLimits): Response | null {
  if (version !== undefined && version !== BATCH_REVISION)
    return badBatch(`revision ${version.slice(0, 32)} has no JSON-RPC batches; send one message per request`);
  if (batch.length > limits.maxBatch) return badBatch(`a batch may have at most ${limits.maxBatch} messages`);
  const ids = batch.filter(isJSONRPCRequest).map(({ id }) => id);
  // The SDK answers by id: of two requests with the same one, a single answer would be lost.
  if (new Set(ids).size < ids.length) return badBatch("two requests of the batch have the same id");
  return null;
}

function badBatch(reason: string): Response {
  return rpcFailure({ status: 400, rpcCode: INVALID_REQUEST, message: `Invalid request: ${reason}` });
}
