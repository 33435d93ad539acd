import { closeSync, fdatasync, mkdirSync, openSync } from "node:fs";
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

/**
 * Kysely on node:sqlite, one connection, WAL.
 *
 * A commit is durable before its promise resolves, without stalling the event loop: SQLite runs with
 * `synchronous=NORMAL`, which writes the WAL but does not flush it, and the driver then flushes the WAL
 * on the thread pool (`fdatasync`). Commits that arrive during one flush share the next, so a burst
 * costs two flushes, not one each. NORMAL itself flushes the WAL before a checkpoint, so an
 * acknowledged commit survives both `kill -9` and power loss. See docs/decisions/0003-sqlite-durability.md.
 */
export function sqliteDialect(path: string): Dialect {
  return {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => new SqliteDriver(path),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
}

class SqliteDriver implements Driver {
  readonly #path: string;
  readonly #turn = createTurn();
  #connection: SqliteConnection | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  async init(): Promise<void> {
    if (this.#path !== ":memory:") mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
    const db = new DatabaseSync(this.#path, { enableForeignKeyConstraints: true, timeout: 5_000 });
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA trusted_schema = OFF;");
    this.#connection = new SqliteConnection(db, this.#path === ":memory:" ? null : `${this.#path}-wal`);
  }

  /** One connection, handed out in order: what runs between acquire and release is never interleaved. */
  async acquireConnection(): Promise<DatabaseConnection> {
    await this.#turn.take();
    if (!this.#connection) throw new Error("the database is closed");
    return this.#connection;
  }

  async beginTransaction(connection: DatabaseConnection): Promise<void> {
    // IMMEDIATE: a transaction that will write takes the write lock at once instead of failing midway.
    await connection.executeQuery(CompiledQuery.raw("begin immediate"));
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw("commit"));
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
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
    this.#connection?.close();
    this.#connection = undefined;
    this.#turn.give();
  }
}

class SqliteConnection implements DatabaseConnection {
  readonly #db: DatabaseSync;
  readonly #walPath: string | null;
  readonly #prepared = new Map<string, StatementSync>();
  #walFd: number | null = null;
  #written = false;
  #flushing: Promise<void> | null = null;
  #nextFlush: Promise<void> | null = null;

  constructor(db: DatabaseSync, walPath: string | null) {
    this.#db = db;
    this.#walPath = walPath;
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
    const statement = this.#prepare(query.sql);
    const parameters = query.parameters as SQLInputValue[];
    if (statement.columns().length > 0) {
      const rows = statement.all(...parameters) as R[];
      // INSERT … RETURNING and UPDATE … RETURNING have columns and write.
      if (!/^\s*(select|with|pragma)\b/i.test(query.sql)) this.#written = true;
      return { rows };
    }
    const { changes, lastInsertRowid } = statement.run(...parameters);
    this.#written = true;
    return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) };
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#prepared.get(sql);
    if (!statement) {
      statement = this.#db.prepare(sql);
      if (this.#prepared.size >= MAX_PREPARED) this.#prepared.clear();
      this.#prepared.set(sql, statement);
    }
    return statement;
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
      // SQLite keeps one WAL file for as long as this connection is open; checkpoints reuse it in place.
      this.#walFd ??= openSync(this.#walPath ?? "", "r+");
      fdatasync(this.#walFd, (error) => (error ? reject(error) : resolve()));
    }).finally(() => {
      if (this.#flushing === flush) this.#flushing = null;
    });
    this.#flushing = flush;
    return flush;
  }

  close(): void {
    if (this.#walFd !== null) closeSync(this.#walFd);
    this.#prepared.clear();
    this.#db.close();
  }
}

/** A mutex whose waiters are served in order. */
function createTurn() {
  let taken = false;
  const waiting: (() => void)[] = [];
  return {
    async take(): Promise<void> {
      if (taken) await new Promise<void>((resolve) => waiting.push(resolve));
      taken = true;
    },
    give(): void {
      const next = waiting.shift();
      if (next) next();
      else taken = false;
    },
  };
}
