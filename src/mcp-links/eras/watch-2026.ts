import { steadyClock } from "../../core/clock.ts";
import { RPC } from "../../jsonrpc/codes.ts";
import { elements, type JsonText, memberText, stringValue } from "../../jsonrpc/json-slice.ts";
import { errorReply, type Reply } from "../../jsonrpc/message.ts";
import type { ExchangeEvents, ServerNotification, Watch, WatchFilter } from "../types.ts";
import { isChange, isEmpty, isWanted, MAX_WATCHED_URIS, missedChanges, NOTHING } from "./changes.ts";
import { withoutSubscriptionId } from "./envelope.ts";

/** Watches of one link: each is a stream, and over HTTP a connection. One more is granted nothing. */
const MAX_WATCHES = 200;

/** After so many tries in a row, who waits for an answer is told that nothing is granted. The tries go on. */
const TRIES_UNANSWERED = 3;

/** A stream that lived shorter counts as failed: a server that takes and drops streams is not asked again at once. */
const HEALTHY_MS = 10_000;

/** Time for a server to say what it agrees to. A stream that stays silent is given up. */
const ACKNOWLEDGED_MS = 30_000;

/** The server will never accept this; asking again is of no use. */
const FINAL = [RPC.methodNotFound, RPC.invalidParams].map(String);

interface StreamDeps {
  /** Sends `subscriptions/listen`. Resolves or rejects when the stream has ended. */
  readonly listen: (id: number, params: JsonText, signal: AbortSignal, events: ExchangeEvents) => Promise<Reply>;
  readonly nextId: () => number;
  /** Told of what arrived on a stream and is no change. */
  readonly onStray: (notification: ServerNotification) => void;
  readonly pauseMs: (failures: number) => number;
}

/** The watches of a link to a 2026 server: one `subscriptions/listen` each (2026-07-28, Subscriptions). */
export interface StatelessWatches {
  watch(filter: WatchFilter, onNotification: (notification: ServerNotification) => void): Watch;
  /** A change that arrived outside of any stream. */
  tell(notification: ServerNotification): void;
  /** The server ended the stream of this request id. */
  ended(id: string): void;
  /** Ends all, for good. */
  clear(): void;
}

interface Stream {
  readonly id: number;
  /** What the server agreed to; null where the stream ended without. */
  readonly acknowledged: Promise<WatchFilter | null>;
  /** How it ended: `final` where a new one would end the same way. */
  readonly ended: Promise<"final" | "failed" | "healthy">;
  close(): void;
}

export function createStatelessWatches(deps: StreamDeps): StatelessWatches {
  const watches = new Set<RunningWatch>();
  return {
    watch(filter, onNotification) {
      const full = watches.size >= MAX_WATCHES;
      const running: RunningWatch = createWatch(full ? NOTHING : filter, onNotification, deps, () => {
        watches.delete(running);
      });
      if (!full) watches.add(running);
      return full ? { ...running.watch, change: () => Promise.resolve() } : running.watch;
    },
    tell(notification) {
      for (const { tell } of watches) tell(notification);
    },
    ended(id) {
      for (const { ended } of watches) ended(id);
    },
    clear() {
      for (const { watch } of watches) watch.close();
    },
  };
}

interface RunningWatch {
  readonly watch: Watch;
  tell(notification: ServerNotification): void;
  ended(id: string): void;
}

function createWatch(
  filter: WatchFilter,
  onNotification: (notification: ServerNotification) => void,
  deps: StreamDeps,
  onClosed: () => void,
): RunningWatch {
  let wanted = limited(filter);
  let stream: Stream | null = null;
  let timer: NodeJS.Timeout | undefined;
  let failures = 0;
  let closed = false;
  let grant: (granted: WatchFilter) => void;
  const granted = new Promise<WatchFilter>((resolve) => (grant = resolve));
  let step: Promise<unknown> = granted;

  function tell(notification: ServerNotification): void {
    if (!closed && isWanted(wanted, notification)) onNotification(notification);
  }

  /** Opens a stream for what is wanted now, in place of the present one. */
  function connect(isRepeat: boolean): Stream | null {
    clearTimeout(timer);
    if (closed || isEmpty(wanted)) {
      grant(NOTHING);
      stream = null;
      return null;
    }
    const opened = openStream(wanted, deps, tell);
    stream = opened;
    void opened.acknowledged.then((agreed) => {
      if (agreed === null) return;
      grant(agreed);
      // Nobody listened between the two streams.
      if (isRepeat && stream === opened) for (const change of missedChanges(agreed)) tell(change);
    });
    void opened.ended.then((how) => {
      if (closed || stream !== opened) return;
      stream = null;
      if (how === "final") return grant(NOTHING);
      failures = how === "healthy" ? 0 : failures + 1;
      if (failures >= TRIES_UNANSWERED) grant(NOTHING);
      timer = setTimeout(connect, deps.pauseMs(failures), true);
      timer.unref();
    });
    return opened;
  }

  async function change(filter: WatchFilter): Promise<void> {
    const next = limited(filter);
    if (closed || sameFilter(next, wanted)) return;
    wanted = next;
    const old = stream;
    const opened = connect(false);
    // The old one is kept until then, so that nothing is missed.
    await opened?.acknowledged;
    old?.close();
  }

  connect(false);
  return {
    tell,
    ended(id) {
      if (stream !== null && String(stream.id) === id) stream.close();
    },
    watch: {
      granted,
      async change(next) {
        await (step = step.then(() => change(next)));
      },
      close() {
        if (closed) return;
        closed = true;
        clearTimeout(timer);
        stream?.close();
        grant(NOTHING);
        onClosed();
      },
    },
  };
}

function openStream(
  filter: WatchFilter,
  deps: StreamDeps,
  onChange: (notification: ServerNotification) => void,
): Stream {
  const id = deps.nextId();
  const abort = new AbortController();
  let agreedAtMs: number | null = null;
  let acknowledge: (agreed: WatchFilter | null) => void;
  const acknowledged = new Promise<WatchFilter | null>((resolve) => (acknowledge = resolve));
  const limit = setTimeout(() => abort.abort(), ACKNOWLEDGED_MS);
  limit.unref();
  const events: ExchangeEvents = {
    onNotification(notification) {
      const { method, params } = notification;
      if (abort.signal.aborted) return;
      if (method === "notifications/subscriptions/acknowledged") {
        clearTimeout(limit);
        agreedAtMs ??= steadyClock.now();
        acknowledge(readFilter(params));
      } else if (isChange(method)) onChange({ method, params: withoutSubscriptionId(params) });
      else deps.onStray(notification);
    },
    onRequest: async () => errorReply(RPC.methodNotFound, "servers ask nothing in this revision"),
  };
  const params = `{"notifications":${filterText(filter)}}`;
  const ended = deps.listen(id, params, abort.signal, events).then(
    (reply) => ("error" in reply && FINAL.includes(memberText(reply.error, "code") ?? "") ? "final" : lived()),
    () => lived(),
  );
  function lived(): "failed" | "healthy" {
    return agreedAtMs !== null && steadyClock.now() - agreedAtMs >= HEALTHY_MS ? "healthy" : "failed";
  }
  void ended.then(() => {
    clearTimeout(limit);
    acknowledge(null);
  });
  return { id, acknowledged, ended, close: () => abort.abort() };
}

function limited(filter: WatchFilter): WatchFilter {
  return { ...filter, resourceUris: [...new Set(filter.resourceUris)].slice(0, MAX_WATCHED_URIS) };
}

function sameFilter(one: WatchFilter, other: WatchFilter): boolean {
  return filterText(one) === filterText(other);
}

function filterText({ tools, prompts, resources, resourceUris }: WatchFilter): JsonText {
  return JSON.stringify({
    ...(tools && { toolsListChanged: true }),
    ...(prompts && { promptsListChanged: true }),
    ...(resources && { resourcesListChanged: true }),
    ...(resourceUris.length > 0 && { resourceSubscriptions: resourceUris }),
  });
}

function readFilter(params: JsonText | undefined): WatchFilter {
  const agreed = (params !== undefined && memberText(params, "notifications")) || "{}";
  const uris = memberText(agreed, "resourceSubscriptions") ?? "[]";
  return {
    tools: memberText(agreed, "toolsListChanged") === "true",
    prompts: memberText(agreed, "promptsListChanged") === "true",
    resources: memberText(agreed, "resourcesListChanged") === "true",
    resourceUris: elements(uris)
      .slice(0, MAX_WATCHED_URIS)
      .map(({ start, end }) => stringValue(uris.slice(start, end)))
      .filter((uri) => uri !== undefined),
  };
}
