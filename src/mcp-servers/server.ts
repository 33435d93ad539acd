import type { DeclaredMcpServer } from "../config/model.ts";
import type { Clock } from "../core/clock.ts";
import { GatewayError, toGatewayError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { JsonText } from "../jsonrpc/json-slice.ts";
import type { Era, Link, ServerHello } from "../mcp-links/types.ts";
import { createCallerBackOff } from "./caller-back-off.ts";
import { createCatalogCache } from "./catalog-cache.ts";
import { createCatalogKeys, NO_CAPABILITIES } from "./catalog-keys.ts";
import { createChangeListeners } from "./change-listeners.ts";
import { suggestsOutage } from "./counted-link.ts";
import { createHealth } from "./health.ts";
import { startKeepalive } from "./keepalive.ts";
import { createLinkPool, type LinkPoolDeps } from "./link-pool.ts";
import type { LinkTerms, Slot } from "./places.ts";
import type { LoadedCatalog } from "./read-catalog.ts";
import type { Schedule } from "./schedule.ts";
import type {
  Catalog,
  CatalogPart,
  Conversation,
  McpServer,
  OpenLink,
  OpenLinkOptions,
  ServerStatus,
} from "./types.ts";
import { createWatchdog } from "./watchdog.ts";

/** What is counted of a server. `server` is its name, so labels are bounded by the configuration. */
export interface ServerMetrics {
  opened(server: string, ok: boolean, seconds: number): void;
  /** A link ended that nobody ended here. */
  died(server: string): void;
}

export interface McpServerDeps {
  readonly open: OpenLink;
  readonly clock: Clock;
  readonly schedule: Schedule;
  /** From 0 to below 1. */
  readonly random: () => number;
  readonly log: Pick<Logger, "info" | "warn" | "debug">;
  readonly metrics: ServerMetrics;
  /** Lists were read, which may be what they were before. */
  onCatalog?(server: string, catalog: Catalog): void;
  /** Between pings to idle links of HTTP servers; 0 means none. */
  readonly keepaliveMs: number;
  /** A link of an HTTP server without session ends after this time without use. */
  readonly sharedIdleMs: number;
  /** What the gateway calls itself where it opens a link for its own sake: an Implementation object. */
  readonly gatewayInfo: JsonText;
}

export interface ManagedServer extends McpServer {
  start(): void;
  close(graceMs: number): Promise<void>;
}

/**
 * Links to an HTTP server at a time: they are small, but each is a session of the server. For stdio servers the
 * configuration says how many processes there are.
 */
const MAX_HTTP_LINKS = 10_000;
/** A process that dies younger counts as one that could not be started, so that it is not started again in a loop. */
const STABLE_MS = 10_000;

/**
 * One MCP server. Its health is what the gateway's own link finds out (at the start, after a link died or callers failed,
 * and at each ping); failures of one caller's links hold up that caller alone. A stdio server's own link is handed to the
 * first conversation on equal terms; an HTTP server's is kept, to ping and to hear of changes.
 */
export function createMcpServer(declared: DeclaredMcpServer, deps: McpServerDeps): ManagedServer {
  const { name, transport } = declared;
  const { clock, schedule, log } = deps;
  const http = transport.kind === "http";
  const ownTerms: LinkTerms = {
    facts: { info: deps.gatewayInfo, capabilities: NO_CAPABILITIES },
    headers: {},
    era: "2025",
  };
  const health = createHealth(name, clock, deps.random);
  const callers = createCallerBackOff(name, clock, deps.random);
  const listeners = createChangeListeners(schedule);
  const keys = createCatalogKeys(http);
  let said: { readonly hello: ServerHello; readonly era: Era } | null = null;
  let last: Pick<ServerStatus, "tools" | "toolsLeftOut" | "toolList"> = {
    tools: null,
    toolsLeftOut: null,
    toolList: null,
  };
  let started = false;
  let closed = false;
  let stopKeepalive = () => {};

  const cache = createCatalogCache({
    clock,
    schedule,
    timeoutMs: declared.startupTimeoutMs,
    http,
    timedOut: () =>
      new GatewayError("upstream.timeout", {
        message: `the MCP server ${name} did not list what it offers in time`,
      }),
    onChange: (part) => listeners.tell(part),
    onFailure(error) {
      health.note(error);
      const { code, message } = toGatewayError(error);
      log.debug({ server: name, code, reason: message }, "lists of an MCP server could not be read");
    },
    onLoaded(catalog: LoadedCatalog) {
      const { tools, hints, leftOutByList } = catalog;
      const toolList = hints.tools?.scope === "private" ? null : tools;
      last = { tools: tools.length, toolsLeftOut: leftOutByList.tools, toolList };
      keys.learnScope(catalog);
      deps.onCatalog?.(name, catalog);
    },
  });
  const pool = createLinkPool({
    server: name,
    clock,
    schedule,
    startupTimeoutMs: declared.startupTimeoutMs,
    ...placesOf(declared, deps.sharedIdleMs),
    open: (terms, signal) =>
      openCounted({ ...terms, era: keys.eraFor(terms.era), signal, onDoubt: () => watchdog.suspect() }, declared, deps),
    suits: (own, conversation) => !http && keys.fits(own, conversation),
    onOpened,
    onOpenFailed,
    onDied,
    onRenewed: () => {
      watchdog.doubt();
      watchdog.suspect();
    },
    onTrouble(error) {
      if (http && suggestsOutage(error)) watchdog.suspect();
    },
  });
  const watchdog = createWatchdog({
    server: name,
    http,
    pool,
    terms: ownTerms,
    health,
    schedule,
    log,
    reread: (own) => reread(own, true),
  });

  // ----- what links tell

  function onOpened(slot: Slot, link: Link): void {
    // Another version may speak another era.
    if (said && said.hello.info !== link.hello.info) keys.forgetEras();
    keys.learnEra(keys.eraFor(slot.terms.era), link.era);
    said = { hello: link.hello, era: link.era };
    watchdog.opened();
    hear(slot);
    if (slot.own || watchdog.doubts() > 0) void reread(slot, slot.own).catch(() => {});
  }

  /** Reads what is in doubt over this link. @param tellFirst see {@link createCatalogCache} */
  async function reread(slot: Slot, tellFirst: boolean): Promise<void> {
    const doubts = watchdog.doubts();
    if (doubts > 0) cache.doubt();
    const key = keys.keyOf(slot.terms);
    // Lists that were never read before say nothing about whether the others changed.
    const comparable = tellFirst || cache.knows(key);
    if (slot.link) await cache.refresh(key, slot.terms, slot.link, tellFirst);
    if (comparable) watchdog.settle(doubts);
  }

  /** Changes are heard on every link, but for 2026 over HTTP, where each listener costs a stream: there on the own link. */
  function hear(slot: Slot): void {
    const { bare } = slot;
    if (!bare || (http && bare.era === "2026" && !slot.own)) return;
    const filter = { tools: true, prompts: true, resources: true, resourceUris: [] };
    const watch = bare.watch(filter, ({ method }) => {
      const part = CHANGED.get(method);
      if (part === undefined || slot.phase !== "open") return;
      cache.invalidate(part);
      listeners.tell(part);
    });
    watch.granted.catch(() => {});
    void slot.gone.then(() => watch.close());
  }

  function onOpenFailed(slot: Slot, error: GatewayError): void {
    log.debug({ server: name, code: error.code, reason: error.message }, "a link to an MCP server could not be opened");
    // The gateway's own try is judged where it was made, whoever took it over meanwhile.
    if (slot.own) return;
    health.note(error);
    if (slot.owner) callers.failed(slot.owner.principalUid);
    watchdog.suspect();
  }

  function onDied(slot: Slot, end: { readonly reason: string }): void {
    deps.metrics.died(name);
    log.warn({ server: name, reason: end.reason }, "a link to an MCP server ended unexpectedly");
    if (slot.owner) {
      if (clock.now() - slot.openedAtMs >= STABLE_MS) callers.succeeded(slot.owner.principalUid);
      else if (!http) callers.failed(slot.owner.principalUid);
    }
    watchdog.doubt();
  }

  // ----- what callers ask

  async function lease(conversation: Conversation): Promise<Link> {
    // Sessions of an HTTP server that is down would only wait for it; processes are alive whatever a new one does.
    if (http) health.refuse();
    const held = pool.held(conversation);
    if (held) return held;
    if (closed) throw new GatewayError("gateway.draining");
    health.refuse();
    callers.refuse(conversation.principalUid);
    return pool.open(conversation);
  }

  function linkToRead(conversation: Conversation): Promise<Link> {
    const own = pool.own();
    if (own && keys.isAnonymous(conversation) && keys.fits(own, conversation)) return own.ready;
    return lease(conversation);
  }

  return {
    declared,
    status: () => ({
      state: health.state,
      sinceMs: health.sinceMs,
      lastError: health.lastError,
      nextTryAtMs: health.nextTryAtMs(),
      ...last,
      links: pool.slots().size,
      processes: http ? 0 : pool.slots().size,
      era: said?.era ?? null,
      hello: said?.hello ?? null,
    }),
    lease,
    release: (conversationKey) => pool.release(conversationKey),
    async catalog(conversation): Promise<Catalog> {
      const read = (key: string) => cache.get(key, conversation, () => linkToRead(conversation));
      const key = keys.keyOf(conversation);
      const catalog = await read(key);
      // The answer itself told that the lists are private, or in which era they are: under this key it may be another's.
      const now = keys.keyOf(conversation);
      return now === key ? catalog : read(now);
    },
    onChange: (listener) => listeners.add(listener),
    start() {
      if (started || closed) return;
      started = true;
      watchdog.start();
      if (!http || deps.keepaliveMs === 0) return;
      stopKeepalive = startKeepalive({
        everyMs: deps.keepaliveMs,
        clock,
        schedule,
        slots: () => pool.slots(),
        onAnswer: pool.checkRenewal,
        onSilent(slot, error) {
          pool.lose(slot, "it did not answer a ping");
          if (slot.own) watchdog.down(error);
        },
      });
    },
    async close(graceMs) {
      closed = true;
      watchdog.stop();
      stopKeepalive();
      cache.stop();
      listeners.stop();
      health.stop();
      await pool.close(graceMs);
    },
  };
}

const CHANGED: ReadonlyMap<string, CatalogPart> = new Map([
  ["notifications/tools/list_changed", "tools"],
  ["notifications/prompts/list_changed", "prompts"],
  ["notifications/resources/list_changed", "resources"],
]);

/** How many links there may be, and how long an unused one is kept. */
function placesOf(
  { transport }: DeclaredMcpServer,
  sharedIdleMs: number,
): Pick<LinkPoolDeps, "capacity" | "share" | "idleMs"> {
  const capacity = transport.kind === "stdio" ? transport.maxProcesses : MAX_HTTP_LINKS;
  // Half, so that one principal under ever new agent ids leaves room for the others.
  const share = Math.ceil(capacity / 2);
  if (transport.kind === "stdio") return { capacity, share, idleMs: () => transport.idleTimeoutMs };
  return { capacity, share, idleMs: (slot) => (slot.owner?.shared ? sharedIdleMs : 0) };
}

async function openCounted(options: OpenLinkOptions, declared: DeclaredMcpServer, deps: McpServerDeps): Promise<Link> {
  const startedAtMs = deps.clock.now();
  let ok = false;
  try {
    const link = await deps.open(declared, options);
    ok = true;
    return link;
  } finally {
    deps.metrics.opened(declared.name, ok, (deps.clock.now() - startedAtMs) / 1_000);
  }
}
