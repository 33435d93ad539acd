import { existsSync, mkdirSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Client } from "pg";
import type { DatabaseConfig } from "./open-database.ts";

/** Held for as long as the instance runs. Releasing it again does nothing. */
export interface InstanceLock {
  release(): Promise<void>;
}

/** Another instance holds the database. The message names the remedy. */
export class InstanceLockError extends Error {
  override readonly name = "InstanceLockError";
}

export interface InstanceLockOptions {
  /** Whether instances share their counters over Redis: then several may run on one PostgreSQL. */
  readonly shared: boolean;
  /** The lock was lost and another instance has it: this one must stop serving. */
  readonly onLost: (error: InstanceLockError) => void;
  /** How often a PostgreSQL lock is checked, and tried again after its connection broke. */
  readonly checkEveryMs?: number;
}

/**
 * Makes sure that instances which do not know of each other never serve from one database: their limits
 * would add up, and revocations would not reach the other. The lock ends with the process, however it ends.
 *
 * With SQLite there is one instance, always. On PostgreSQL instances with Redis hold a shared lock, one
 * without Redis an exclusive one, so neither starts beside the other. PostgreSQL must be reached directly
 * or through a pooler in session mode: the lock belongs to its connection.
 *
 * @throws InstanceLockError when another instance runs
 */
export function acquireInstanceLock(config: DatabaseConfig, options: InstanceLockOptions): Promise<InstanceLock> {
  return config.dialect === "sqlite"
    ? Promise.resolve().then(() => lockSqlite(config.path))
    : lockPostgres(config.url, options);
}

function lockSqlite(path: string): InstanceLock {
  if (path === ":memory:") return { release: () => Promise.resolve() };
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  // The real place: two links to one database share a lock.
  const real = existsSync(path) ? realpathSync(path) : join(realpathSync(dirname(path)), basename(path));
  const lock = new DatabaseSync(`${real}.lock`, { timeout: 0 });
  try {
    lock.exec("BEGIN EXCLUSIVE");
  } catch (cause) {
    lock.close();
    throw new InstanceLockError(
      `Another instance uses the database ${path}. Stop it first; to run several, use PostgreSQL and set redis_url.`,
      { cause },
    );
  }
  return {
    release() {
      if (lock.isOpen) lock.close();
      return Promise.resolve();
    },
  };
}

/** `bifr` in ASCII: the first half of the advisory lock's number, so that other software does not collide. */
const LOCK_SPACE = 0x62696672;
const LOCK_NUMBER = 1;
const CHECK_DEADLINE_MS = 5_000;

interface Session {
  readonly pid: number;
  readonly backend_start: string;
}
const OWN_SESSION = "select pid, backend_start::text from pg_stat_activity where pid = pg_backend_pid()";
const END_SESSION =
  "select pg_terminate_backend(pid, 2000) from pg_stat_activity where pid = $1 and backend_start = $2::timestamptz";

async function lockPostgres(url: string, options: InstanceLockOptions): Promise<InstanceLock> {
  const { shared, onLost, checkEveryMs = 5_000 } = options;
  const { default: pg } = await import("pg");
  let client: Client | null = null;
  let session: Session | null = null;
  let closed = false;
  let checking: Promise<void> = Promise.resolve();

  async function connect(): Promise<void> {
    const next = new pg.Client({
      connectionString: url,
      connectionTimeoutMillis: CHECK_DEADLINE_MS,
      query_timeout: CHECK_DEADLINE_MS,
      keepAlive: true,
      application_name: "bifrost instance lock",
    });
    const drop = () => {
      if (client === next) client = null;
    };
    next.on("error", drop);
    next.on("end", drop);
    try {
      await next.connect();
      // A connection that broke on the way may live on at the server, lock included: end it there, it is ours.
      if (session) await next.query(END_SESSION, [session.pid, session.backend_start]);
      session = (await next.query<Session>(OWN_SESSION)).rows[0] ?? null;
      const lock = shared ? "pg_try_advisory_lock_shared" : "pg_try_advisory_lock";
      const { rows } = await next.query<{ held: boolean }>(`select ${lock}($1, $2) as held`, [LOCK_SPACE, LOCK_NUMBER]);
      if (rows[0]?.held !== true) throw new InstanceLockError(takenMessage(shared));
      client = next;
    } catch (error) {
      await next.end().catch(() => undefined);
      throw error;
    }
  }

  async function check(): Promise<void> {
    try {
      if (client) await client.query("select 1");
      else await connect();
    } catch (error) {
      // Unreachable: try again. While the database is away nobody can take the lock either, or we learn of it below.
      const broken = client;
      client = null;
      // Not awaited: over a dead network the farewell is never answered.
      void broken?.end().catch(() => undefined);
      if (!(error instanceof InstanceLockError) || closed) return;
      closed = true;
      clearInterval(timer);
      onLost(error);
    }
  }

  await connect();
  let busy = false;
  const timer = setInterval(() => {
    if (busy || closed) return;
    busy = true;
    checking = check().finally(() => (busy = false));
  }, checkEveryMs);
  timer.unref();

  return {
    async release() {
      closed = true;
      clearInterval(timer);
      await checking;
      await client?.end();
      client = null;
    },
  };
}

function takenMessage(shared: boolean): string {
  return shared
    ? "Another instance uses this PostgreSQL database without Redis. Stop it, or set redis_url on it as on this one."
    : "Another instance uses this PostgreSQL database. Stop it first; to run several, set redis_url on each of them.";
}
