import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";
import { z } from "zod";
import type { Change, ChangeBus } from "../core/changes.ts";
import type { Clock } from "../core/clock.ts";
import type { Logger } from "../core/log.ts";

/** Well under the second in which a revocation must hold everywhere: a loss is seen after STALE_MS plus one beat. */
const BEAT_MS = 200;
const STALE_MS = 600;
const FLUSH_MS = 400;
/** A subscription that is silent for this long is replaced, whatever its socket says. */
const DEAD_MS = 2_000;
const START_DEADLINE_MS = 5_000;

const uid = z.string().min(1).max(100);
const ChangeMessage = z.object({
  from: z.string(),
  change: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("key"), uid, revoked: z.boolean() }),
    z.object({ kind: z.enum(["service", "credential", "principal", "org"]), uid }),
    z.object({ kind: z.literal("all") }),
  ]),
});

export interface ChangeRelayOptions {
  readonly bus: ChangeBus;
  /** For publishing. May be shared with the limits. */
  readonly publisher: Redis;
  /** For the subscription, and for nothing else. */
  readonly subscriber: Redis;
  /** Core's `steadyClock`. */
  readonly clock: Clock;
  readonly log: Pick<Logger, "warn" | "info">;
  readonly prefix?: string;
}

export interface ChangeRelay {
  /** Whether changes of other instances arrive. While they do not, every cache is emptied several times a second. */
  isConnected(): boolean;
  close(): Promise<void>;
}

/**
 * Carries changes between the instances of one gateway over Redis.
 *
 * Each instance hears its own heartbeat on the connection that brings the others' changes; that, and not the
 * socket's state, is the proof that changes arrive. When the beat stops, all caches are emptied within a second and
 * again and again until it is back, and once more then, for what was missed. So a change elsewhere holds here
 * within a second whether Redis works or not; without it at the price of more database reads. A change that could
 * not be published is made up for by telling all others to empty their caches as soon as Redis is back.
 *
 * Fails the start when the first heartbeat does not arrive. Connections stay the caller's to close.
 */
export async function startChangeRelay(options: ChangeRelayOptions): Promise<ChangeRelay> {
  const { bus, publisher, subscriber, clock, log, prefix = "bifrost" } = options;
  const instance = randomUUID();
  const changes = `${prefix}:changes`;
  const beats = `${prefix}:beat:${instance}`;
  let heardAtMs = clock.now();
  let flushedAtMs = 0;
  let connected = false;
  let owesAll = false;
  let closed = false;
  let firstBeat: () => void = () => undefined;
  const first = new Promise<void>((resolve) => (firstBeat = resolve));

  function flush(): void {
    flushedAtMs = clock.now();
    bus.receive({ kind: "all" });
  }

  function lose(reason: string): void {
    if (!connected || closed) return;
    connected = false;
    log.warn({ event: "relay.down", reason }, "changes of other instances do not arrive: caches are bypassed");
    flush();
  }

  function heard(): void {
    heardAtMs = clock.now();
    if (connected || closed) return;
    connected = true;
    log.info({ event: "relay.up" }, "changes of other instances arrive");
    flush();
    firstBeat();
  }

  async function send(change: Change): Promise<void> {
    try {
      await publisher.publish(changes, JSON.stringify({ from: instance, change }));
    } catch {
      owesAll = true;
    }
  }

  function receive(channel: string, text: string): void {
    if (channel === beats) heard();
    if (channel !== changes || closed) return;
    const parsed = ChangeMessage.safeParse(safeJson(text));
    // Another release may say what this one does not know: forgetting everything is always right.
    if (!parsed.success) flush();
    else if (parsed.data.from !== instance) bus.receive(parsed.data.change);
  }

  function beat(): void {
    const silentMs = clock.now() - heardAtMs;
    if (silentMs > STALE_MS) lose("no heartbeat");
    if (!connected && clock.now() - flushedAtMs >= FLUSH_MS) flush();
    if (silentMs > DEAD_MS && subscriber.status === "ready") {
      heardAtMs = clock.now();
      subscriber.disconnect(true);
    }
    publisher.publish(beats, "").catch(() => undefined);
    if (owesAll && publisher.status === "ready") {
      owesAll = false;
      void send({ kind: "all" });
    }
  }

  const onClose = () => lose("connection closed");
  subscriber.on("message", receive);
  subscriber.on("close", onClose);
  bus.onPublished((change) => {
    if (!closed) void send(change);
  });
  const timer = setInterval(beat, BEAT_MS);
  timer.unref();

  async function close(): Promise<void> {
    closed = true;
    clearInterval(timer);
    subscriber.off("message", receive);
    subscriber.off("close", onClose);
    await subscriber.unsubscribe(changes, beats).catch(() => undefined);
  }

  try {
    await subscriber.subscribe(changes, beats);
    beat();
    await inTime(first);
  } catch (cause) {
    await close();
    throw new Error(
      "redis_url: the Redis server does not deliver messages. Check that it allows PUBLISH and SUBSCRIBE.",
      {
        cause,
      },
    );
  }
  return { isConnected: () => connected, close };
}

async function inTime(work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error("no heartbeat")), START_DEADLINE_MS);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function safeJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
