import { Counter, Gauge, Histogram, type Registry } from "prom-client";

/** How a request to an MCP server ended. `refused`: by the gateway. `tool_error`: the tool itself reports one. */
export type McpOutcome = "ok" | "tool_error" | "error" | "refused" | "timeout" | "cancelled" | "upstream_failed";

/**
 * Metrics of the MCP plane. Servers are those of the configuration, methods those of the protocol; whatever else a client
 * makes up is counted as `other`. Tools are no labels: their names are the servers' to choose.
 */
export interface McpMetrics {
  request(server: string, method: string, outcome: McpOutcome, seconds: number): void;
  /** A link was opened, or could not be. */
  opened(server: string, ok: boolean): void;
  /** A link ended that nobody ended here. */
  died(server: string): void;
}

/** What is looked up when metrics are read. */
export interface McpGauges {
  sessions(): number;
  servers(): readonly McpServerGauges[];
  payloadFiles(): number;
  droppedLogLines(): number;
  droppedSpans(): number;
}

export interface McpServerGauges {
  readonly server: string;
  readonly isUp: boolean;
  readonly links: number;
  readonly processes: number;
  readonly breaker: "closed" | "half_open" | "open";
}

const METHODS: ReadonlySet<string> = new Set([
  "completion/complete",
  "initialize",
  "logging/setLevel",
  "ping",
  "prompts/get",
  "prompts/list",
  "resources/list",
  "resources/read",
  "resources/subscribe",
  "resources/templates/list",
  "resources/unsubscribe",
  "server/discover",
  "subscriptions/listen",
  "tools/call",
  "tools/list",
]);
/** Seconds. From what a local server takes to the longest that a tool may. */
const BUCKETS = [0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 30, 120];
const BREAKER = { closed: 0, half_open: 1, open: 2 } as const;

/** @param isServer whether the configuration has one of that name */
export function createMcpMetrics(
  registry: Registry,
  isServer: (name: string) => boolean,
  gauges: McpGauges,
): McpMetrics {
  const registers = [registry];
  const requests = new Counter({
    name: "bifrost_mcp_requests_total",
    help: "Requests of clients to MCP servers that ended, by server, method and outcome.",
    labelNames: ["server", "method", "outcome"],
    registers,
  });
  const durations = new Histogram({
    name: "bifrost_mcp_tool_call_duration_seconds",
    help: "Tool calls from the policy's first look to the answer, by server.",
    labelNames: ["server"],
    buckets: BUCKETS,
    registers,
  });
  const openings = new Counter({
    name: "bifrost_mcp_link_openings_total",
    help: "Conversations begun with MCP servers, for stdio servers the processes started, by server and whether it worked.",
    labelNames: ["server", "ok"],
    registers,
  });
  const deaths = new Counter({
    name: "bifrost_mcp_link_deaths_total",
    help: "Conversations and processes of MCP servers that ended unexpectedly; the next request restarts them.",
    labelNames: ["server"],
    registers,
  });
  addGauges(registry, gauges);

  // prom-client hashes labels on each call; these are kept instead. Bounded as the labels are.
  const counters = new Map<string, { inc(): void }>();
  const histograms = new Map<string, { observe(seconds: number): void }>();
  const labelOf = (server: string) => (isServer(server) ? server : "other");

  return {
    request(server, method, outcome, seconds) {
      const name = labelOf(server);
      const kind = METHODS.has(method) ? method : "other";
      const id = `${name} ${kind} ${outcome}`;
      let counter = counters.get(id);
      if (!counter) counters.set(id, (counter = requests.labels(name, kind, outcome)));
      counter.inc();
      if (kind !== "tools/call") return;
      let histogram = histograms.get(name);
      if (!histogram) histograms.set(name, (histogram = durations.labels(name)));
      histogram.observe(seconds);
    },
    opened: (server, ok) => openings.labels(labelOf(server), String(ok)).inc(),
    died: (server) => deaths.labels(labelOf(server)).inc(),
  };
}

function addGauges(registry: Registry, gauges: McpGauges): void {
  const perServer = (name: string, help: string, value: (server: McpServerGauges) => number) =>
    registry.registerMetric(
      new Gauge({
        name,
        help,
        labelNames: ["server"],
        registers: [],
        collect() {
          // A server that a reload removed is shown no more.
          this.reset();
          for (const server of gauges.servers()) this.labels(server.server).set(value(server));
        },
      }),
    );
  const single = (name: string, help: string, value: () => number) =>
    registry.registerMetric(
      new Gauge({
        name,
        help,
        registers: [],
        collect() {
          this.set(value());
        },
      }),
    );
  const total = (name: string, help: string, value: () => number) =>
    registry.registerMetric(
      new Counter({
        name,
        help,
        registers: [],
        collect() {
          this.reset();
          this.inc(value());
        },
      }),
    );
  perServer("bifrost_mcp_server_up", "1 where the server answered when it was last tried.", ({ isUp }) => Number(isUp));
  perServer("bifrost_mcp_links", "Open conversations with the server.", ({ links }) => links);
  perServer("bifrost_mcp_processes", "Processes of the server.", ({ processes }) => processes);
  perServer(
    "bifrost_mcp_breaker_state",
    "Rate-limit circuit breaker: 0 closed, 1 half open, 2 open.",
    ({ breaker }) => BREAKER[breaker],
  );
  single("bifrost_mcp_sessions", "Open sessions of clients of the 2025 era.", () => gauges.sessions());
  single("bifrost_mcp_payload_files", "Results put into files that are still there.", () => gauges.payloadFiles());
  total("bifrost_mcp_log_lines_dropped_total", "Lines that the log files lost.", () => gauges.droppedLogLines());
  total("bifrost_mcp_spans_dropped_total", "Spans that the collector did not get.", () => gauges.droppedSpans());
}
