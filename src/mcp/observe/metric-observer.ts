import type { GatewayError } from "../../core/errors.ts";
import { toGatewayError } from "../../core/errors.ts";
import type { McpMetrics, McpOutcome } from "../../core/mcp-metrics.ts";
import type { Reply } from "../../jsonrpc/message.ts";
import { isErrorResult } from "../../mcp-policy/tool-result.ts";
import type { ObserveRequest } from "../backends/server-backend.ts";

/** Counts what clients ask of servers, and how it ends. */
export function countRequests(metrics: Pick<McpMetrics, "request">): ObserveRequest {
  return async ({ server }, request, next) => {
    const startedAt = performance.now();
    const count = (outcome: McpOutcome) =>
      metrics.request(server, request.method, outcome, (performance.now() - startedAt) / 1_000);
    try {
      const reply = await next(request);
      count(outcomeOfReply(reply));
      return reply;
    } catch (thrown) {
      count(request.signal?.aborted ? "cancelled" : outcomeOfFailure(toGatewayError(thrown)));
      throw thrown;
    }
  };
}

export function outcomeOfReply(reply: Reply): McpOutcome {
  if ("error" in reply) return "error";
  return isErrorResult(reply.result) ? "tool_error" : "ok";
}

export function outcomeOfFailure({ code }: Pick<GatewayError, "code">): McpOutcome {
  if (code === "upstream.timeout" || code === "upstream.timeout_connect") return "timeout";
  if (code === "internal") return "error";
  return code.startsWith("upstream.") ? "upstream_failed" : "refused";
}
