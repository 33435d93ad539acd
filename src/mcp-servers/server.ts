import type { DeclaredMcpServer } from "../config/model.ts";
import { BoundedMap } from "../core/bounded-map.ts";
import type { Clock } from "../core/clock.ts";
import { GatewayError, toGatewayError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { JsonText } from "../jsonrpc/json-slice.ts";
import type { Era, Link } from "../mcp-links/types.ts";
import { type BackOff, createBackOff } from "./back-off.ts";
import { createCanonicalJson } from "./canonical-json.ts";
import { createCatalogCache } from "./catalog-cache.ts";
import { createChangeListeners } from "./change-listeners.ts";
import { suggestsOutage } from "./counted-link.ts";
import { createHealth } from "./health.ts";
import { pingLink, startKeepalive } from "./keepalive.ts";
import { createLinkPool, type LinkTerms, type Slot } from "./link-pool.ts";
import type { LoadedCatalog } from "./read-catalog.ts";
import type { Schedule } from "./schedule.ts";
import type { Catalog, CatalogPart, Conversation, McpServer, OpenLink } from "./types.ts";

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
/** Principals whose failures are remembered. */
const MAX_PRINCIPALS = 1_000;
/** A link that dies younger counts as one that could not be opened, so that a process which dies at once is not restarted in a loop. */
const STABLE_MS = 10_000;
/** After a link died, or callers failed: when the gateway looks for itself, unless a new link answered the question. */
const LOOK_AGAIN_MS = 1_000;

const NO_CAPABILITIES = "{}";

/**
 * One MCP server. Its health is what the gateway's own link finds out (at the start, after a link died or callers failed,
 * and at each ping); failures of one caller's links hold up that caller alone. A stdio server's own link is handed to the first
 * conversation on equal terms; an HTTP server's is kept, to ping and to hear of changes.
 */
export function createMcpServer(declared: DeclaredMcpServer, deps: McpServerDeps): ManagedServer {
  const { name, transport } = declared;
  const { clock, schedule, log } = deps;
  const http = transport.kind === "http";
  const capacity = transport.kind === "http" ? MAX_HTTP_LINKS : transport.maxProcesses;
  const canonicalJson = createCanonicalJson();
  const health = createHealth(name, clock, deps.random);
  const listeners = createChangeListeners(schedule);
  const principals = new BoundedMap<string, BackOff>(MAX_PRINCIPALS);
  /** Eras that the server was asked for and answered in the other. */
  const notSpoken = new Set<Era>();
  const ownTerms: LinkTerms = {
    facts: { info: deps.gatewayInfo, capabilities: NO_CAPABILITIES },
    headers: {},
    era: "2025",
  };
  let hello: Pick<Link, "hello" | "era"> | null = null;
  let counts: { readonly tools: number; readonly toolsLeftOut: number } | null = null;
  /** Whether lists are for one identity only; null: not known yet. */
  let privateLists: boolean | null = null;
  /** A link died, so the server may have started anew as another one. */
  let doubted = false;
  let started = false;
  let closed = false;
  let trying = false;
  let looking = false;
  let lookedAtMs = 0;
  let cancelPlan: (() => void) | null = null;
  let stopKeepalive = () => {};

  const pool = createLinkPool({
    server: name,
    clock,
    schedule,
    startupTimeoutMs: declared.startupTimeoutMs,
    capacity,
    // Half, so that one principal under ever new agent ids leaves room for the others.
    share: Math.ceil(capacity / 2),
    open: async (terms, signal) => {
      const startedAtMs = clock.now();
      let ok = false;
      try {
        const link = await deps.open(declared, { ...terms, signal });
        ok = true;
        return link;
      } finally {
        deps.metrics.opened(name, ok, (clock.now() - startedAtMs) / 1_000);
      }
    },
    suits: (own, conversation) => !http && own.terms.facts.capabilities === NO_CAPABILITIES && fits(own, conversation),
    idleMs(slot) {
      if (transport.kind === "stdio") return transport.idleTimeoutMs;
      return slot.owner?.shared ? deps.sharedIdleMs : 0;
    },
    onOpened,
    onOpenFailed,
    onDied,
    onRenewed() {
      doubted = true;
      void look();
      plan(LOOK_AGAIN_MS);
    },
    onTrouble(error) {
      if (http && suggestsOutage(error)) void look();
    },
  });

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
      counts = { tools: catalog.tools.length, toolsLeftOut: catalog.leftOutByList.tools };
      // Once private, always treated so: the callers of a mistake would see each other's lists.
      privateLists ||= Object.values(catalog.hints).some((hint) => hint?.scope === "private");
    },
  });

  /** The own link answers for a conversation of the same capabilities, in the conversation's era where the server speaks it. */
  function fits(own: Slot, conversation: Conversation): boolean {
    const era = own.bare?.era ?? own.terms.era;
    if (era !== conversation.era && !notSpoken.has(conversation.era)) return false;
    return canonicalJson(conversation.facts.capabilities) === NO_CAPABILITIES;
  }

  function catalogKey(terms: LinkTerms): string {
    const era = notSpoken.has(terms.era) ? otherEra(terms.era) : terms.era;
    // Where the server says that its lists are private, or said nothing so far, each identity has its own.
    const headers = http && privateLists !== false ? JSON.stringify(terms.headers) : "{}";
    const identity = canonicalJson(headers);
    return `${era} ${canonicalJson(terms.facts.capabilities)} ${identity}`;
  }

  // ----- what links tell

  function onOpened(slot: Slot, link: Link): void {
    // Another version may speak another era.
    if (hello && hello.hello.info !== link.hello.info) notSpoken.clear();
    if (link.era !== slot.terms.era) notSpoken.add(slot.terms.era);
    hello = link;
    if (health.state !== "running") {
      log.info({ server: name, revision: link.hello.revision }, "MCP server is running");
      cancelPlan?.();
      cancelPlan = null;
    }
    health.succeeded();
    hear(slot);
    if (http && !pool.own()) plan(LOOK_AGAIN_MS);
    if (!slot.own && !doubted) return;
    if (doubted) cache.doubt();
    void refresh(slot.terms, link);
  }

  async function refresh(terms: LinkTerms, link: Link): Promise<boolean> {
    try {
      await cache.refresh(catalogKey(terms), terms, link);
      doubted = false;
      return true;
    } catch {
      return false;
    }
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
    if (slot.owner) {
      health.note(error);
      backOffOf(slot.owner.principalUid).failed();
    }
    log.debug({ server: name, code: error.code, reason: error.message }, "a link to an MCP server could not be opened");
    // The gateway's own try is judged where it was made, whoever took it over meanwhile.
    if (!slot.own && !pool.own()) void tryServer();
    else if (!slot.own && http) void look();
  }

  function onDied(slot: Slot, end: { readonly reason: string }): void {
    deps.metrics.died(name);
    log.warn({ server: name, reason: end.reason }, "a link to an MCP server ended unexpectedly");
    const ageMs = clock.now() - slot.openedAtMs;
    if (slot.owner) {
      if (ageMs >= STABLE_MS) principals.delete(slot.owner.principalUid);
      else if (!http) backOffOf(slot.owner.principalUid).failed();
    }
    doubted = true;
    plan(LOOK_AGAIN_MS);
  }

  function backOffOf(principalUid: string): BackOff {
    const known = principals.get(principalUid);
    if (known) return known;
    const created = createBackOff(clock, deps.random);
    principals.set(principalUid, created);
    return created;
  }

  // ----- the gateway's own tries

  /** One at a time; one that waits is not put off. */
  function plan(delayMs: number): void {
    if (!started || closed || cancelPlan) return;
    cancelPlan = schedule.after(delayMs, () => {
      cancelPlan = null;
      const own = pool.own();
      if (trying || (health.state !== "error" && !doubted && (!http || own))) return;
      if (own && http) void look();
      // An own process is older than the doubt: only a new one tells what the server is now.
      else if (own) void pool.end(own).then(() => tryServer());
      else void tryServer();
    });
  }

  async function tryServer(): Promise<void> {
    if (!started || trying || closed) return;
    const opening = pool.openOwn(ownTerms);
    if (!opening) {
      // Conversations have every place; they tell how the server is. Without any, the next try is due later.
      if (health.state !== "running") plan(LOOK_AGAIN_MS);
      return;
    }
    trying = true;
    try {
      await opening;
    } catch (error) {
      if (!closed) down(error);
    } finally {
      trying = false;
    }
  }

  function down(error: unknown): void {
    doubted = true;
    const waitMs = health.failed(error);
    const { code, message } = toGatewayError(error);
    log.warn({ server: name, code, reason: message, retryMs: Math.round(waitMs) }, "MCP server is not available");
    cancelPlan?.();
    cancelPlan = null;
    plan(waitMs);
  }

  /** Asks an HTTP server over the own link whether it is there, and for its lists where they are in doubt. */
  async function look(): Promise<void> {
    if (looking || closed || health.state === "error" || clock.now() - lookedAtMs < LOOK_AGAIN_MS) return;
    const own = pool.own();
    if (!own) return plan(LOOK_AGAIN_MS);
    if (!own.link || !own.bare) return;
    looking = true;
    lookedAtMs = clock.now();
    try {
      await pingLink(own.bare, ownTerms.facts, schedule);
      pool.checkRenewal(own);
      if (!doubted) return;
      cache.doubt();
      await refresh(ownTerms, own.link);
    } catch (error) {
      if (own.phase === "open") pool.lose(own, "it did not answer a ping");
      if (!closed) down(error);
    } finally {
      looking = false;
    }
  }

  // ----- what callers ask

  function admit(conversation: Conversation): void {
    if (closed) throw new GatewayError("gateway.draining");
    health.refuse();
    const waitMs = principals.peek(conversation.principalUid)?.waitMs() ?? 0;
    if (waitMs === 0) return;
    const seconds = Math.ceil(waitMs / 1_000);
    throw new GatewayError("upstream.unavailable", {
      message: `the MCP server ${name} failed for this caller; it can be started again in ${seconds} s`,
      headers: { "retry-after": String(seconds) },
    });
  }

  async function lease(conversation: Conversation): Promise<Link> {
    // Sessions of an HTTP server that is down would only wait for it; processes are alive whatever a new one does.
    if (http) health.refuse();
    const held = pool.held(conversation);
    if (held) return held;
    admit(conversation);
    return pool.open(conversation);
  }

  function linkToRead(conversation: Conversation): Promise<Link> {
    const own = pool.own();
    const identity = privateLists !== false && Object.keys(conversation.headers).length > 0;
    if (own && !identity && fits(own, conversation)) return own.ready;
    return lease(conversation);
  }

  return {
    declared,
    status: () => ({
      state: health.state,
      sinceMs: health.sinceMs,
      lastError: health.lastError,
      nextTryAtMs: health.nextTryAtMs(),
      tools: counts?.tools ?? null,
      toolsLeftOut: counts?.toolsLeftOut ?? null,
      links: pool.slots().size,
      processes: http ? 0 : pool.slots().size,
      era: hello?.era ?? null,
      hello: hello?.hello ?? null,
    }),
    lease,
    release: (conversationKey) => pool.release(conversationKey),
    async catalog(conversation): Promise<Catalog> {
      const key = catalogKey(conversation);
      const catalog = await cache.get(key, conversation, () => linkToRead(conversation));
      // The answer itself told that the lists are private, or in which era they are: under this key it may be another's.
      const now = catalogKey(conversation);
      return now === key ? catalog : cache.get(now, conversation, () => linkToRead(conversation));
    },
    onChange: (listener) => listeners.add(listener),
    start() {
      if (started || closed) return;
      started = true;
      void tryServer();
      if (http && deps.keepaliveMs > 0)
        stopKeepalive = startKeepalive({
          everyMs: deps.keepaliveMs,
          clock,
          schedule,
          slots: () => pool.slots(),
          onAnswer: pool.checkRenewal,
          onSilent: (slot, error) => {
            pool.lose(slot, "it did not answer a ping");
            if (slot.own) down(error);
          },
        });
    },
    async close(graceMs) {
      closed = true;
      cancelPlan?.();
      stopKeepalive();
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

const otherEra = (era: Era): Era => (era === "2025" ? "2026" : "2025");
