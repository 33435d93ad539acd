import { Redis } from "ioredis";
import type { Logger } from "../core/log.ts";

const CONNECT_DEADLINE_MS = 5_000;

/**
 * Opens a connection that fails fast and repairs itself: a command without a live connection rejects at once, one
 * that a broken connection left unanswered is never sent again (it may have run), a connection that stays silent
 * is replaced. The URL (`redis://`, `rediss://`, or the path of a socket) may hold a password and is never logged.
 *
 * @param role shown to the server's operator in CLIENT LIST
 * @throws Error naming `redis_url` when the server does not answer at the start
 */
export async function openRedis(url: string, role: string, log: Pick<Logger, "warn" | "info">): Promise<Redis> {
  const redis = new Redis(url, {
    lazyConnect: true,
    connectionName: `bifrost-${role}`,
    connectTimeout: 2_000,
    socketTimeout: 2_000,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    // At most half a second, and not all instances at the same moment.
    retryStrategy: (attempts) => Math.min(500, 20 * 2 ** Math.min(attempts, 5)) * (0.5 + Math.random() / 2),
  });
  let up = false;
  let lastError: Error | null = null;
  redis.on("error", (error: Error) => (lastError = error));
  redis.on("ready", () => {
    if (!up) log.info({ event: "redis.connected", role }, "connected to Redis");
    up = true;
  });
  redis.on("close", () => {
    if (up) log.warn({ event: "redis.disconnected", role, reason: lastError?.message }, "lost the connection to Redis");
    up = false;
  });
  try {
    await connectInTime(redis);
  } catch (cause) {
    redis.disconnect();
    throw new Error(
      "redis_url: the Redis server does not answer. Check the address, the password and that it runs, or leave redis_url out to run a single instance.",
      { cause: lastError ?? cause },
    );
  }
  return redis;
}

async function connectInTime(redis: Redis): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${CONNECT_DEADLINE_MS} ms`)), CONNECT_DEADLINE_MS);
  });
  try {
    await Promise.race([redis.connect(), late]);
  } finally {
    clearTimeout(timer);
  }
}
