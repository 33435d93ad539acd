import { Kysely, PostgresDialect } from "kysely";
import type { Pool } from "pg";
import type { Database } from "./schema.ts";
import { sqliteDialect } from "./sqlite.ts";

export type Db = Kysely<Database>;

export type DatabaseConfig =
  | { readonly dialect: "sqlite"; readonly path: string }
  | { readonly dialect: "postgres"; readonly url: string; readonly poolSize: number };

/** The only file that knows which engine runs. All other code sees {@link Db}. Queries and parameters are never logged. */
export function openDatabase(config: DatabaseConfig): Db {
  switch (config.dialect) {
    case "sqlite":
      return new Kysely<Database>({ dialect: sqliteDialect(config.path) });
    case "postgres":
      return new Kysely<Database>({ dialect: new PostgresDialect({ pool: () => openPool(config) }) });
  }
}

/** Loaded only where it is used: the driver costs memory that a gateway on SQLite need not spend. */
async function openPool(config: Extract<DatabaseConfig, { dialect: "postgres" }>): Promise<Pool> {
  const { default: pg } = await import("pg");
  // int8 arrives as text by default; every int8 we keep (Unix ms, counts) is below 2^53.
  const overrides = new pg.TypeOverrides();
  overrides.setTypeParser(pg.types.builtins.INT8, Number);
  const pool = new pg.Pool({
    connectionString: config.url,
    max: config.poolSize,
    connectionTimeoutMillis: 5_000,
    idleTimeoutMillis: 30_000,
    statement_timeout: 15_000,
    idle_in_transaction_session_timeout: 30_000,
    keepAlive: true,
    application_name: "bifrost",
    types: overrides,
  });
  // An idle connection that the server drops is replaced by the pool; without a listener it would end the process.
  pool.on("error", () => undefined);
  return pool;
}
