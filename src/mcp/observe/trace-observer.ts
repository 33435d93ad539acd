import { type GatewayError, toGatewayError } from "../../core/errors.ts";
import { type JsonText, memberText, stringValue, withMembersIn } from "../../jsonrpc/json-slice.ts";
import type { Message, Reply } from "../../jsonrpc/message.ts";
import type { LinkRequest } from "../../mcp-links/types.ts";
import type { Span, Tracer } from "../../telemetry/tracer.ts";
import type { ObserveRequest } from "../backends/server-backend.ts";
import { toolOf } from "./log-observer.ts";
import { outcomeOfReply } from "./metric-observer.ts";
import type { Ending, LinkObserver } from "./observed-link.ts";

/** Refusals because too much was asked, here or by a server that said so. */
const RATE_LIMITS: ReadonlySet<string> = new Set([
  "limit.rate",
  "limit.concurrency",
  "mcp.call_limit",
  "mcp.circuit_open",
]);

/** What the request under way turned out to ask, and whether its sender is part of a trace (2026-07-28, `_meta`). */
export function traceMessage(tracer: Tracer): (message: Message) => void {
  return (message) => {
    if (message.kind !== "request" && message.kind !== "notification") return;
    const root = tracer.currentRoot();
    if (!root) return;
    const meta = message.params && memberText(message.params, "_meta");
    if (meta !== undefined) root.adopt(stringValue(memberText(meta, "traceparent")));
    root.set({ "mcp.method": message.method });
  };
}

/** `mcp.tool_call`: from the policy's first look at a call to the answer that the client gets. */
export function traceToolCalls(tracer: Tracer): ObserveRequest {
  return async ({ caller, server }, request, next) => {
    const tool = toolOf(request);
    const span =
      tool === null
        ? null
        : tracer.child("mcp.tool_call", "internal", {
            ...callAttributes(server, request.method, tool),
            "bifrost.principal.id": caller.principal.id,
            ...(caller.agentId !== null && { "bifrost.agent.id": caller.agentId }),
          });
    if (!span) return next(request);
    try {
      const reply = await tracer.run(span, () => next(request));
      finish(span, { reply });
      return reply;
    } catch (thrown) {
      finish(span, { failure: toGatewayError(thrown) });
      throw thrown;
    }
  };
}

/**
 * `gateway.backend.execute`: the hop to the server, which is told of it in `traceparent`, as a header and in `_meta`, with the
 * client's own `tracestate`. Where a trace is not sampled, what the client said goes on unchanged.
 */
export function traceExecutions(tracer: Tracer): LinkObserver {
  return {
    begin(server, request) {
      const { method } = request;
      const span = tracer.child("gateway.backend.execute", "client", callAttributes(server, method, toolOf(request)));
      if (!span) return { request, ended: () => undefined };
      return { request: told(request, span.traceparent), ended: (ending) => finish(span, ending) };
    },
  };
}

function told(request: LinkRequest, traceparent: string | null): LinkRequest {
  if (traceparent === null) return request;
  const { headers, params = "{}" } = request;
  const { tracestate } = headers;
  const meta = memberText(params, "_meta");
  const changes: Record<string, JsonText> = { traceparent: JSON.stringify(traceparent) };
  const known = meta !== undefined && memberText(meta, "tracestate") !== undefined;
  if (tracestate !== undefined && !known) changes["tracestate"] = JSON.stringify(tracestate);
  return {
    ...request,
    params: withMembersIn(params, "_meta", changes),
    headers: { ...headers, traceparent },
  };
}

function callAttributes(server: string, method: string, tool: string | null) {
  return {
    "gateway.tag": "bifrost",
    "mcp.server": server,
    "mcp.method": method,
    "gen_ai.system": "mcp",
    "gen_ai.agent.id": server,
    ...(tool !== null && {
      "gen_ai.operation.name": "execute_tool",
      "gen_ai.tool.name": tool,
      "mcp.tool": tool,
    }),
  };
}

function finish(span: Span, ending: Ending): void {
  if ("failure" in ending) return failed(span, ending.failure);
  const status = statusOf(ending.reply);
  span.set({ "mcp.response.status": status });
  span.end(status === "ok" ? null : status);
}

function statusOf(reply: Reply): string {
  return outcomeOfReply(reply);
}

function failed(span: Span, { code }: GatewayError): void {
  const isLimited = RATE_LIMITS.has(code);
  span.set({ "mcp.response.status": "failed", "error.type": code, ...(isLimited && { "rate_limit.hit": true }) });
  if (isLimited) span.event("rate_limit.detected");
  span.end(code);
}
