import { BoundedMap } from "../core/bounded-map.ts";
import type { ChangeBus } from "../core/changes.ts";
import { compilePatterns } from "../core/path-pattern.ts";
import type { Grant, VirtualKey } from "../keys/model.ts";

/** A grant of a service, ready to be tested against requests. */
export interface ServiceGrant {
  readonly serviceUid: string;
  readonly serviceId: string;
  allowsMethod(method: string): boolean;
  allowsPath(path: string): boolean;
}

/** A key as the hot path wants it: everything compiled, nothing looked up. */
export interface LiveKey {
  readonly key: VirtualKey;
  /** The service that `/v1/proxy` reaches, or null when the key has none or several. */
  readonly target: ServiceGrant | null;
  readonly services: ReadonlyMap<string, ServiceGrant>;
  /** The hash that found it: of the current secret, or of the one before the last rotation. */
  readonly presentedHash: string;
  /** What authentication also checks: a rotated-out secret ends earlier than its key. */
  readonly secretExpiresAtMs: number;
}

/**
 * Keys seen recently, by secret hash. Bounded, and forgotten by change: on one instance an entry is never
 * stale; with several, for as long as the change takes to arrive (cluster/relay.ts: under a second).
 */
export interface KeyCache {
  /** No promise and no I/O: the hot path. */
  peek(secretHash: string): LiveKey | undefined;
  /** Loads on a miss; parallel loads of one key share one read. Null for an unknown secret. */
  load(secretHash: string): Promise<LiveKey | null>;
  /** Whether {@link load} would join a read that is under way, and so cost nothing. */
  isLoading(secretHash: string): boolean;
}

/** Keys held at once; the least recently loaded one is forgotten first. */
export const MAX_KEYS = 100_000;

export function createKeyCache(deps: {
  readonly changes: ChangeBus;
  findBySecretHash(secretHash: string): Promise<VirtualKey | null>;
}): KeyCache {
  const byHash = new BoundedMap<string, LiveKey>(MAX_KEYS);
  const hashesByUid = new Map<string, Set<string>>();
  const loading = new Map<string, Promise<LiveKey | null>>();
  // Counts changes, so that a read which began before one is not cached after it.
  let epoch = 0;

  const forget = (uid: string) => {
    for (const hash of hashesByUid.get(uid) ?? []) byHash.delete(hash);
    hashesByUid.delete(uid);
  };
  const forgetAll = () => {
    byHash.clear();
    hashesByUid.clear();
  };
  deps.changes.subscribe((change) => {
    epoch += 1;
    if (change.kind === "key") forget(change.uid);
    else if (change.kind === "all" || change.kind === "org") forgetAll();
  });

  const unindex = (live: LiveKey) => {
    const hashes = hashesByUid.get(live.key.uid);
    hashes?.delete(live.presentedHash);
    if (hashes?.size === 0) hashesByUid.delete(live.key.uid);
  };
  const remember = (live: LiveKey) => {
    const evicted = byHash.set(live.presentedHash, live);
    if (evicted) unindex(evicted[1]);
    const hashes = hashesByUid.get(live.key.uid) ?? new Set();
    hashesByUid.set(live.key.uid, hashes.add(live.presentedHash));
  };

  async function read(secretHash: string): Promise<LiveKey | null> {
    const epochBefore = epoch;
    const key = await deps.findBySecretHash(secretHash);
    if (!key) return null;
    const live = toLiveKey(key, secretHash);
    // A change that arrived meanwhile may be about this key: serve this read, but do not keep it …
    if (epoch === epochBefore) remember(live);
    // … and if it may have been its revocation, read again rather than trust it.
    else return read(secretHash);
    return live;
  }

  return {
    peek: (secretHash) => byHash.peek(secretHash),
    load(secretHash) {
      const running = loading.get(secretHash);
      if (running) return running;
      const started = read(secretHash).finally(() => loading.delete(secretHash));
      loading.set(secretHash, started);
      return started;
    },
    isLoading: (secretHash) => loading.has(secretHash),
  };
}

function toLiveKey(key: VirtualKey, presentedHash: string): LiveKey {
  const services = new Map<string, ServiceGrant>();
  for (const grant of key.grants) {
    if (grant.kind === "service") services.set(grant.serviceId, toServiceGrant(grant));
  }
  const [only] = services.values();
  return {
    key,
    target: services.size === 1 && only ? only : null,
    services,
    presentedHash,
    secretExpiresAtMs:
      presentedHash === key.previousSecretHash
        ? Math.min(key.previousExpiresAtMs ?? 0, key.expiresAtMs)
        : key.expiresAtMs,
  };
}

function toServiceGrant(grant: Extract<Grant, { kind: "service" }>): ServiceGrant {
  const methods = grant.methods === null ? null : new Set(grant.methods);
  return {
    serviceUid: grant.serviceUid,
    serviceId: grant.serviceId,
    allowsMethod: (method) => methods === null || methods.has(method),
    allowsPath: compilePatterns(grant.paths),
  };
}
