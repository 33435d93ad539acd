import type { JsonText } from "../../jsonrpc/json-slice.ts";
import type { Reply } from "../../jsonrpc/message.ts";
import type { ServerNotification, Watch, WatchFilter } from "../types.ts";
import { isWanted, missedChanges, NOTHING, supported } from "./changes.ts";

/** Watches of one link; one more is granted nothing. */
const MAX_WATCHES = 1_000;

/** Requests to subscribe that one watch has open at a time. */
const PARALLEL = 8;

/**
 * The watches of a link to a 2025 server. Such a server tells of list changes unasked, and of resources once subscribed: one
 * subscription per URI, however many watches want it.
 */
export interface Watches {
  watch(filter: WatchFilter, onNotification: (notification: ServerNotification) => void): Watch;
  /** Passes a change on to whom it concerns. */
  tell(notification: ServerNotification): void;
  /** In a new session: subscribes again, and tells everybody that what they watch may have changed meanwhile. */
  restore(): Promise<void>;
  /** Forgets everything; the server is not told. */
  clear(): void;
}

interface WatchDeps {
  readonly capabilities: () => JsonText;
  readonly ask: (method: string, params: JsonText) => Promise<Reply>;
}

interface Watcher {
  filter: WatchFilter;
  readonly onNotification: (notification: ServerNotification) => void;
}

interface Subscription {
  users: number;
  active: boolean;
  /** The end of what is under way for this URI: subscribe and unsubscribe never overtake each other. */
  step: Promise<void>;
}

export function createWatches({ capabilities, ask }: WatchDeps): Watches {
  const watchers = new Set<Watcher>();
  const subscriptions = new Map<string, Subscription>();

  function settle(uri: string, subscription: Subscription): Promise<boolean> {
    subscription.step = subscription.step.then(async () => {
      const wanted = subscription.users > 0;
      if (wanted !== subscription.active) {
        const method = wanted ? "resources/subscribe" : "resources/unsubscribe";
        const reply = await ask(method, `{"uri":${JSON.stringify(uri)}}`).catch(() => null);
        subscription.active = wanted && reply !== null && "result" in reply;
      }
      if (subscription.users === 0 && !subscription.active) subscriptions.delete(uri);
    });
    return subscription.step.then(() => subscription.active);
  }

  function follow(uri: string): Promise<boolean> {
    let subscription = subscriptions.get(uri);
    if (!subscription) {
      subscription = { users: 0, active: false, step: Promise.resolve() };
      subscriptions.set(uri, subscription);
    }
    subscription.users++;
    return settle(uri, subscription);
  }

  function unfollow(uri: string): void {
    const subscription = subscriptions.get(uri);
    if (!subscription) return;
    subscription.users--;
    void settle(uri, subscription);
  }

  /** Those of the URIs that the server agreed to. */
  async function followAll(uris: readonly string[]): Promise<string[]> {
    const agreed: string[] = [];
    for (let at = 0; at < uris.length; at += PARALLEL) {
      const some = uris.slice(at, at + PARALLEL);
      const answers = await Promise.all(some.map((uri) => follow(uri)));
      some.forEach((uri, index) => (answers[index] ? agreed.push(uri) : unfollow(uri)));
    }
    return agreed;
  }

  async function apply(watcher: Watcher, wanted: WatchFilter): Promise<WatchFilter> {
    const before = watcher.filter.resourceUris;
    const possible = watchers.has(watcher) ? supported(wanted, capabilities()) : NOTHING;
    // Before the server answers: its first update may come together with its answer.
    watcher.filter = possible;
    const agreed = await followAll(possible.resourceUris.filter((uri) => !before.includes(uri)));
    for (const uri of before) if (!possible.resourceUris.includes(uri)) unfollow(uri);
    const kept = possible.resourceUris.filter((uri) => before.includes(uri) || agreed.includes(uri));
    watcher.filter = { ...possible, resourceUris: kept };
    return watcher.filter;
  }

  function watch(filter: WatchFilter, onNotification: Watcher["onNotification"]): Watch {
    const watcher: Watcher = { filter: NOTHING, onNotification };
    if (watchers.size < MAX_WATCHES) watchers.add(watcher);
    const granted = apply(watcher, filter);
    let last = granted;
    return {
      granted,
      async change(wanted) {
        await (last = last.then(() => apply(watcher, wanted)));
      },
      close() {
        if (!watchers.delete(watcher)) return;
        void last.then(() => apply(watcher, NOTHING));
      },
    };
  }

  function tell(notification: ServerNotification): void {
    for (const { filter, onNotification } of watchers) if (isWanted(filter, notification)) onNotification(notification);
  }

  return {
    watch,
    tell,
    async restore() {
      for (const [uri, subscription] of subscriptions) {
        subscription.active = false;
        await settle(uri, subscription);
      }
      for (const { filter, onNotification } of watchers) {
        for (const notification of missedChanges(filter)) onNotification(notification);
      }
    },
    clear() {
      watchers.clear();
      subscriptions.clear();
    },
  };
}
