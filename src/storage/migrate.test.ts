import { sql } from "kysely";
import { afterEach, describe, expect, it } from "vitest";
import { emptyDatabases } from "../../test/support/engines.ts";
import { migrate, pendingMigrations } from "./migrate.ts";
import { type Db, openDatabase } from "./open-database.ts";

describe.each(Object.entries(emptyDatabases))("migrations on %s", (engine, create) => {
  const cleanup: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const step of cleanup.splice(0).reverse()) await step();
  });
  const open = async (): Promise<() => Db> => {
    const { config, remove } = await create();
    cleanup.push(remove);
    return () => {
      const db = openDatabase(config);
      cleanup.push(() => db.destroy());
      return db;
    };
  };

  it("bring an empty database up to date, once", async () => {
    const db = (await open())();
    const pending = await pendingMigrations(db);
    expect(pending.length).toBeGreaterThan(0);
    expect(await migrate(db)).toEqual(pending);
    expect(await pendingMigrations(db)).toEqual([]);
    expect(await migrate(db)).toEqual([]);
  });

  it("leave foreign keys enforced", async () => {
    const db = (await open())();
    await migrate(db);
    const orphan = { org_uid: "none", user_uid: "none", role: "owner", created_at_ms: 0 };
    await expect(db.insertInto("memberships").values(orphan).execute()).rejects.toThrow();
  });

  it("refuse a database that a newer release migrated, and name the remedy", async () => {
    const db = (await open())();
    await migrate(db);
    await sql`insert into kysely_migration (name, timestamp) values ('9999-later', '2100-01-01')`.execute(db);
    await expect(migrate(db)).rejects.toThrow(/newer release/);
  });

  it.runIf(engine === "postgres")("are applied once when several instances start at the same time", async () => {
    const connect = await open();
    const applied = await Promise.all([1, 2, 3, 4].map(() => migrate(connect())));
    expect(applied.filter((names) => names.length > 0)).toHaveLength(1);
  });
});
