import type { Config, DeclaredMcpServer } from "../config/model.ts";
import type { ChangeBus } from "../core/changes.ts";
import { type AdmitDeps, admit, admitWithoutUse } from "../gate/admit.ts";
import { confirmStillUsable } from "../gate/confirm-still-usable.ts";
import type { OpenRequests } from "../gate/open-requests.ts";
import { createCallerWatch } from "../gate/watch-caller.ts";
import { createMcpServers } from "../mcp-servers/registry.ts";
import type { McpServers } from "../mcp-servers/types.ts";
import { systemSchedule } from "../mcp-servers/schedule.ts";
import { createHttpUpstreams } from "../mcp-links/http/upstreams.ts";
import { createReaper } from "../mcp-links/stdio/reaper.ts";
import { createOpenLink } from "./open-link.ts";
import { createAccess } from "../mcp-policy/access.ts";
import { createBackends } from "./backends/backends.ts";
import { createCallPolicy } from "./backends/call-policy.ts";
import { breakerGuard, filterGuard, limitGuard, payloadGuard } from "./backends/guards.ts";
import { createServerPolicies } from "./backends/server-policies.ts";
import { createRounds } from "./backends/rounds.ts";
import { createCallLimits } from "../mcp-policy/call-limits.ts";
import { createPayloadStore, PAYLOAD_MAX_TOTAL_BYTES } from "../mcp-policy/payload-store.ts";
import { steadyClock } from "../core/clock.ts";
import type { McpMetrics } from "../core/mcp-metrics.ts";
import type { Metrics } from "../core/metrics.ts";
import { logCatalog } from "./observe/log-observer.ts";
import { gaugesOf, linkObservers, observeRequests } from "./observe/observe.ts";
import { observeEndpoint } from "./observe/observed-endpoint.ts";
import { traceMessage } from "./observe/trace-observer.ts";
import { observeLinks } from "./observe/observed-link.ts";
import type { Telemetry } from "./observe/telemetry.ts";
import { type BuiltInParts, wireBuiltIn } from "./built-in/wire.ts";
import { createMcpEndpoint, type McpEndpoint } from "./endpoint.ts";
import { frontDoorFor } from "./front-door.ts";
import { createLegacyClients, type OpenSession } from "./legacy/clients.ts";
import { createSessionIds } from "./legacy/session-ids.ts";
import { createModernClients } from "./modern/clients.ts";
import {
  type Caller,
  DEFAULT_MCP_LIMITS,
  type EndpointDeps,
  type FrontDoor,
  type McpDeps,
  type McpLimits,
} from "./types.ts";

/** What the MCP plane is made of; app.ts builds these. */
export interface McpParts
  extends BuiltInParts, Pick<EndpointDeps, "log" | "clientAddress" | "publicUrl" | "authenticate"> {
  readonly config: Pick<Config, "gateway" | "mcpServers" | "server" | "inheritedEnvironment">;
  readonly changes: ChangeBus;
  readonly gate: AdmitDeps;
  readonly openRequests: OpenRequests;
  /** The secret of a stored credential, for one server. @throws where it may not go there */
  bearerFor(server: DeclaredMcpServer, credential: string): Promise<string>;
  onFault(thrown: unknown): void;
  readonly telemetry: Telemetry;
  /** Null or missing: nothing is counted. */
  readonly metrics?: Metrics | null;
}

export interface McpWiring {
  readonly endpoint: McpEndpoint;
  readonly servers: McpServers;
  sessions(): readonly OpenSession[];
  /** Serves other servers from now on. Calls that run go on; sessions and subscriptions begin anew with their next request. */
  reload(declared: readonly DeclaredMcpServer[]): void;
  drain(): void;
  close(): Promise<void>;
}

/** How long the lists of all servers wait for one that is late. */
const LIST_TIMEOUT_MS = 5_000;
/** Links of clients without session end after this time without use. */
const SHARED_IDLE_MS = 300_000;
/** For servers to end by themselves, and then by force. */
const CLOSE_GRACE_MS = 10_000;
/** Sessions in all; a principal's share is configured. */
const MAX_SESSIONS = 20_000;

/** All that a test may swap. */
export interface ReplaceMcp {
  readonly door?: FrontDoor;
  readonly limits?: Partial<McpLimits>;
  readonly builtIn?: (deps: McpDeps) => McpDeps;
}

export function wireMcp(parts: McpParts, replace: ReplaceMcp = {}): McpWiring {
  const { config, gate, log, changes } = parts;
  const { clock } = gate;
  const { traces } = parts.telemetry;
  const isServer = (name: string) => servers.find(name) !== undefined;
  const counts =
    parts.metrics?.mcp(isServer, {
      sessions: () => legacy.sessions().length,
      servers: () => servers.all().map((server) => gaugesOf(server, policies.breakerOf(server.declared))),
      payloadFiles: () => payloads.count,
      droppedLogLines: () => parts.telemetry.files?.dropped() ?? 0,
      droppedSpans: () => traces?.exporter.dropped() ?? 0,
    }) ?? null;
  const { servers, close: closeServers } = wireServers(parts, counts);
  const watchCaller = createCallerWatch({ clock, changes, keys: gate.keys, openRequests: parts.openRequests });
  const builtIn = wireBuiltIn(parts);
  const policies = createServerPolicies(steadyClock, log);
  for (const server of config.mcpServers) policies.filtersOf(server);
  const callLimits = createCallLimits();
  const payloads = createPayloadStore({
    ...config.gateway.payloads,
    maxTotalBytes: PAYLOAD_MAX_TOTAL_BYTES,
    clock,
    onProblem: (problem, err) => log.warn({ err }, problem),
  });
  const backends = createBackends({
    servers,
    accessTo: createAccess(),
    builtIn: replace.builtIn?.(builtIn) ?? builtIn,
    log,
    listTimeoutMs: LIST_TIMEOUT_MS,
    policy: createCallPolicy([
      payloadGuard(payloads),
      filterGuard(policies),
      limitGuard(callLimits),
      breakerGuard(policies),
    ]),
    rounds: createRounds(),
    observe: observeRequests(parts.telemetry, counts),
    isFiltered: (server, tool) => policies.filtersOf(server)?.has(tool) ?? false,
    ended: (conversation) => callLimits.forget(conversation.principalUid, conversation.key),
    admit({ live }: Caller, isUse) {
      if (live === null) return null;
      return isUse ? admit(live, gate) : admitWithoutUse(live, gate);
    },
    confirm: ({ live }) => (live ? confirmStillUsable(live, gate) : undefined),
    register(caller, abort) {
      const { live } = caller;
      // A call is short: its key may expire meanwhile.
      return live ? parts.openRequests.add(live.key.uid, live.key.orgUid, abort) : watchCaller(caller, abort);
    },
  });
  const now = () => clock.now();
  const legacy = createLegacyClients({
    backends,
    log,
    now,
    watchCaller,
    ids: createSessionIds({ keyring: parts.keyWrites.keyring, maxAgeMs: config.gateway.sessionTimeoutMs, now }),
    limits: {
      maxPerPrincipal: config.gateway.maxSessionsPerPrincipal,
      maxInAll: MAX_SESSIONS,
      idleMs: config.gateway.sessionTimeoutMs,
    },
  });
  const modern = createModernClients({ backends, log, version: parts.version, clock, watchCaller });
  const bare = createMcpEndpoint(
    {
      log,
      clientAddress: parts.clientAddress,
      publicUrl: parts.publicUrl,
      ...(traces && { onMessage: traceMessage(traces.tracer) }),
      authenticate: parts.authenticate,
    },
    { backends, legacy, modern },
    replace.door ?? frontDoorFor(config.server),
    { ...DEFAULT_MCP_LIMITS, ...replace.limits },
  );
  const endpoint = observeEndpoint(bare, {
    tracer: traces?.tracer ?? null,
    metrics: parts.metrics ?? null,
    isServer,
  });

  return {
    endpoint,
    servers,
    sessions: () => legacy.sessions(),
    reload(declared) {
      for (const gone of servers.replace(declared)) policies.forget(gone);
      for (const server of declared) policies.filtersOf(server);
      legacy.renew();
      modern.renew();
    },
    drain() {
      legacy.drain();
      modern.close();
    },
    async close() {
      endpoint.close();
      legacy.close();
      modern.close();
      payloads.close();
      await Promise.all([closeServers(), policies.close()]);
    },
  };
}

function wireServers({ config, gate, log, version, bearerFor, telemetry }: McpParts, counts: McpMetrics | null) {
  const { redactor, files } = telemetry;
  const upstreams = createHttpUpstreams({ onToken: (header) => redactor.learn(header.replace(/^Bearer /, "")) });
  const reaper = createReaper((problem) => log.error({ problem }, "the reaper of server processes"));
  const open = createOpenLink({
    version,
    log,
    upstreams,
    reaper,
    inheritedEnvironment: config.inheritedEnvironment,
    async bearerFor(server, credential) {
      const secret = await bearerFor(server, credential);
      redactor.learn(secret);
      return secret;
    },
    onServerLine(server, line) {
      log.debug({ server, line }, "standard error of an MCP server");
      files?.serverLine(server, "INFO", "stderr", line);
    },
  });
  const servers = createMcpServers(config.mcpServers, {
    open: observeLinks(open, linkObservers(telemetry)),
    ...(files && { onCatalog: (server, catalog) => logCatalog(files, server, catalog) }),
    clock: gate.clock,
    schedule: systemSchedule,
    random: Math.random,
    log,
    metrics: { opened: (server, ok) => counts?.opened(server, ok), died: (server) => counts?.died(server) },
    keepaliveMs: config.gateway.keepaliveMs,
    sharedIdleMs: SHARED_IDLE_MS,
    gatewayInfo: JSON.stringify({ name: "bifrost", version }),
  });
  return {
    servers,
    async close() {
      await servers.close(CLOSE_GRACE_MS);
      await upstreams.close();
      reaper.close();
    },
  };
}
