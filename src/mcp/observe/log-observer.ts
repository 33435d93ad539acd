import { toGatewayError } from "../../core/errors.ts";
import { memberText, stringValue } from "../../jsonrpc/json-slice.ts";
import type { Reply } from "../../jsonrpc/message.ts";
import type { LinkRequest } from "../../mcp-links/types.ts";
import { isErrorResult } from "../../mcp-policy/tool-result.ts";
import type { Catalog } from "../../mcp-servers/types.ts";
import type { LogFiles } from "../../telemetry/log-files.ts";
import type { RpcMessage } from "../../telemetry/rpc-record.ts";
import type { ObserveRequest } from "../backends/server-backend.ts";
import type { Ending, LinkObserver } from "./observed-link.ts";

/** Messages to and from servers, into rpc-messages.jsonl, gateway.md and the server's own file. */
export function logExchanges(files: LogFiles): LinkObserver {
  return {
    begin(server, request) {
      const { method, params } = request;
      const tool = toolOf(request);
      const startedAt = performance.now();
      const common = { server, method, tool };
      const asked = params === undefined ? null : ({ part: "params", text: params } as const);
      files.rpc({
        ...common,
        event: "rpc_request",
        direction: "OUT",
        error: null,
        payload: files.withPayloads ? asked : null,
      });
      return {
        request,
        ended(ending) {
          const elapsedMs = Math.round(performance.now() - startedAt);
          const { failure, payload } = describe(ending);
          files.rpc({
            ...common,
            event: "rpc_response",
            direction: "IN",
            error: failure,
            payload: files.withPayloads ? payload : null,
          });
          files.exchange({
            ...common,
            outcome: failure === null ? "ok" : "error",
            failure,
            elapsedMs,
            request: files.withPayloads ? (params ?? null) : null,
            response: files.withPayloads ? (payload?.text ?? null) : null,
          });
          files.serverLine(
            server,
            failure === null ? "INFO" : "WARN",
            "rpc",
            `${method}${tool === null ? "" : ` ${tool}`}: ${failure ?? "ok"} in ${elapsedMs} ms`,
          );
        },
      };
    },
  };
}

/** Who asked for what, and how it ended, into mcp-gateway.log: public ids only. */
export function logRequests(files: LogFiles): ObserveRequest {
  return async ({ caller, server }, request, next) => {
    const startedAt = performance.now();
    const tool = toolOf(request);
    const tell = (level: "INFO" | "WARN", outcome: string) =>
      files.line(
        level,
        server,
        `${request.method}${tool === null ? "" : ` ${tool}`} principal=${caller.principal.id} agent=${caller.agentId ?? "-"} ` +
          `request=${caller.context.requestId}: ${outcome} in ${Math.round(performance.now() - startedAt)} ms`,
      );
    try {
      const reply = await next(request);
      const { failure } = describe({ reply });
      tell(failure === null ? "INFO" : "WARN", failure ?? "ok");
      return reply;
    } catch (thrown) {
      tell("WARN", toGatewayError(thrown).code);
      throw thrown;
    }
  };
}

/** What a server offers, into tools.json. */
export function logCatalog(files: LogFiles, server: string, { tools }: Pick<Catalog, "tools">): void {
  files.tools(
    server,
    tools.map(({ name, json }) => ({ name, description: stringValue(memberText(json, "description")) ?? "" })),
  );
}

/** Name of the tool that is called; null for other requests. */
export function toolOf({ method, params }: Pick<LinkRequest, "method" | "params">): string | null {
  if (method !== "tools/call" || params === undefined) return null;
  return stringValue(memberText(params, "name")) ?? null;
}

function describe(ending: Ending): { readonly failure: string | null; readonly payload: RpcMessage["payload"] } {
  if ("failure" in ending) return { failure: ending.failure.code, payload: null };
  return describeReply(ending.reply);
}

function describeReply(reply: Reply): { readonly failure: string | null; readonly payload: RpcMessage["payload"] } {
  if ("error" in reply) {
    const message = stringValue(memberText(reply.error, "message")) ?? "error";
    return { failure: message, payload: { part: "error", text: reply.error } };
  }
  const failure = isErrorResult(reply.result) ? "the tool failed" : null;
  return { failure, payload: { part: "result", text: reply.result } };
}
