import { isIP } from "node:net";
import { type Dispatcher, Pool } from "undici";
import { isRefused } from "../core/address-range.ts";
import { BoundedMap } from "../core/bounded-map.ts";
import { GatewayError } from "../core/errors.ts";
import { guardedLookup, type Lookup, type Resolve } from "../core/guarded-lookup.ts";
import type { LiveService } from "../gate/catalog.ts";

/** Connections to upstreams, pooled per origin and connection policy. */
export interface Upstreams {
  /** @throws GatewayError `upstream.address_refused` for an origin that is a refused address itself */
  poolFor(target: LiveService): Dispatcher;
  /** Resolves a name to addresses that the service may connect to: for connections made outside the pools. */
  lookupFor(target: LiveService): Lookup;
  close(): Promise<void>;
}

/** Origins in use are far fewer; past this, the pool unused for longest is closed. */
const MAX_POOLS = 1_000;
/** Per origin. Requests beyond it wait for a connection. */
const MAX_CONNECTIONS = 2_048;
/** Below the five seconds after which many servers close an idle connection without saying so. A server's own `Keep-Alive: timeout` wins. */
const KEEP_ALIVE_MS = 4_000;
/** What an upstream's response header may weigh. */
const MAX_HEADER_BYTES = 64 * 1024;

/** @param resolve replaced in tests, to answer as a hostile name server would */
export function createUpstreams(resolve?: Resolve): Upstreams {
  const pools = new BoundedMap<string, Pool>(MAX_POOLS);
  const poolOf = new WeakMap<LiveService, Pool>();

  return {
    poolFor(target) {
      const known = poolOf.get(target);
      if (known) return known;
      const { origin, settings } = target.service;
      const { hostname } = new URL(origin);
      const literal = hostname.replace(/^\[|\]$/g, "");
      if (isIP(literal) !== 0 && isRefused(literal, settings.allowAddresses)) throw refused(target, literal);
      // Separate fields, not joined text: no two policies share a pool.
      const name = JSON.stringify([origin, settings.http2, settings.timeouts.connectMs, settings.allowAddresses]);
      const pool = pools.get(name) ?? openPool(target, lookupFor(target, resolve));
      const evicted = pools.set(name, pool);
      if (evicted) void evicted[1].close();
      poolOf.set(target, pool);
      return pool;
    },
    lookupFor: (target) => lookupFor(target, resolve),
    async close() {
      await Promise.all([...pools.entries()].map(([, pool]) => pool.destroy()));
      pools.clear();
    },
  };
}

function openPool(target: LiveService, lookup: Lookup): Pool {
  const { origin, settings } = target.service;
  return new Pool(origin, {
    connections: MAX_CONNECTIONS,
    pipelining: 1,
    keepAliveTimeout: KEEP_ALIVE_MS,
    maxHeaderSize: MAX_HEADER_BYTES,
    allowH2: settings.http2 !== "off",
    ...(settings.http2 === "prior_knowledge" ? { useH2c: true } : {}),
    connect: { lookup: lookup as never, timeout: settings.timeouts.connectMs },
  });
}

function lookupFor(target: LiveService, resolve: Resolve | undefined): Lookup {
  return guardedLookup(target.service.settings.allowAddresses, (hostname) => refused(target, hostname), resolve);
}

function refused(target: LiveService, address: string): GatewayError {
  return new GatewayError("upstream.address_refused", {
    detail: `service ${target.service.id}: ${address} is a private, loopback, link-local or metadata address that allow_addresses does not name`,
  });
}
