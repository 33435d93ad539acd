import type { McpMetrics, McpServerGauges } from "../../core/mcp-metrics.ts";
import type { Breaker } from "../../mcp-policy/breaker.ts";
import type { McpServer } from "../../mcp-servers/types.ts";
import type { ObserveRequest } from "../backends/server-backend.ts";
import { logExchanges, logRequests } from "./log-observer.ts";
import { countRequests } from "./metric-observer.ts";
import type { LinkObserver } from "./observed-link.ts";
import type { Telemetry } from "./telemetry.ts";
import { traceExecutions, traceToolCalls } from "./trace-observer.ts";

/** What looks at the requests of clients to servers; null where nothing does. */
export function observeRequests({ files, traces }: Telemetry, metrics: McpMetrics | null): ObserveRequest | null {
  const all = [
    ...(metrics ? [countRequests(metrics)] : []),
    ...(traces ? [traceToolCalls(traces.tracer)] : []),
    ...(files ? [logRequests(files)] : []),
  ];
  return all.reduceRight<ObserveRequest | null>((inner, outer) => (inner ? around(outer, inner) : outer), null);
}

function around(outer: ObserveRequest, inner: ObserveRequest): ObserveRequest {
  return (facts, request, next) => outer(facts, request, (changed) => inner(facts, changed, next));
}

/** What looks at the requests that go out to servers. */
export function linkObservers({ files, traces }: Telemetry): readonly LinkObserver[] {
  return [...(traces ? [traceExecutions(traces.tracer)] : []), ...(files ? [logExchanges(files)] : [])];
}

/** A server as metrics show it. */
export function gaugesOf(server: McpServer, breaker: Pick<Breaker, "state"> | undefined): McpServerGauges {
  const { state, links, processes } = server.status();
  return {
    server: server.declared.name,
    isUp: state === "running",
    links,
    processes,
    breaker: breaker?.state ?? "closed",
  };
}
