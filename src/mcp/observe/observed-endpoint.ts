import type { Metrics } from "../../core/metrics.ts";
import type { Tracer } from "../../telemetry/tracer.ts";
import type { McpEndpoint } from "../endpoint.ts";
import { parseMcpPath } from "../path.ts";

/**
 * The endpoint with each request counted and traced (`gateway.request`), from its head to the end of its answer. Streams that
 * a client opens with GET to listen are left out: they take as long as the client stays.
 */
export function observeEndpoint(
  endpoint: McpEndpoint,
  deps: {
    readonly tracer: Tracer | null;
    readonly metrics: Pick<Metrics, "request"> | null;
    /** Whether a server of that name is configured: what else a path says is no label. */
    isServer(name: string): boolean;
  },
): McpEndpoint {
  const { tracer, metrics, isServer } = deps;
  if (!tracer && !metrics) return endpoint;
  return {
    close: () => endpoint.close(),
    handle(request, response) {
      if (request.method === "GET") return endpoint.handle(request, response);
      const startedAt = performance.now();
      const server = serverIn(request.url ?? "", isServer);
      const { traceparent } = request.headers;
      const span =
        tracer?.root("gateway.request", typeof traceparent === "string" ? traceparent : undefined, {
          "gateway.tag": "bifrost",
          "http.method": request.method ?? "",
          ...(server !== null && { "mcp.server": server }),
        }) ?? null;
      response.once("close", () => {
        const status = response.writableEnded ? response.statusCode : null;
        metrics?.request("mcp", server, status, (performance.now() - startedAt) / 1_000);
        if (!span) return;
        if (status !== null) span.set({ "http.status_code": status });
        if (status === 429) span.set({ "rate_limit.hit": true });
        span.end(status === null ? "cancelled" : status >= 500 ? `HTTP ${status}` : null);
      });
      return tracer && span
        ? tracer.run(span, () => endpoint.handle(request, response))
        : endpoint.handle(request, response);
    },
  };
}

function serverIn(url: string, isServer: (name: string) => boolean): string | null {
  const target = parseMcpPath(url);
  return target?.kind === "routed" && isServer(target.server) ? target.server : null;
}
