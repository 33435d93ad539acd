import type { Kysely } from "kysely";
import { type Migration, Migrator } from "kysely/migration";
import type { Database } from "./schema.ts";
import * as initial from "./migrations/0001-initial.ts";
import * as mcpGrants from "./migrations/0002-mcp-grants.ts";

/** Every migration in order. Forward only; a released one is never edited. */
const MIGRATIONS: Record<string, Migration> = {
  "0001-initial": initial,
  "0002-mcp-grants": mcpGrants,
};

/**
 * Brings the schema up to date and returns the names of the migrations it applied. Kysely's lock makes
 * parallel starts on one PostgreSQL safe. A database that a newer release migrated is refused.
 */
export async function migrate(db: Kysely<Database>): Promise<string[]> {
  const migrator = new Migrator({ db, provider: { getMigrations: () => Promise.resolve(MIGRATIONS) } });
  const { error, results } = await migrator.migrateToLatest();
  if (error) {
    throw new Error(
      "The database schema could not be brought up to date. If a newer release of Bifrost has used this database, run that release.",
      { cause: error },
    );
  }
  return (results ?? []).filter((r) => r.status === "Success").map((r) => r.migrationName);
}

/** Names of migrations that this release has and the database has not. */
export async function pendingMigrations(db: Kysely<Database>): Promise<string[]> {
  const migrator = new Migrator({ db, provider: { getMigrations: () => Promise.resolve(MIGRATIONS) } });
  return (await migrator.getMigrations()).filter((m) => m.executedAt === undefined).map((m) => m.name);
}
