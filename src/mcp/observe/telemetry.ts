import type { Config } from "../../config/model.ts";
import type { Clock } from "../../core/clock.ts";
import { type LineLevel, type LogFiles, openLogFiles } from "../../telemetry/log-files.ts";
import type { EndedSpan } from "../../telemetry/otlp.ts";
import { createRedactor, type Redactor } from "../../telemetry/redactor.ts";
import { createSpanExporter, type SpanExporter } from "../../telemetry/span-exporter.ts";
import { createTracer, type Tracer } from "../../telemetry/tracer.ts";
import { secretsOf } from "./known-secrets.ts";

/** What is written down about the work of the gateway, apart from metrics and the audit trail. */
export interface Telemetry {
  /** Knows every secret of the configuration; told of those that come up later. */
  readonly redactor: Redactor;
  /** Null where no folder is configured. */
  readonly files: LogFiles | null;
  /** Null where no collector is configured. */
  readonly traces: Traces | null;
  /** The secrets of a changed configuration. */
  learn(config: Config): void;
  /** What is written to stderr of a line of the log; the same goes into mcp-gateway.log. */
  onLogLine(line: string): string;
  /** Writes what is left. Never rejects. */
  close(): Promise<void>;
}

/** Spans, and where they go. */
export interface Traces {
  readonly tracer: Tracer;
  readonly exporter: SpanExporter;
}

/** @param onProblem something cannot be written; the gateway goes on. */
export function openTelemetry(
  config: Config,
  deps: {
    readonly masterKeys: readonly Buffer[];
    readonly clock: Clock;
    readonly version: string;
    onProblem(problem: string, error: unknown): void;
  },
): Telemetry {
  const redactor = createRedactor();
  const learn = (from: Config) => {
    for (const secret of secretsOf(from, deps.masterKeys)) redactor.keep(secret);
  };
  learn(config);
  const { logDir: dir, logPayloads } = config.gateway;
  const files =
    dir === null
      ? null
      : openLogFiles({
          dir,
          withPayloads: logPayloads === "redacted",
          redactor,
          clock: deps.clock,
          onProblem: (problem, error) => deps.onProblem(problem, error),
        });
  const traces = openTraces(config, redactor, deps);
  return {
    redactor,
    files,
    traces,
    learn,
    onLogLine(line) {
      const safe = redactor.redact(line);
      if (files) mirror(files, safe);
      return safe;
    },
    async close() {
      // What goes wrong with the last traces is still written down.
      await traces?.exporter.close();
      await files?.close();
    },
  };
}

function openTraces(
  { gateway: { telemetry } }: Config,
  redactor: Redactor,
  deps: Pick<Parameters<typeof openTelemetry>[1], "version" | "onProblem">,
): Traces | null {
  if (telemetry === null) return null;
  const exporter = createSpanExporter({
    url: telemetry.endpoint + telemetry.signalPath,
    headers: telemetry.headers,
    timeoutMs: telemetry.exporterTimeoutMs,
    resource: { "service.name": telemetry.serviceName, "service.version": deps.version },
    version: deps.version,
    redact: (text) => redactor.redact(text),
    onProblem: (problem, error) => deps.onProblem(problem, error),
  });
  const { sampleRate, traceId, spanId } = telemetry;
  const onEnded = (span: EndedSpan) => exporter.add(span);
  return { exporter, tracer: createTracer({ sampleRate, traceId, spanId, random: Math.random, onEnded }) };
}

const LEVELS: Readonly<Record<number, LineLevel>> = { 20: "DEBUG", 30: "INFO", 40: "WARN", 50: "ERROR", 60: "ERROR" };

function mirror(files: LogFiles, line: string): void {
  try {
    const { level, time: _, msg, server, ...more } = JSON.parse(line) as Record<string, unknown>;
    const rest = Object.keys(more).length === 0 ? "" : ` ${JSON.stringify(more)}`;
    files.line(
      LEVELS[Number(level)] ?? "INFO",
      typeof server === "string" ? server : "gateway",
      `${String(msg)}${rest}`,
    );
  } catch {
    // A secret of digits stood for a number.
    files.line("INFO", "gateway", line);
  }
}
