import type { ChangeBus } from "../core/changes.ts";
import { GatewayError } from "../core/errors.ts";

/** Requests in flight, by key and org, so that a revocation can end them. */
export interface OpenRequests {
  /** Returns what removes the entry. */
  add(keyUid: string, orgUid: string, abort: (reason: GatewayError) => void): () => void;
  readonly size: number;
  abortAll(reason: GatewayError): void;
}

interface Entry {
  readonly orgUid: string;
  readonly abort: (reason: GatewayError) => void;
}

/**
 * Ends a key's open requests and streams as soon as its revocation is known here.
 *
 * @param revokedAmong asked about all open keys when changes may have been missed; where it fails, the next such
 *   notice asks again
 */
export function createOpenRequests(
  changes: ChangeBus,
  revokedAmong: (keyUids: readonly string[]) => Promise<readonly string[]>,
): OpenRequests {
  const byKey = new Map<string, Set<Entry>>();
  let size = 0;

  const abort = (entries: Iterable<Entry>, reason: GatewayError) => {
    // A copy: aborting removes the entry.
    for (const entry of [...entries]) entry.abort(reason);
  };
  let asking: Promise<void> | null = null;
  let askAgain = false;
  const endRevoked = async () => {
    do {
      askAgain = false;
      const uids = [...byKey.keys()];
      if (uids.length === 0) break;
      for (const uid of await revokedAmong(uids)) abort(byKey.get(uid) ?? [], new GatewayError("key.revoked"));
    } while (askAgain);
  };
  changes.subscribe((change) => {
    if (change.kind === "all") {
      askAgain = true;
      asking ??= endRevoked()
        .catch(() => undefined)
        .finally(() => (asking = null));
    }
    if (change.kind === "key" && change.revoked) abort(byKey.get(change.uid) ?? [], new GatewayError("key.revoked"));
    if (change.kind === "org") {
      for (const entries of [...byKey.values()]) {
        abort(
          [...entries].filter((entry) => entry.orgUid === change.uid),
          new GatewayError("key.revoked"),
        );
      }
    }
  });

  return {
    add(keyUid, orgUid, abortRequest) {
      const entry: Entry = { orgUid, abort: abortRequest };
      let entries = byKey.get(keyUid);
      if (!entries) byKey.set(keyUid, (entries = new Set()));
      entries.add(entry);
      size += 1;
      const owner = entries;
      return () => {
        if (!owner.delete(entry)) return;
        size -= 1;
        if (owner.size === 0 && byKey.get(keyUid) === owner) byKey.delete(keyUid);
      };
    },
    get size() {
      return size;
    },
    abortAll(reason) {
      for (const entries of [...byKey.values()]) abort(entries, reason);
    },
  };
}
