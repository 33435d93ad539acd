import { closeSync, existsSync, fdatasync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import {
  CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from "kysely";

const MAX_PREPARED = 200;
/** Waiting longer for the connection means that someone uses the database inside their own transaction. */
const TURN_DEADLINE_MS = 15_000;

/** Flushes a file's data to disk, as node's `fdatasync`. */
type Flush = (fd: number, done: (error: Error | null) => void) => void;

/**
 * Kysely on node:sqlite, one connection, WAL.
 *
 * A commit is durable before its promise resolves, without stalling the event loop: SQLite runs with
 * `synchronous=NORMAL`, which writes the WAL but does not flush it, and the driver then flushes the WAL
 * on the thread pool (`fdatasync`). Commits that arrive during one flush share the next, so a burst
 * costs two flushes, not one each. NORMAL itself flushes the WAL before a checkpoint, so an
 * acknowledged commit survives both `kill -9` and power loss. See docs/decisions/0003-sqlite-durability.md.
 *
 * Once a flush has failed nothing can be acknowledged any more: the kernel may have dropped what it could not
 * write, and later commits build on it. From then on every query rejects until the gateway is restarted.
 *
 * A new file is readable by its owner only.
 */
export function sqliteDialect(path: string, flush: Flush = fdatasync): Dialect {
  return {
    createAdapter: () => new OwnTurnsAdapter(),
    createDriver: () => new SqliteDriver(path, flush),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
}

class OwnTurnsAdapter extends SqliteAdapter {
  /**
   * False would make Kysely hold a lock of its own until the flush is done, so that no two commits could share
   * one. The driver below serves its one connection in turns itself.
   */
  override get supportsMultipleConnections(): boolean {
    return true;
  }

  /** SQLite has it: an interrupted migration leaves nothing behind. */
  override get supportsTransactionalDdl(): boolean {
    return true;
  }
}

class SqliteDriver implements Driver {
  readonly #path: string;
  readonly #flush: Flush;
  readonly #turn = createTurn();
  #connection: SqliteConnection | undefined;

  constructor(path: string, flush: Flush) {
    this.#path = path;
    this.#flush = flush;
  }

  async init(): Promise<void> {
    if (this.#path !== ":memory:") {
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
      // SQLite would create it readable by all; the files beside it take its mode.
      if (!existsSync(this.#path)) closeSync(openSync(this.#path, "a", 0o600));
    }
    const db = new DatabaseSync(this.#path, { enableForeignKeyConstraints: true, timeout: 5_000 });
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA trusted_schema = OFF;");
    this.#connection = new SqliteConnection(db, this.#path === ":memory:" ? null : `${this.#path}-wal`, this.#flush);
  }

  /** One connection, handed out in order: what runs between acquire and release is never interleaved. */
  async acquireConnection(): Promise<DatabaseConnection> {
    await this.#turn.take();
    const refusal = this.#connection ? this.#connection.failure : new Error("the database is closed");
    if (!refusal && this.#connection) return this.#connection;
    this.#turn.give();
    throw refusal ?? new Error("the database is closed");
  }

  async beginTransaction(connection: DatabaseConnection): Promise<void> {
    // IMMEDIATE: a transaction that will write takes the write lock at once instead of failing midway.
    await connection.executeQuery(CompiledQuery.raw("begin immediate"));
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw("commit"));
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    // Some failures, as a full disk, have rolled back already; a second error here would hide the first.
    if (this.#connection?.inTransaction() === false) return;
    await connection.executeQuery(CompiledQuery.raw("rollback"));
  }

  async releaseConnection(): Promise<void> {
    const flushed = this.#connection?.flushIfWritten();
    this.#turn.give();
    // After the connection is free for others, before the caller's promise resolves: see the class note.
    await flushed;
  }

  async destroy(): Promise<void> {
    await this.#turn.take();
    const connection = this.#connection;
    this.#connection = undefined;
    this.#turn.give();
    await connection?.close();
  }
}

interface Prepared {
  readonly statement: StatementSync;
  readonly returnsRows: boolean;
  readonly writes: boolean;
}

class SqliteConnection implements DatabaseConnection {
  readonly #db: DatabaseSync;
  readonly #walPath: string | null;
  readonly #flush: Flush;
  readonly #prepared = new Map<string, Prepared>();
  #walFd: number | null = null;
  #written = false;
  #flushing: Promise<void> | null = null;
  #nextFlush: Promise<void> | null = null;
  #failure: Error | null = null;

  constructor(db: DatabaseSync, walPath: string | null, flush: Flush) {
    this.#db = db;
    this.#walPath = walPath;
    this.#flush = flush;
  }

  /** Why nothing can be acknowledged any more, or null. */
  get failure(): Error | null {
    return this.#failure;
  }

  inTransaction(): boolean {
    return this.#db.isTransaction;
  }

  executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    // Promise.try-like: a SQL error must reject, not throw.
    return new Promise((resolve) => resolve(this.#run<R>(query)));
  }

  // oxlint-disable-next-line require-yield -- the interface asks for it; rows fit in memory here
  async *streamQuery<R>(query: CompiledQuery): AsyncIterableIterator<QueryResult<R>> {
    yield await this.executeQuery<R>(query);
  }

  #run<R>(query: CompiledQuery): QueryResult<R> {
    const { statement, returnsRows, writes } = this.#prepare(query.sql);
    const parameters = query.parameters as SQLInputValue[];
    if (returnsRows) {
      const rows = statement.all(...parameters) as R[];
      if (writes) this.#written = true;
      return { rows };
    }
    const { changes, lastInsertRowid } = statement.run(...parameters);
    if (writes) this.#written = true;
    return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) };
  }

  #prepare(sql: string): Prepared {
    let prepared = this.#prepared.get(sql);
    if (!prepared) {
      const statement = this.#db.prepare(sql);
      prepared = { statement, returnsRows: statement.columns().length > 0, writes: mayWrite(sql) };
      if (this.#prepared.size >= MAX_PREPARED) this.#prepared.clear();
      this.#prepared.set(sql, prepared);
    }
    return prepared;
  }

  /** Resolves once all that has been committed so far is on disk. */
  flushIfWritten(): Promise<void> | undefined {
    if (!this.#written || this.#walPath === null) return undefined;
    this.#written = false;
    if (!this.#flushing) return this.#startFlush();
    // The running flush may have begun before our commit was written: only the one after it covers us.
    this.#nextFlush ??= this.#flushing.catch(() => undefined).then(() => this.#startFlush());
    return this.#nextFlush;
  }

  #startFlush(): Promise<void> {
    this.#nextFlush = null;
    const flush = new Promise<void>((resolve, reject) => {
      if (this.#failure) throw this.#failure;
      // SQLite keeps one WAL file for as long as this connection is open; checkpoints reuse it in place.
      this.#walFd ??= openSync(this.#walPath ?? "", "r+");
      this.#flush(this.#walFd, (error) => (error ? reject(error) : resolve()));
    })
      .catch((cause: unknown) => {
        this.#failure ??= new Error(
          "The database could not be flushed to disk. Check the disk, then restart the gateway.",
          { cause },
        );
        throw this.#failure;
      })
      .finally(() => {
        if (this.#flushing === flush) this.#flushing = null;
      });
    this.#flushing = flush;
    return flush;
  }

  async close(): Promise<void> {
    // A flush that still runs would be left with a closed file, or worse, with another one of the same number.
    while (this.#flushing) await (this.#nextFlush ?? this.#flushing).catch(() => undefined);
    if (this.#walFd !== null) closeSync(this.#walFd);
    this.#prepared.clear();
    this.#db.close();
  }
}

/** True rather than false where unsure: a needless flush costs time only. */
function mayWrite(sql: string): boolean {
  if (/^\s*(select|pragma|begin)\b/i.test(sql)) return false;
  return !/^\s*with\b/i.test(sql) || /\b(insert|update|delete|replace)\b/i.test(sql);
}

/** A mutex whose waiters are served in order, and give up after a while. */
function createTurn() {
  let taken = false;
  const waiting = new Set<() => void>();
  return {
    async take(): Promise<void> {
      if (taken) {
        await new Promise<void>((resolve, reject) => {
          const served = () => {
            clearTimeout(timer);
            resolve();
          };
          const timer = setTimeout(() => {
            waiting.delete(served);
            reject(new Error("The database was busy for too long. A transaction must use its own handle only."));
          }, TURN_DEADLINE_MS);
          waiting.add(served);
        });
      }
      taken = true;
    },
    give(): void {
      const [next] = waiting;
      if (next) {
        waiting.delete(next);
        next();
      } else taken = false;
    },
  };
}
