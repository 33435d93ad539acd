import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { createMcpMetrics, type McpGauges, type McpMetrics } from "./mcp-metrics.ts";

/**
 * Prometheus metrics of one gateway. Every label has a bounded set of values: planes, services by their
 * public id (past {@link MAX_SERVICES} of them `other`), status codes, error codes. Never a path, a key,
 * an agent or an address.
 */
export interface Metrics {
  /** @param service public id, or null where the request was refused before it had one */
  request(plane: "proxy" | "mcp", service: string | null, status: number | null, seconds: number): void;
  refused(code: string): void;
  /** Adds those of the MCP plane. Once. @param servers the configured ones */
  mcp(isServer: (name: string) => boolean, gauges: McpGauges): McpMetrics;
  /** Prometheus text format. */
  render(): Promise<{ contentType: string; text: string }>;
}

const MAX_SERVICES = 200;
/** Seconds. From what the gateway itself costs to what a long completion takes. */
const BUCKETS = [0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 30, 120];

export function createMetrics(open: { requests(): number }): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, prefix: "bifrost_" });
  const requests = new Counter({
    name: "bifrost_requests_total",
    help: "Requests that ended, by plane, service and status (0: the client left first).",
    labelNames: ["plane", "service", "status"],
    registers: [registry],
  });
  const duration = new Histogram({
    name: "bifrost_request_duration_seconds",
    help: "From the request's head to the response's end.",
    labelNames: ["plane"],
    buckets: BUCKETS,
    registers: [registry],
  });
  const refusals = new Counter({
    name: "bifrost_refusals_total",
    help: "Requests that the gateway itself refused or failed, by error code.",
    labelNames: ["code"],
    registers: [registry],
  });
  registry.registerMetric(
    new Gauge({
      name: "bifrost_open_requests",
      help: "Proxied requests and streams in flight.",
      registers: [],
      collect() {
        this.set(open.requests());
      },
    }),
  );

  // prom-client hashes labels on each call; the hot path keeps its counters at hand instead.
  const children = new Map<string, { inc(): void }>();
  const services = new Set<string>();
  const durations = { proxy: duration.labels("proxy"), mcp: duration.labels("mcp") };

  return {
    request(plane, service, status, seconds) {
      const name = service ?? "";
      if (!services.has(name) && services.size < MAX_SERVICES) services.add(name);
      const label = services.has(name) ? name : "other";
      const id = `${plane} ${status ?? 0} ${label}`;
      let child = children.get(id);
      if (!child) children.set(id, (child = requests.labels(plane, label, String(status ?? 0))));
      child.inc();
      durations[plane].observe(seconds);
    },
    mcp: (isServer, gauges) => createMcpMetrics(registry, isServer, gauges),
    refused: (code) => refusals.labels(code).inc(),
    render: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  };
}
