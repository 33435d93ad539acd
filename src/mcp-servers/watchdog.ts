import { toGatewayError } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Health } from "./health.ts";
import { pingLink } from "./keepalive.ts";
import type { LinkPool } from "./link-pool.ts";
import type { LinkTerms, Slot } from "./places.ts";
import type { Schedule } from "./schedule.ts";

/** Finds out by the gateway's own link how a server is, and brings it back. */
export interface Watchdog {
  start(): void;
  /** The server may have become another one. It is looked at soon, unless `settle` says before that it was. */
  doubt(): void;
  /** How often it was doubted so far; 0 when everything that is known was read since. */
  doubts(): number;
  /** Everything was read after so many doubts. */
  settle(doubts: number): void;
  /** A call or a caller's link failed in a way that may be the server's fault. */
  suspect(): void;
  /** A link was opened, so the server is there. */
  opened(): void;
  /** It does not answer. */
  down(error: unknown): void;
  stop(): void;
}

interface WatchdogDeps {
  readonly server: string;
  readonly http: boolean;
  readonly pool: LinkPool;
  readonly terms: LinkTerms;
  readonly health: Health;
  readonly schedule: Schedule;
  readonly log: Pick<Logger, "info" | "warn">;
  /** Reads the lists again over the own link, all of them. */
  reread(own: Slot): Promise<void>;
}

/** After a doubt: when the gateway looks for itself. Also the shortest time between two looks. */
const LOOK_AGAIN_MS = 1_000;

/** One try at a time and one timer at most, for each server. Does nothing before `start`. */
export function createWatchdog(deps: WatchdogDeps): Watchdog {
  const { server, http, pool, health, schedule, log } = deps;
  let running = false;
  let doubts = 0;
  let trying = false;
  let looking = false;
  let cancelPause: (() => void) | null = null;
  let cancelPlan: (() => void) | null = null;

  /** One that waits is not put off. */
  function plan(delayMs: number): void {
    if (!running || cancelPlan) return;
    cancelPlan = schedule.after(delayMs, () => {
      cancelPlan = null;
      const own = pool.own();
      if (trying || (health.state !== "error" && doubts === 0 && (!http || own))) return;
      if (own && http) void look();
      // An own process is older than the doubt: only a new one tells what the server is now.
      else if (own) void pool.end(own).then(() => tryServer());
      else void tryServer();
    });
  }

  function dropPlan(): void {
    cancelPlan?.();
    cancelPlan = null;
  }

  async function tryServer(): Promise<void> {
    if (!running || trying) return;
    const opening = pool.openOwn(deps.terms);
    // Conversations have every place, and tell how the server is.
    if (!opening) return void (health.state === "running" || plan(LOOK_AGAIN_MS));
    trying = true;
    try {
      await opening;
    } catch (error) {
      down(error);
    } finally {
      trying = false;
    }
  }

  function down(error: unknown): void {
    if (!running) return;
    doubts++;
    const waitMs = health.failed(error);
    const { code, message } = toGatewayError(error);
    log.warn({ server, code, reason: message, retryMs: Math.round(waitMs) }, "MCP server is not available");
    dropPlan();
    plan(waitMs);
  }

  /** Asks an HTTP server whether it is there, and for its lists where they are in doubt. */
  async function look(): Promise<void> {
    if (looking || !running || health.state === "error") return;
    const own = pool.own();
    if (!own || cancelPause) return plan(LOOK_AGAIN_MS);
    if (!own.bare) return;
    looking = true;
    cancelPause = schedule.after(LOOK_AGAIN_MS, () => (cancelPause = null));
    try {
      await pingLink(own.bare, deps.terms.facts, schedule);
      pool.checkRenewal(own);
      // It is there, whatever it answers: lists that cannot be read now are read when somebody asks.
      if (doubts > 0) await deps.reread(own).catch(() => {});
    } catch (error) {
      if (own.phase === "open") pool.lose(own, "it did not answer a ping");
      down(error);
    } finally {
      looking = false;
    }
  }

  function doubt(): void {
    doubts++;
    plan(LOOK_AGAIN_MS);
  }

  return {
    start() {
      running = true;
      void tryServer();
    },
    doubt,
    doubts: () => doubts,
    settle(seen) {
      if (doubts === seen) doubts = 0;
    },
    suspect() {
      if (http && pool.own()) void look();
      else if (!pool.own()) void tryServer();
    },
    opened() {
      if (health.state !== "running") {
        log.info({ server }, "MCP server is running");
        dropPlan();
      }
      health.succeeded();
      if (http && !pool.own()) plan(LOOK_AGAIN_MS);
    },
    down,
    stop() {
      running = false;
      cancelPause?.();
      dropPlan();
    },
  };
}
