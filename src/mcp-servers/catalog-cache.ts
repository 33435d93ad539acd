import { BoundedMap } from "../core/bounded-map.ts";
import type { Clock } from "../core/clock.ts";
import { GatewayError } from "../core/errors.ts";
import { memberText } from "../jsonrpc/json-slice.ts";
import type { Link } from "../mcp-links/types.ts";
import type { LinkTerms } from "./places.ts";
import { changedParts, type LoadedCatalog, PARTS, readCatalog } from "./read-catalog.ts";
import type { Schedule } from "./schedule.ts";
import type { Catalog, CatalogPart } from "./types.ts";

export interface CatalogCacheDeps {
  readonly clock: Clock;
  readonly schedule: Schedule;
  readonly timeoutMs: number;
  /** The server is reached over HTTP: arguments go into headers, and what it does not announce is looked up by age. */
  readonly http: boolean;
  timedOut(): Error;
  /** A list turned out to be another one, and nobody was told so far. */
  onChange(part: CatalogPart): void;
  onFailure(error: unknown): void;
  onLoaded(catalog: LoadedCatalog): void;
}

/** Catalogs of one server, one per kind of client. Bounded in number and size. */
export interface CatalogCache {
  /**
   * The catalog under a key; read over the link that `obtain` gives where it is not known or no longer true. Calls for one
   * key at a time read once. What was known stays in use while the server cannot be read.
   */
  get(key: string, terms: LinkTerms, obtain: () => Promise<Link>): Promise<Catalog>;
  /** Reads again what is not known to be true. @param tellFirst tells of a first catalog too: clients may have listed none */
  refresh(key: string, terms: LinkTerms, link: Link, tellFirst: boolean): Promise<Catalog>;
  /** Whether lists were read under this key before. */
  knows(key: string): boolean;
  /** The server said that a list changed. */
  invalidate(part: CatalogPart): void;
  /** Gives up on what is being read. */
  stop(): void;
  /** The server may have become another one: everything is read again, and what differs is told. */
  doubt(): void;
}

interface Entry {
  catalog: LoadedCatalog | null;
  /** By part: of which generation the list is, and when it was read. */
  readonly seen: Record<CatalogPart, number>;
  readonly readAtMs: Record<CatalogPart, number>;
  loading: {
    readonly promise: Promise<Catalog>;
    readonly at: Readonly<Record<CatalogPart, number>>;
    /** One of those who wait for it wants a first catalog to be told. */
    tellFirst: boolean;
  } | null;
  retryAtMs: number;
}

const MAX_ENTRIES = 64;
const MAX_CHARS = 32 * 1024 * 1024;
/** A list of an HTTP server is looked up again after this time: a stateless one cannot tell that it changed. */
const MAX_AGE_MS = 300_000;
/** Shortest time that a list is used, however short the server's own hint is: each call looks into the catalog. */
const MIN_AGE_MS = 1_000;
const RETRY_MS = 5_000;

export function createCatalogCache(deps: CatalogCacheDeps): CatalogCache {
  const entries = new BoundedMap<string, Entry>(MAX_ENTRIES);
  const generation = { tools: 0, prompts: 0, resources: 0 };
  /** The generation that clients were told of. */
  const told = { tools: 0, prompts: 0, resources: 0 };
  const reading = new Set<AbortController>();
  let latest: LoadedCatalog | null = null;

  function entryOf(key: string): Entry {
    const known = entries.get(key);
    if (known) return known;
    const never = { tools: -1, prompts: -1, resources: -1 };
    const entry: Entry = { catalog: null, seen: never, readAtMs: { ...never }, loading: null, retryAtMs: 0 };
    entries.set(key, entry);
    return entry;
  }

  const untrue = (entry: Entry) => PARTS.filter((part) => entry.seen[part] !== generation[part]);

  function old(entry: Entry): CatalogPart[] {
    const { catalog } = entry;
    if (!deps.http || !catalog) return [];
    const now = deps.clock.now();
    return PARTS.filter((part) => now - entry.readAtMs[part] >= maxAgeMs(catalog, part));
  }

  /** At most one at a time for each entry, and one that waits for it. */
  function load(entry: Entry, terms: LinkTerms, obtain: () => Promise<Link>, tellFirst: boolean): Promise<Catalog> {
    const running = entry.loading;
    if (running) {
      running.tellFirst ||= tellFirst;
      if (PARTS.every((part) => running.at[part] === generation[part])) return running.promise;
      // Something changed while it was read.
      const again = () => entry.loading?.promise ?? load(entry, terms, obtain, tellFirst);
      return running.promise.then(again, again);
    }
    const at = { ...generation };
    const promise = loadNow(entry, terms, obtain, at);
    entry.loading = { at, promise, tellFirst };
    return promise;
  }

  async function loadNow(
    entry: Entry,
    terms: LinkTerms,
    obtain: () => Promise<Link>,
    at: Readonly<Record<CatalogPart, number>>,
  ): Promise<Catalog> {
    const parts = new Set(entry.catalog ? [...untrue(entry), ...old(entry)] : PARTS);
    try {
      const catalog = await read(entry, terms, obtain, parts);
      return keep(entry, catalog, at, parts, entry.loading?.tellFirst === true);
    } catch (error) {
      deps.onFailure(error);
      entry.retryAtMs = deps.clock.now() + RETRY_MS;
      throw error;
    } finally {
      entry.loading = null;
    }
  }

  async function read(
    entry: Entry,
    terms: LinkTerms,
    obtain: () => Promise<Link>,
    parts: ReadonlySet<CatalogPart>,
  ): Promise<LoadedCatalog> {
    const link = await obtain();
    const stop = new AbortController();
    reading.add(stop);
    const cancel = deps.schedule.after(deps.timeoutMs, () => stop.abort(deps.timedOut()));
    try {
      const reader = { link, client: terms.facts, headers: terms.headers, signal: stop.signal };
      return await readCatalog(reader, parts, entry.catalog ?? latest, deps.http && link.era === "2026");
    } finally {
      cancel();
      reading.delete(stop);
    }
  }

  function keep(
    entry: Entry,
    catalog: LoadedCatalog,
    at: Readonly<Record<CatalogPart, number>>,
    parts: ReadonlySet<CatalogPart>,
    tellFirst: boolean,
  ): Catalog {
    const before = entry.catalog;
    const changed = before
      ? changedParts(before, catalog)
      : tellFirst
        ? PARTS.filter((part) => offers(catalog, part))
        : [];
    const untold = changed.filter((part) => before === null || told[part] <= entry.seen[part]);
    entry.catalog = latest = before && changed.length === 0 && before.hello === catalog.hello ? before : catalog;
    for (const part of parts) {
      entry.seen[part] = at[part];
      entry.readAtMs[part] = deps.clock.now();
    }
    for (const part of untold) {
      // The other entries are in doubt too; this one is true unless something changed while it was read.
      const wasTrue = entry.seen[part] === generation[part];
      told[part] = ++generation[part];
      if (wasTrue) entry.seen[part] = generation[part];
      deps.onChange(part);
    }
    forgetAbove(MAX_CHARS, entry);
    deps.onLoaded(catalog);
    return entry.catalog;
  }

  function forgetAbove(maxChars: number, current: Entry): void {
    let chars = 0;
    for (const [, { catalog }] of entries.entries()) chars += catalog?.chars ?? 0;
    for (const [key, entry] of entries.entries()) {
      if (chars <= maxChars) return;
      if (entry === current) continue;
      chars -= entry.catalog?.chars ?? 0;
      entries.delete(key);
    }
  }

  return {
    async get(key, terms, obtain) {
      const entry = entryOf(key);
      const { catalog } = entry;
      if (!catalog) return load(entry, terms, obtain, false);
      const wait = deps.clock.now() < entry.retryAtMs;
      if (untrue(entry).length > 0) {
        if (wait) return catalog;
        return load(entry, terms, obtain, false).catch(() => catalog);
      }
      if (!wait && old(entry).length > 0) load(entry, terms, obtain, false).catch(() => {});
      return catalog;
    },
    refresh: (key, terms, link, tellFirst) => load(entryOf(key), terms, async () => link, tellFirst),
    knows: (key) => Boolean(entries.peek(key)?.catalog),
    invalidate(part) {
      told[part] = ++generation[part];
    },
    stop() {
      for (const stop of reading) stop.abort(new GatewayError("gateway.draining"));
    },
    doubt() {
      for (const part of PARTS) generation[part]++;
    },
  };
}

function offers(catalog: Catalog, part: CatalogPart): boolean {
  return catalog[part].length > 0 || (part === "resources" && catalog.templates.length > 0);
}

function maxAgeMs(catalog: Catalog, part: CatalogPart): number {
  const capability = memberText(catalog.hello.capabilities, part);
  const hint = catalog.hints[part];
  if (hint === null || (capability !== undefined && memberText(capability, "listChanged") === "true"))
    return MAX_AGE_MS;
  return Math.min(MAX_AGE_MS, Math.max(MIN_AGE_MS, hint.ttlMs));
}
