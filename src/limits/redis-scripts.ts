import { createHash } from "node:crypto";
import type { Redis } from "ioredis";

/** A Lua script that returns whole numbers. */
export interface RedisScript {
  readonly lua: string;
  readonly sha: string;
}

function script(lua: string): RedisScript {
  return { lua, sha: createHash("sha1").update(lua).digest("hex") };
}

/** Runs a script in one round trip; the first time on a server, or after its restart, in two. */
export async function runScript(
  redis: Redis,
  { lua, sha }: RedisScript,
  keys: readonly string[],
  args: readonly (string | number)[],
): Promise<number[]> {
  let reply: unknown;
  try {
    reply = await redis.evalsha(sha, keys.length, ...keys, ...args);
  } catch (error) {
    // The server refused before running anything, so sending it again runs it once.
    if (!(error instanceof Error) || !error.message.startsWith("NOSCRIPT")) throw error;
    reply = await redis.eval(lua, keys.length, ...keys, ...args);
  }
  if (!Array.isArray(reply) || !reply.every((item) => typeof item === "number")) {
    throw new Error("unexpected reply of a limit script");
  }
  return reply;
}

/**
 * The window of sliding-window.ts: a hash of second → count, where the second at the far end counts whole.
 * Counts of a future second (the server's clock stepped back) move to now. Replies: admitted (1, 0 for rate,
 * -1 for concurrency), remaining, milliseconds until retry, until empty, and the second that was counted in.
 *
 * KEYS: rate hash, lease set. ARGV: rate limit, concurrency limit (-1 for none), lease id, lease milliseconds.
 */
export const TAKE = script(`
local time = redis.call('TIME')
local second = tonumber(time[1])
local now = second * 1000 + math.floor(tonumber(time[2]) / 1000)
local rate, max = tonumber(ARGV[1]), tonumber(ARGV[2])
local slots = redis.call('HGETALL', KEYS[1])
local count, newest, seconds, counts = 0, 0, {}, {}
for i = 1, #slots, 2 do
  local at, n = tonumber(slots[i]), tonumber(slots[i + 1])
  if at > second then
    redis.call('HDEL', KEYS[1], slots[i])
    redis.call('HINCRBY', KEYS[1], second, n)
    at = second
  end
  if at <= second - 61 then
    redis.call('HDEL', KEYS[1], slots[i])
  elseif n > 0 then
    count = count + n
    if at > newest then newest = at end
    seconds[#seconds + 1] = at
    counts[at] = (counts[at] or 0) + n
  end
end
local reset = 0
if count > 0 then reset = (newest + 61) * 1000 - now end
if count >= rate then
  local retry, left = 60000, count
  table.sort(seconds)
  for i = 1, #seconds do
    left = left - (counts[seconds[i]] or 0)
    counts[seconds[i]] = 0
    if left < rate then
      retry = (seconds[i] + 61) * 1000 - now
      break
    end
  end
  return {0, 0, retry, reset, 0}
end
if max >= 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
  if redis.call('ZCARD', KEYS[2]) >= max then
    return {-1, rate - count, 1000, reset, 0}
  end
  local lease = tonumber(ARGV[4])
  redis.call('ZADD', KEYS[2], now + lease, ARGV[3])
  redis.call('PEXPIRE', KEYS[2], lease)
end
redis.call('HINCRBY', KEYS[1], second, 1)
redis.call('PEXPIRE', KEYS[1], 62000)
return {1, rate - count - 1, 0, (second + 61) * 1000 - now, second}
`);

/** Ends a lease and, unless the second is 0, takes one event back. KEYS as above. ARGV: lease id, second. */
export const GIVE_BACK = script(`
redis.call('ZREM', KEYS[2], ARGV[1])
if ARGV[2] ~= '0' then
  local n = tonumber(redis.call('HGET', KEYS[1], ARGV[2]) or '0')
  if n > 0 then redis.call('HINCRBY', KEYS[1], ARGV[2], -1) end
end
return {1}
`);

/** Extends leases, also those that a pause let lapse: the requests still run. KEYS: lease set. ARGV: milliseconds, ids. */
export const RENEW = script(`
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], now + tonumber(ARGV[1]), ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return {1}
`);
