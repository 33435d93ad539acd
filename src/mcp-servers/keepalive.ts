import type { Clock } from "../core/clock.ts";
import { GatewayError } from "../core/errors.ts";
import { RPC } from "../jsonrpc/codes.ts";
import { errorReply } from "../jsonrpc/message.ts";
import type { ClientFacts, Link } from "../mcp-links/types.ts";
import type { Slot } from "./places.ts";
import type { Schedule } from "./schedule.ts";

const PING_TIMEOUT_MS = 10_000;
/** Pings at a time, so that a thousand idle sessions do not make a burst. */
const PARALLEL = 8;

/**
 * Asks for a sign of life: `ping`, which 2026-07-28 no longer has, there `server/discover`. Any answer is one, errors too.
 *
 * @throws GatewayError `upstream.*`; `upstream.timeout` after 10 s
 */
export async function pingLink(link: Link, client: ClientFacts, schedule: Schedule): Promise<void> {
  const stop = new AbortController();
  const silent = () =>
    stop.abort(
      new GatewayError("upstream.timeout", { message: `the MCP server ${link.server} did not answer a ping` }),
    );
  const cancel = schedule.after(PING_TIMEOUT_MS, silent);
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  stop.signal.addEventListener("abort", () => reject(stop.signal.reason as Error), { once: true });
  try {
    const answer = link.request({
      method: link.era === "2026" ? "server/discover" : "ping",
      params: undefined,
      client,
      headers: {},
      signal: stop.signal,
      onNotification: () => {},
      onRequest: async () => errorReply(RPC.methodNotFound, "Method not found"),
      passInputRequired: false,
    });
    await Promise.race([answer, aborted]);
  } finally {
    cancel();
  }
}

interface KeepaliveDeps {
  readonly everyMs: number;
  readonly clock: Clock;
  readonly schedule: Schedule;
  slots(): Iterable<Slot>;
  onAnswer(slot: Slot): void;
  onSilent(slot: Slot, error: unknown): void;
}

/**
 * Pings the links that nobody used for that long, so that the server keeps their sessions and an outage is noticed without
 * traffic. A ping is not use: what is idle still ends. A round begins when the last one ended. Returns what stops it.
 */
export function startKeepalive(deps: KeepaliveDeps): () => void {
  let stopped = false;
  let cancel = deps.schedule.after(deps.everyMs, next);

  function next(): void {
    void round().then(() => {
      if (!stopped) cancel = deps.schedule.after(deps.everyMs, next);
    });
  }

  async function round(): Promise<void> {
    const now = deps.clock.now();
    const idle = [...deps.slots()].filter(
      (slot) => slot.phase === "open" && slot.calls === 0 && now - slot.lastUsedMs >= deps.everyMs,
    );
    const work = idle.values();
    const pingAll = async () => {
      for (const slot of work) await ping(slot);
    };
    await Promise.all(Array.from({ length: PARALLEL }, pingAll));
  }

  async function ping(slot: Slot): Promise<void> {
    if (stopped || slot.phase !== "open" || !slot.bare) return;
    try {
      await pingLink(slot.bare, slot.terms.facts, deps.schedule);
      deps.onAnswer(slot);
    } catch (error) {
      if (!stopped && slot.phase === "open") deps.onSilent(slot, error);
    }
  }

  return () => {
    stopped = true;
    cancel();
  };
}
