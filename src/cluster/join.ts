import type { ChangeBus } from "../core/changes.ts";
import type { Clock } from "../core/clock.ts";
import type { Logger } from "../core/log.ts";
import { createRedisLimits, type RedisLimitsOptions } from "../limits/redis-limits.ts";
import type { Limits } from "../limits/types.ts";
import { startChangeRelay } from "./change-relay.ts";
import { openRedis } from "./redis-connection.ts";

/** What an instance shares with the others of its gateway. */
export interface Cluster {
  readonly limits: Limits;
  /** Whether changes of other instances arrive, see change-relay.ts. */
  isConnected(): boolean;
  close(): Promise<void>;
}

export interface ClusterOptions extends Pick<RedisLimitsOptions, "whenDown" | "deadlineMs"> {
  readonly redisUrl: string;
  readonly changes: ChangeBus;
  readonly log: Logger;
  /** Core's `steadyClock`. */
  readonly clock: Clock;
}

/**
 * Joins the instances that share this Redis: limits are counted together, changes reach all.
 *
 * @throws Error naming `redis_url` when Redis does not answer at the start
 */
export async function joinCluster(options: ClusterOptions): Promise<Cluster> {
  const { redisUrl, changes, log, clock, whenDown, deadlineMs } = options;
  const redis = await openRedis(redisUrl, "main", log);
  try {
    // A connection in subscribe mode can do nothing else.
    const subscriber = await openRedis(redisUrl, "subscriber", log);
    try {
      const relay = await startChangeRelay({ bus: changes, publisher: redis, subscriber, clock, log });
      const limits = createRedisLimits({ redis, clock, log, whenDown, deadlineMs });
      return {
        limits,
        isConnected: () => relay.isConnected(),
        async close() {
          await limits.close();
          await relay.close();
          subscriber.disconnect();
          // Lets what is still on its way out, as places given back, reach the server.
          await redis.quit().catch(() => redis.disconnect());
        },
      };
    } catch (error) {
      subscriber.disconnect();
      throw error;
    }
  } catch (error) {
    redis.disconnect();
    throw error;
  }
}
