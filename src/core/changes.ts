/** Something that caches must forget. `org` means everything of that org. */
export type Change =
  | { readonly kind: "key"; readonly uid: string; readonly revoked: boolean }
  | { readonly kind: "service"; readonly uid: string }
  | { readonly kind: "credential"; readonly uid: string }
  | { readonly kind: "principal"; readonly uid: string }
  | { readonly kind: "org"; readonly uid: string }
  | { readonly kind: "all" };

/**
 * Tells every cache in this process, and through a {@link ChangeRelay} in the others, what is stale.
 * Listeners run before `publish` returns, so a revocation holds on this instance at once.
 */
export interface ChangeBus {
  publish(change: Change): void;
  subscribe(listener: (change: Change) => void): () => void;
  /** Called for each change that this instance published, to carry it to the others. */
  onPublished(relay: (change: Change) => void): void;
  /** A change that came from another instance: listeners hear it, the relay does not. */
  receive(change: Change): void;
}

export function createChangeBus(): ChangeBus {
  const listeners = new Set<(change: Change) => void>();
  const relays: ((change: Change) => void)[] = [];
  const receive = (change: Change) => {
    for (const listener of listeners) listener(change);
  };
  return {
    publish(change) {
      receive(change);
      for (const relay of relays) relay(change);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    onPublished(relay) {
      relays.push(relay);
    },
    receive,
  };
}
