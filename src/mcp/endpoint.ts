import type { IncomingMessage, ServerResponse } from "node:http";
import { toNodeHandler } from "@modelcontextprotocol/node";
import { GatewayError, toGatewayError } from "../core/errors.ts";
import { requestIdFrom } from "../core/ids.ts";
import type { RequestContext } from "../http/route.ts";
import { checkHostAndOrigin, checkMediaTypes, readAgentId } from "./front-door.ts";
import { readBody } from "./read-body.ts";
import { PARSE_ERROR, renderGatewayError, rpcFailure, sendWhole } from "./reply.ts";
import { createMessageServer } from "./serve-message.ts";
import { JsonRefused, parseStrictJson } from "../jsonrpc/strict-json.ts";
import { type Caller, DEFAULT_MCP_LIMITS, type FrontDoor, type McpDeps, type McpLimits } from "./types.ts";

export interface McpEndpoint {
  /** Answers one request, whatever it is. Never throws; settles when the answer is written or the client is gone. */
  handle(request: IncomingMessage, response: ServerResponse): Promise<void>;
  /** After this every request is answered 503. */
  close(): Promise<void>;
}

/**
 * The gateway as an MCP server, in both eras: 2025-11-25 and before without sessions, and 2026-07-28. The order of the
 * stages in `handle` is the security argument: each refuses before the next one costs anything, and nothing of the body is
 * read for somebody who is not authenticated.
 */
export function createMcpEndpoint(deps: McpDeps, door: FrontDoor, limits: McpLimits = DEFAULT_MCP_LIMITS): McpEndpoint {
  const messages = createMessageServer(deps, limits);
  let closed = false;

  async function identify(request: IncomingMessage, requestId: string): Promise<Caller> {
    const context = contextOf(deps, request, requestId);
    const { principal, live } = await deps.authenticate({ context, orgId: context.header("x-org-id") ?? null }); // 401, 429
    return { principal, live, agentId: readAgentId(request.headers), context }; // 400
  }

  return {
    async handle(request, response) {
      const requestId = requestIdFrom(single(request.headers["x-request-id"]));
      response.setHeader("x-request-id", requestId);
      // Replies hold secrets and depend on who asks.
      response.setHeader("cache-control", "no-store");
      try {
        if (closed) throw new GatewayError("gateway.draining");
        checkHostAndOrigin(request.headers, door); // 403
        checkMethod(request); // 405
        const caller = await identify(request, requestId);
        checkMediaTypes(request.headers); // 415, 406
        const bytes = await readBody(request, limits); // 413, 408
        if (bytes === null) return;
        const message = parseStrictJson(bytes, limits.maxJsonDepth);
        const adapter = toNodeHandler({ fetch: (web) => messages.serve(web, message, caller) });
        await adapter(withoutBody(request), response, null);
      } catch (thrown) {
        await fail(thrown, requestId, request, response);
      }
    },

    async close() {
      closed = true;
      await messages.close();
    },
  };

  async function fail(thrown: unknown, requestId: string, request: IncomingMessage, response: ServerResponse) {
    const error = toGatewayError(thrown);
    const refusedJson = thrown instanceof JsonRefused;
    if (error.code === "internal" && !refusedJson) deps.log.error({ err: thrown, requestId }, "MCP request failed");
    if (response.headersSent) return void response.destroy();
    const reply = refusedJson
      ? rpcFailure({ status: 400, rpcCode: PARSE_ERROR, message: `Parse error: ${thrown.message}` })
      : renderGatewayError(error, requestId);
    await sendWhole(response, reply, error.code === "request.timeout" || mustClose(request, limits));
  }
}

function contextOf(deps: McpDeps, request: IncomingMessage, requestId: string): RequestContext {
  return {
    requestId,
    clientAddress: deps.clientAddress(request),
    publicUrl: deps.publicUrl ?? `http://${hostOf(request)}`,
    header: (name) => single(request.headers[name]),
  };
}

/** What the client calls us, where it is a host and port and nothing else: it ends up in addresses that agents call. */
function hostOf(request: IncomingMessage): string {
  const host = request.headers.host ?? "";
  return /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/.test(host) ? host : "localhost";
}

/** Without sessions there is no stream to GET and nothing to DELETE (2025-11-25, Streamable HTTP); 2026-07-28 has POST only. */
function checkMethod(request: IncomingMessage): void {
  if (request.method !== "POST") throw new GatewayError("request.method_not_allowed", { headers: { allow: "POST" } });
}

/**
 * What the SDK still looks at. The body is parsed already, and the SDK would build a URL from Host and throw on a strange
 * one. `Accept` has been checked more leniently than the SDK does, so it sees what it asks for.
 */
function withoutBody(request: IncomingMessage) {
  const { host: _, ...headers } = request.headers;
  return {
    method: "POST",
    url: "/mcp",
    headers: { ...headers, accept: "application/json, text/event-stream" },
    [Symbol.asyncIterator]: () => request[Symbol.asyncIterator](),
  };
}

/** A short rest of the body is read and dropped by Node, and the connection lives on; a long or unknown one is not worth it. */
function mustClose(request: IncomingMessage, limits: McpLimits): boolean {
  return !request.complete && !(Number(request.headers["content-length"]) <= limits.maxBodyBytes);
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}
