import { GatewayError } from "../core/errors.ts";
import type { ChannelEnd, Link } from "../mcp-links/types.ts";
import { createCountedLink, isSessionLost } from "./counted-link.ts";
import { createPlaces, HANDED_OUT_MS, type LinkTerms, type PlacesDeps, type Slot } from "./places.ts";
import { type Schedule, settledWithin } from "./schedule.ts";
import type { Conversation } from "./types.ts";

export interface LinkPoolDeps extends PlacesDeps {
  readonly schedule: Schedule;
  readonly startupTimeoutMs: number;
  open(terms: LinkTerms, signal: AbortSignal): Promise<Link>;
  /** Whether the gateway's own link serves a conversation as well as a new one would. */
  suits(own: Slot, conversation: Conversation): boolean;
  /** How long the link may be unused; 0 means for ever. */
  idleMs(slot: Slot): number;
  onOpened(slot: Slot, link: Link): void;
  onOpenFailed(slot: Slot, error: GatewayError): void;
  /** An open link ended, and nobody here asked for it. */
  onDied(slot: Slot, end: ChannelEnd): void;
  /** The link had to begin a new session, so the server may have started anew. */
  onRenewed(slot: Slot): void;
  /** A request over the link failed in the gateway's hop. */
  onTrouble(error: unknown): void;
}

export interface LinkPool {
  /** The conversation's link if it has one, open or opening. */
  held(conversation: Conversation): Promise<Link> | null;
  /** Opens the conversation's link, or hands over the gateway's own. @throws GatewayError where there is no room */
  open(conversation: Conversation): Promise<Link>;
  release(conversationKey: string): Promise<void>;
  /** The gateway's own link, opened if need be; null where there is no room for it. */
  openOwn(terms: LinkTerms): Promise<Link> | null;
  /** The gateway's own link where no conversation took it over. */
  own(): Slot | null;
  /** All places taken. */
  slots(): ReadonlySet<Slot>;
  /** Ends a link; resolves when it is gone. */
  end(slot: Slot): Promise<void>;
  /** To be called after an answer that came over the bare link: finds out whether it renewed its session. */
  checkRenewal(slot: Slot): void;
  /** Ends a link that turned out to be dead. */
  lose(slot: Slot, reason: string): void;
  /** Lets calls in flight end for half of the time, and closes everything. Nothing can be opened any more. */
  close(graceMs: number): Promise<void>;
}

/**
 * Links of one server, at most one per conversation and at most `capacity` in all. A place is free again only when nothing
 * of its link is left, so the number of processes holds at every moment. Nothing here waits for another conversation, but for
 * the link that makes room.
 */
export function createLinkPool(deps: LinkPoolDeps): LinkPool {
  const { clock, schedule } = deps;
  const places = createPlaces(deps);
  const { slots } = places;
  let closed = false;
  let cancelSweep: (() => void) | null = null;

  /** Ends the link that makes room, if one must; the new one waits for it and has its place at once. */
  function makeRoom(principalUid: string | null): Slot | null {
    const leaving = places.leavingFor(principalUid);
    if (leaving === null) return null;
    slots.delete(leaving);
    void end(leaving);
    return leaving;
  }

  function begin(terms: LinkTerms, owner: Conversation | null, after: Slot | null): Slot {
    const { promise: gone, resolve } = Promise.withResolvers<void>();
    const { promise: ready, resolve: opened, reject } = Promise.withResolvers<Link>();
    const now = clock.now();
    const slot: Slot = {
      owner: null,
      own: owner === null,
      terms,
      phase: "opening",
      calls: 0,
      pending: 0,
      watches: 0,
      onUnused: null,
      leasedAtMs: now,
      lastUsedMs: now,
      openedAtMs: now,
      link: null,
      bare: null,
      hello: null,
      ready,
      gone,
      free: () => {
        slots.delete(slot);
        resolve();
      },
      stop: new AbortController(),
    };
    slots.add(slot);
    if (owner) places.give(slot, owner);
    else places.keep(slot);
    // Nobody may be waiting when it fails: the release came first, or the gateway opens it for itself.
    ready.catch(() => {});
    void run(slot, after).then(opened, reject);
    return slot;
  }

  async function run(slot: Slot, after: Slot | null): Promise<Link> {
    const { signal } = slot.stop;
    const late = () =>
      slot.stop.abort(
        new GatewayError("upstream.timeout", {
          message: `the MCP server ${deps.server} did not start in time; raise its startup_timeout or check the server`,
        }),
      );
    const cancel = schedule.after(deps.startupTimeoutMs, late);
    const attempt = openAfter(slot, after);
    try {
      const link = await Promise.race([attempt, rejectedBy(signal)]);
      if (slot.phase !== "opening") throw ended(deps.server);
      enter(slot, link);
      return requireLink(slot);
    } catch (thrown) {
      const cancelled = slot.phase === "closing";
      slot.phase = "closing";
      places.takeAway(slot);
      // What still opens must not be forgotten: it is closed when it arrives, and only then the place is free.
      void attempt.then((link) => link.close()).then(slot.free, slot.free);
      const error = toUpstreamError(thrown, deps.server);
      if (!cancelled) deps.onOpenFailed(slot, error);
      throw error;
    } finally {
      cancel();
    }
  }

  async function openAfter(slot: Slot, after: Slot | null): Promise<Link> {
    if (after) await after.gone;
    slot.stop.signal.throwIfAborted();
    return deps.open(slot.terms, slot.stop.signal);
  }

  function enter(slot: Slot, bare: Link): void {
    slot.phase = "open";
    slot.bare = bare;
    slot.hello = bare.hello;
    slot.openedAtMs = slot.lastUsedMs = slot.leasedAtMs = clock.now();
    slot.link = createCountedLink(bare, slot, {
      now: () => clock.now(),
      onFailure(error) {
        if (isSessionLost(error)) lose(slot, "the server has forgotten the session");
        else deps.onTrouble(error);
      },
      onAnswer: () => checkRenewal(slot),
      close: () => end(slot),
    });
    void bare.closed.then((channelEnd) => died(slot, channelEnd));
    deps.onOpened(slot, slot.link);
    armSweep();
  }

  function checkRenewal(slot: Slot): void {
    if (slot.bare === null || slot.bare.hello === slot.hello) return;
    slot.hello = slot.bare.hello;
    deps.onRenewed(slot);
  }

  function died(slot: Slot, channelEnd: ChannelEnd): void {
    if (slot.phase !== "open") return;
    // Also a process that is gone may have left something: a container, a pipe.
    void end(slot);
    deps.onDied(slot, channelEnd);
  }

  function lose(slot: Slot, reason: string): void {
    died(slot, { reason, expected: false });
  }

  function end(slot: Slot): Promise<void> {
    if (slot.phase === "closing") return slot.gone;
    const wasOpen = slot.phase === "open";
    slot.phase = "closing";
    places.takeAway(slot);
    if (wasOpen) void requireBare(slot).close().then(slot.free, slot.free);
    else slot.stop.abort(ended(deps.server));
    return slot.gone;
  }

  async function hand(slot: Slot, conversation: Conversation): Promise<Link> {
    const now = clock.now();
    slot.pending = now - slot.leasedAtMs >= HANDED_OUT_MS ? 1 : slot.pending + 1;
    slot.leasedAtMs = now;
    const link = slot.phase === "open" ? requireLink(slot) : await slot.ready;
    // Meanwhile it may have ended, or gone back to the gateway and from there to somebody else.
    if (slot.owner?.key !== conversation.key || slot.phase !== "open") throw ended(deps.server);
    return link;
  }

  function adoptOwn(conversation: Conversation): Slot | null {
    const own = places.own();
    if (own === null || !deps.suits(own, conversation)) return null;
    const leaving = places.leavingInShareOf(conversation.principalUid);
    if (leaving) void end(leaving);
    places.give(own, conversation);
    return own;
  }

  function armSweep(): void {
    if (cancelSweep !== null || closed) return;
    let dueMs = Infinity;
    for (const slot of slots) {
      const idleMs = deps.idleMs(slot);
      if (slot.phase === "open" && idleMs > 0) dueMs = Math.min(dueMs, expiresAt(slot, idleMs));
    }
    if (dueMs === Infinity) return;
    cancelSweep = schedule.after(Math.max(1, dueMs - clock.now()), () => {
      cancelSweep = null;
      for (const slot of slots) {
        const idleMs = deps.idleMs(slot);
        if (places.isIdle(slot) && idleMs > 0 && expiresAt(slot, idleMs) <= clock.now()) void end(slot);
      }
      armSweep();
    });
  }

  const expiresAt = (slot: Slot, idleMs: number) =>
    (slot.calls > 0 || slot.watches > 0 ? clock.now() : Math.max(slot.lastUsedMs, slot.leasedAtMs)) + idleMs;

  return {
    held(conversation) {
      const slot = places.of(conversation.key);
      if (!slot) return null;
      if (slot.owner?.principalUid !== conversation.principalUid)
        return Promise.reject(new GatewayError("internal", { detail: "one conversation key of two principals" }));
      return hand(slot, conversation);
    },
    async open(conversation) {
      if (closed) throw new GatewayError("gateway.draining");
      const adopted = adoptOwn(conversation);
      return hand(adopted ?? begin(conversation, conversation, makeRoom(conversation.principalUid)), conversation);
    },
    async release(conversationKey) {
      const slot = places.of(conversationKey);
      if (!slot) return;
      // The gateway asked for this link first and still wants to know how it ends.
      if (slot.phase === "opening" && slot.own && places.own() === null) return places.keep(slot);
      await end(slot);
    },
    openOwn(terms) {
      if (closed) return null;
      const own = places.own();
      if (own) return own.ready;
      try {
        return begin(terms, null, makeRoom(null)).ready;
      } catch {
        return null;
      }
    },
    own: places.own,
    slots: () => slots,
    end,
    checkRenewal,
    lose,
    async close(graceMs) {
      closed = true;
      cancelSweep?.();
      const deadline = clock.now() + graceMs;
      const all = [...slots];
      await Promise.all(
        all.map(async (slot) => {
          if (slot.calls > 0) await settledWithin(schedule, graceMs / 2, untilUnused(slot));
          await settledWithin(schedule, Math.max(0, deadline - clock.now()), end(slot));
        }),
      );
    },
  };
}

function untilUnused(slot: Slot): Promise<void> {
  return new Promise((resolve) => {
    slot.onUnused = resolve;
  });
}

function rejectedBy(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(toError(signal.reason)), { once: true });
  });
}

function requireLink(slot: Slot): Link {
  if (slot.link === null) throw new GatewayError("internal", { detail: "a link is used before it is open" });
  return slot.link;
}

function requireBare(slot: Slot): Link {
  if (slot.bare === null) throw new GatewayError("internal", { detail: "a link is closed before it is open" });
  return slot.bare;
}

function ended(server: string): GatewayError {
  return new GatewayError("upstream.unavailable", {
    message: `the conversation with the MCP server ${server} ended before it was open; send the request again`,
  });
}

const toError = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)));

function toUpstreamError(thrown: unknown, server: string): GatewayError {
  if (thrown instanceof GatewayError) return thrown;
  return new GatewayError("upstream.start_failed", { detail: `${server} could not be opened`, cause: thrown });
}
