import type { Principal } from "../access/principal.ts";
import type { ChangeBus } from "../core/changes.ts";
import type { Clock } from "../core/clock.ts";
import { GatewayError, toGatewayError } from "../core/errors.ts";
import { usable } from "./authenticate.ts";
import type { KeyCache, LiveKey } from "./key-cache.ts";
import type { OpenRequests } from "./open-requests.ts";

/** Who holds something open: {@link LiveKey} for virtual keys, null for every other principal. */
export interface Holder {
  readonly principal: Principal;
  readonly live: LiveKey | null;
}

/**
 * Calls `end` once, when the holder may no longer keep open what it has: its key was revoked, has expired or may do other
 * things than when it was opened; its user, account or organization was changed or removed. Not called after the returned function, which stops the watch and is to be called
 * when what is open ends by itself. `end` must not throw.
 */
export type WatchCaller = (holder: Holder, end: (reason: GatewayError) => void) => () => void;

/**
 * Whether what was opened with one reading of a key may go on with a later one: the same grants, scope and limits, and the same
 * secret, under which the gate knows it.
 */
export function haveSameRights(before: LiveKey | null, after: LiveKey | null): boolean {
  if (before === after) return true;
  return before !== null && after !== null && rightsOf(before) === rightsOf(after);
}

function rightsOf({ key, presentedHash }: LiveKey): string {
  const { uid, scope, grants, rateLimit, maxConcurrency, maxUses } = key;
  return JSON.stringify([uid, presentedHash, scope, grants, rateLimit, maxConcurrency, maxUses]);
}

/** What setTimeout can count. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * For sessions and streams of the MCP plane, which outlive the request that was authenticated. A revocation ends them at
 * once where it was taken, and on other instances when they hear of it; other rights of a key as soon as they were read. A
 * changed user or account has to open again, as whatever it is now. Costs one subscription for all watches, and a timer for
 * those of virtual keys.
 */
export function createCallerWatch(deps: {
  readonly clock: Clock;
  readonly changes: ChangeBus;
  readonly keys: Pick<KeyCache, "load">;
  readonly openRequests: Pick<OpenRequests, "add">;
}): WatchCaller {
  const byUid = new Map<string, Set<(reason: GatewayError) => void>>();
  const lookAgain = new Map<string, Set<() => Promise<void>>>();
  let passes: Promise<void> | null = null;
  /** Changes may have been missed. One pass at a time, one read at a time: these notices can come several times a second. */
  async function lookAtAll(): Promise<void> {
    for (const looks of [...lookAgain.values()]) for (const look of [...looks]) await look();
  }
  deps.changes.subscribe((change) => {
    if (change.kind === "all") passes ??= lookAtAll().finally(() => (passes = null));
    if (change.kind === "key" && !change.revoked)
      for (const look of [...(lookAgain.get(change.uid) ?? [])]) void look();
    if (change.kind !== "principal" && change.kind !== "org") return;
    // A copy: ending a watch removes it.
    for (const end of [...(byUid.get(change.uid) ?? [])]) end(new GatewayError("auth.required"));
  });

  /** Where the rights cannot be read, nothing ends: requests are authenticated anew anyway, and the next notice asks again. */
  function watchRights(live: LiveKey, end: (reason: GatewayError) => void): () => void {
    return addTo(lookAgain, live.key.uid, async () => {
      const current = await deps.keys.load(live.presentedHash).catch(() => live);
      if (!haveSameRights(live, current)) end(new GatewayError("auth.required"));
    });
  }

  return (holder, end) => {
    let stops: (() => void)[] = [];
    const stop = () => {
      for (const each of stops) each();
      stops = [];
    };
    const endOnce = (reason: GatewayError) => {
      if (stops.length === 0) return;
      stop();
      end(reason);
    };
    const { principal, live } = holder;
    stops =
      live === null
        ? [addTo(byUid, principal.uid, endOnce), addTo(byUid, principal.orgUid, endOnce)]
        : [
            deps.openRequests.add(live.key.uid, live.key.orgUid, endOnce),
            watchRights(live, endOnce),
            watchExpiry(live, deps, endOnce),
          ];
    return stop;
  };
}

/** Returns what removes it again, and the whole set with the last of its uid. */
function addTo<T>(byUid: Map<string, Set<T>>, uid: string, item: T): () => void {
  let items = byUid.get(uid);
  if (!items) byUid.set(uid, (items = new Set()));
  const owner = items.add(item);
  return () => {
    if (owner.delete(item) && owner.size === 0 && byUid.get(uid) === owner) byUid.delete(uid);
  };
}

/** The key may have got more time meanwhile, or less: whoever changes it lets the cache forget it, so it is looked up again. */
function watchExpiry(
  first: LiveKey,
  { clock, keys }: { readonly clock: Clock; readonly keys: Pick<KeyCache, "load"> },
  end: (reason: GatewayError) => void,
): () => void {
  let timer: NodeJS.Timeout;
  let stopped = false;
  const arm = (live: LiveKey) => {
    const inMs = Math.min(live.key.expiresAtMs, live.secretExpiresAtMs) - clock.now();
    timer = setTimeout(() => void check(), Math.min(Math.max(inMs, 0), MAX_TIMER_MS)).unref();
  };
  async function check(): Promise<void> {
    try {
      const live = await keys.load(first.presentedHash);
      if (stopped) return;
      if (!live) throw new GatewayError("key.revoked");
      arm(usable(live, clock.now()));
    } catch (failure) {
      // Whatever failed: it was to end about now, and nobody can say that it may go on.
      if (!stopped) end(toGatewayError(failure));
    }
  }
  arm(first);
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
