import type { Clock } from "../core/clock.ts";
import { GatewayError } from "../core/errors.ts";
import type { ClientFacts, Era, Link, ServerHello } from "../mcp-links/types.ts";
import type { LinkUse } from "./counted-link.ts";
import type { Conversation } from "./types.ts";

/** What a link was, or is to be, opened with. */
export interface LinkTerms {
  readonly facts: ClientFacts;
  readonly headers: Readonly<Record<string, string>>;
  readonly era: Era;
}

/** A place in the pool: one link, from the first step of opening until nothing of it is left. */
export interface Slot extends LinkUse {
  /** Null: the gateway's own link, which the next conversation on equal terms takes over. */
  owner: Conversation | null;
  /** Opened by the gateway itself, whoever has it now. */
  readonly own: boolean;
  readonly terms: LinkTerms;
  phase: "opening" | "open" | "closing";
  leasedAtMs: number;
  openedAtMs: number;
  /** The link with its use counted; null until it is open. */
  link: Link | null;
  /** The link itself: for what is not use. */
  bare: Link | null;
  /** Of the session that was open when it was last looked at. */
  hello: ServerHello | null;
  ready: Promise<Link>;
  /** Resolves when nothing of it is left. */
  readonly gone: Promise<void>;
  readonly free: () => void;
  readonly stop: AbortController;
}

export interface PlacesDeps {
  readonly server: string;
  readonly clock: Clock;
  /** Links at a time, all callers together. */
  readonly capacity: number;
  /** Of those, links of one principal. */
  readonly share: number;
}

/** Who has which link of a server, and which one makes room. Decides; ends and opens nothing. */
export interface Places {
  /** All that are taken: opening, open, closing. */
  readonly slots: Set<Slot>;
  of(conversationKey: string): Slot | undefined;
  /** The gateway's own link where no conversation took it over. */
  own(): Slot | null;
  give(slot: Slot, conversation: Conversation): void;
  /** Makes it the gateway's own, whoever had it. */
  keep(slot: Slot): void;
  /** It is nobody's any more, but its place is taken until it is gone. */
  takeAway(slot: Slot): void;
  isIdle(slot: Slot): boolean;
  /**
   * The link that must leave before another one is opened for this principal, or for the gateway where it is null; null where
   * there is room. At its share a principal makes room itself; else first what is leaving anyway, then the gateway's own link, then the
   * one that was idle longest.
   *
   * @throws GatewayError `upstream.unavailable` where none of them is idle
   */
  leavingFor(principalUid: string | null): Slot | null;
  /** The same, where only the principal's share counts. */
  leavingInShareOf(principalUid: string): Slot | null;
}

/** A link that was just handed out is about to be used: not idle for this long, unless its use began and ended. */
export const HANDED_OUT_MS = 2_000;

export function createPlaces(deps: PlacesDeps): Places {
  const { clock } = deps;
  const slots = new Set<Slot>();
  const byKey = new Map<string, Slot>();
  const byPrincipal = new Map<string, Set<Slot>>();
  let own: Slot | null = null;

  function give(slot: Slot, conversation: Conversation): void {
    if (own === slot) own = null;
    slot.owner = conversation;
    byKey.set(conversation.key, slot);
    const theirs = byPrincipal.get(conversation.principalUid);
    if (theirs) theirs.add(slot);
    else byPrincipal.set(conversation.principalUid, new Set([slot]));
  }

  function takeAway(slot: Slot): void {
    if (own === slot) own = null;
    if (slot.owner === null) return;
    const { key, principalUid } = slot.owner;
    if (byKey.get(key) === slot) byKey.delete(key);
    const theirs = byPrincipal.get(principalUid);
    theirs?.delete(slot);
    if (theirs?.size === 0) byPrincipal.delete(principalUid);
  }

  const isIdle = (slot: Slot) =>
    slot.phase === "open" && slot.calls === 0 && (slot.pending === 0 || clock.now() - slot.leasedAtMs >= HANDED_OUT_MS);

  function longestIdle(candidates: Iterable<Slot>): Slot | null {
    let found: Slot | null = null;
    for (const slot of candidates) if (isIdle(slot) && (found === null || isBefore(slot, found))) found = slot;
    return found;
  }

  function noRoom(whose: "links" | "this caller's links"): never {
    throw new GatewayError("upstream.unavailable", {
      message: `every place for ${whose} to the MCP server ${deps.server} is busy; end a session or wait for a call to end`,
      detail: `${deps.server}: every place for ${whose} is busy, of ${deps.capacity} in all; raise max_processes`,
      headers: { "retry-after": "1" },
    });
  }

  function leavingInShareOf(principalUid: string): Slot | null {
    const theirs = byPrincipal.get(principalUid);
    if (theirs === undefined || theirs.size < deps.share) return null;
    return longestIdle(theirs) ?? noRoom("this caller's links");
  }

  return {
    slots,
    of: (conversationKey) => byKey.get(conversationKey),
    own: () => own,
    give,
    keep(slot) {
      takeAway(slot);
      slot.owner = null;
      own = slot;
    },
    takeAway,
    isIdle,
    leavingFor(principalUid) {
      const theirs = principalUid === null ? null : leavingInShareOf(principalUid);
      if (theirs) return theirs;
      if (slots.size < deps.capacity) return null;
      for (const slot of slots) if (slot.phase === "closing") return slot;
      // The gateway's own link displaces nobody.
      if (principalUid === null) return noRoom("links");
      return (own && isIdle(own) ? own : longestIdle(slots)) ?? noRoom("links");
    },
    leavingInShareOf,
  };
}

/** Whether `a` makes room before `b`: who hears changes over its link keeps it longer. */
function isBefore(a: Slot, b: Slot): boolean {
  if (a.watches > 0 !== b.watches > 0) return a.watches === 0;
  return a.lastUsedMs < b.lastUsedMs;
}
