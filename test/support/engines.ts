import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { inject } from "vitest";
import { z } from "zod";
import { migrate } from "../../src/storage/migrate.ts";
import { type DatabaseConfig, type Db, openDatabase } from "../../src/storage/open-database.ts";
import { createPostgresDatabase } from "./postgres-server.ts";

export interface TestDatabase {
  readonly db: Db;
  readonly config: DatabaseConfig;
  readonly close: () => Promise<void>;
}

/** An empty database, not yet opened and without a schema. `remove` deletes it; close what is open first. */
export interface EmptyDatabase {
  readonly config: DatabaseConfig;
  readonly remove: () => Promise<void>;
}

/** A fresh empty database on each engine. PostgreSQL is a real server, see global-setup.ts. */
export const emptyDatabases: Record<"sqlite" | "postgres", () => Promise<EmptyDatabase>> = {
  sqlite() {
    const dir = mkdtempSync(join(tmpdir(), "bf-sqlite-"));
    return Promise.resolve({
      config: { dialect: "sqlite", path: join(dir, "bifrost.db") },
      remove() {
        rmSync(dir, { recursive: true, force: true });
        return Promise.resolve();
      },
    });
  },
  async postgres() {
    const { url, drop } = await createPostgresDatabase(await postgresUrl());
    return { config: { dialect: "postgres", url, poolSize: 10 }, remove: drop };
  },
};

/**
 * A fresh, migrated database on each engine. Every test of a store runs on all of them:
 * `describe.each(Object.entries(engines))("… on %s", (_engine, open) => …)`.
 */
export const engines: Record<"sqlite" | "postgres", () => Promise<TestDatabase>> = {
  sqlite: () => openMigrated(emptyDatabases.sqlite),
  postgres: () => openMigrated(emptyDatabases.postgres),
};

async function openMigrated(create: () => Promise<EmptyDatabase>): Promise<TestDatabase> {
  const { config, remove } = await create();
  const db = openDatabase(config);
  await migrate(db);
  return {
    db,
    config,
    async close() {
      await db.destroy();
      await remove();
    },
  };
}

const BrokerReply = z.union([z.object({ url: z.string() }), z.object({ error: z.string() })]);

async function postgresUrl(): Promise<string> {
  const reply = BrokerReply.parse(JSON.parse(await text(connect(inject("postgresBroker")))));
  if ("error" in reply) throw new Error(reply.error);
  return reply.url;
}
