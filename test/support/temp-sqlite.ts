import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { migrate } from "../../src/storage/migrate.ts";
import { type Db, openDatabase } from "../../src/storage/open-database.ts";

export interface TestDatabase {
  readonly db: Db;
  readonly path: string;
  close(): Promise<void>;
}

/** A migrated SQLite database in a file of its own, removed on close. */
export async function openTempSqlite(): Promise<TestDatabase> {
  const folder = await mkdtemp(join(tmpdir(), "bifrost-test-"));
  const path = join(folder, "bifrost.db");
  const db = openDatabase({ dialect: "sqlite", path });
  await migrate(db);
  return {
    db,
    path,
    async close() {
      await db.destroy();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
