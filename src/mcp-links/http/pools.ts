import { isIP } from "node:net";
import { type Dispatcher, Pool } from "undici";
import { isRefused } from "../../core/address-range.ts";
import { BoundedMap } from "../../core/bounded-map.ts";
import { GatewayError } from "../../core/errors.ts";
import { guardedLookup, type Resolve } from "../../core/guarded-lookup.ts";
import { allowedAddresses, hostOf } from "./address-policy.ts";

/** Connections to MCP servers and token endpoints: one pool per origin and connection policy, shared by all channels. */
export interface HttpPools {
  /** A function that gives the pool, cheap enough for every call. It throws GatewayError `upstream.address_refused`. */
  poolFor(url: URL, options: PoolOptions): () => Dispatcher;
  /** Cuts every connection. */
  close(): Promise<void>;
}

export interface PoolOptions {
  readonly connectTimeoutMs: number;
  readonly allowAddresses: readonly string[];
}

/** Servers come from the configuration and are far fewer; past this, the pool unused for longest is closed. */
const MAX_POOLS = 1_000;
/** Per origin: a session may hold one for its event stream. Requests beyond it wait. */
const MAX_CONNECTIONS = 4_096;
/** Below the five seconds after which many servers close an idle connection without saying so. */
const KEEP_ALIVE_MS = 4_000;
const MAX_HEADER_BYTES = 64 * 1024;

/** @param resolve replaced in tests, to answer as a hostile name server would */
export function createHttpPools(resolve?: Resolve): HttpPools {
  const pools = new BoundedMap<string, Pool>(MAX_POOLS);

  return {
    poolFor(url, { connectTimeoutMs, allowAddresses }) {
      const { origin } = url;
      const host = hostOf(url);
      const allowed = allowedAddresses(url, allowAddresses);
      const isBarred = isIP(host) !== 0 && isRefused(host, allowed);
      // Separate fields, not joined text: no two policies share a pool.
      const name = JSON.stringify([origin, connectTimeoutMs, allowed]);
      return () => {
        if (isBarred) throw refused(host);
        const known = pools.peek(name);
        if (known) return known;
        const lookup = guardedLookup(allowed, refused, resolve);
        const pool = new Pool(origin, {
          connections: MAX_CONNECTIONS,
          pipelining: 1,
          keepAliveTimeout: KEEP_ALIVE_MS,
          maxHeaderSize: MAX_HEADER_BYTES,
          allowH2: false,
          connect: { lookup: lookup as never, timeout: connectTimeoutMs },
        });
        const evicted = pools.set(name, pool);
        if (evicted) void evicted[1].close();
        return pool;
      };
    },
    async close() {
      await Promise.all([...pools.entries()].map(([, pool]) => pool.destroy()));
      pools.clear();
    },
  };
}

function refused(host: string): GatewayError {
  return new GatewayError("upstream.address_refused", {
    detail: `${host} is a private, loopback, link-local or metadata address that the server's allow_addresses does not name`,
  });
}
