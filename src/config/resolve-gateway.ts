import { isIP } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve as absolute } from "node:path";
import type { GatewayInput } from "./gateway-schema.ts";
import { resolveAgents } from "./identity.ts";
import type { GatewayConfig } from "./model.ts";
import type { ConfigInput } from "./schema.ts";
import { type Sources, readSecret } from "./secret-source.ts";
import { limitMs } from "./units.ts";

const KEEPALIVE_MS = 1_500_000;

/** The settings of the MCP plane in the program's names and units. */
export function resolveGateway(input: ConfigInput, sources: Sources): GatewayConfig {
  const { gateway } = input;
  const agents = resolveAgents(gateway, sources.policyAgents, Object.keys(input.servers), sources);
  checkAuth(input, agents.length, sources);
  const keepalive = gateway.keepalive_interval;
  return {
    auth: gateway.auth,
    agents,
    domain: gateway.domain ?? null,
    startupTimeoutMs: gateway.startup_timeout,
    toolTimeoutMs: limitMs(gateway.tool_timeout),
    keepaliveMs: keepalive < 0 ? 0 : keepalive === 0 ? KEEPALIVE_MS : keepalive,
    sessionTimeoutMs: gateway.session_timeout,
    maxSessionsPerPrincipal: gateway.max_sessions,
    requireContainers: gateway.require_containers,
    payloads: {
      dir: absolute(gateway.payload_dir ?? join(tmpdir(), "bifrost-payloads")),
      pathPrefix: gateway.payload_path_prefix ?? null,
      thresholdBytes: gateway.payload_size_threshold === "none" ? null : gateway.payload_size_threshold,
      maxAgeMs: gateway.payload_max_age,
    },
    logDir: gateway.log_dir === undefined ? null : absolute(gateway.log_dir),
    logPayloads: gateway.log_payloads,
    telemetry: resolveTelemetry(gateway.opentelemetry, sources),
  };
}

function checkAuth({ gateway, server }: ConfigInput, agents: number, { placeOf, report }: Sources): void {
  if (gateway.auth !== "none") return;
  const place = placeOf(["gateway", "auth"]);
  if (!isLoopback(server.host)) {
    const remedy = "Remove it, or listen on 127.0.0.1 only (server.host, --listen).";
    report({ place, message: '"none" on an address that other machines can reach', remedy });
  }
  if (agents > 0 || gateway.agent_policies !== undefined) {
    const remedy = "Remove it, or remove the agent ids and policies.";
    report({ place, message: '"none" leaves the agent ids and policies without effect', remedy });
  }
}

function resolveTelemetry(given: GatewayInput["opentelemetry"], sources: Sources): GatewayConfig["telemetry"] {
  const path = ["gateway", "opentelemetry"];
  if (given.span_id !== undefined && given.trace_id === undefined) {
    sources.report({
      place: sources.placeOf([...path, "span_id"]),
      message: "has no trace id to belong to",
      remedy: "Set trace_id as well.",
    });
  }
  if (given.endpoint === undefined) {
    if (sources.isInFile(path)) {
      const place = sources.placeOf([...path, "endpoint"]);
      sources.report({
        place,
        message: "missing",
        remedy: 'Write an http or https URL such as "http://127.0.0.1:4318".',
      });
    }
    return null;
  }
  const headers = Object.entries(given.headers).flatMap(([name, value]) => {
    const text = readSecret(value, [...path, "headers", name], sources);
    return text === null ? [] : [[name, text] as const];
  });
  return {
    endpoint: given.endpoint.replace(/\/+$/, ""),
    headers: Object.fromEntries(headers),
    serviceName: given.service_name,
    sampleRate: given.sample_rate,
    signalPath: given.signal_path,
    exporterTimeoutMs: given.exporter_timeout,
    traceId: given.trace_id ?? null,
    spanId: given.span_id ?? null,
  };
}

/** Whether only this machine reaches an address to listen on. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}
