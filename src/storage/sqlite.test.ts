import { spawn } from "node:child_process";
import { once } from "node:events";
import { fdatasync, statSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setImmediate as turn } from "node:timers/promises";
import { Kysely, sql } from "kysely";
import { afterEach, describe, expect, it } from "vitest";
import { emptyDatabases } from "../../test/support/engines.ts";
import { migrate } from "./migrate.ts";
import { openDatabase } from "./open-database.ts";
import type { Database } from "./schema.ts";
import { sqliteDialect } from "./sqlite.ts";

const cleanup: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step();
});

async function path(): Promise<string> {
  const { config, remove } = await emptyDatabases.sqlite();
  cleanup.push(remove);
  if (config.dialect !== "sqlite") throw new Error("not SQLite");
  return config.path;
}

/** A migrated database whose flushes the test holds, lets go and counts. */
async function withHeldFlush() {
  const held: ((error: Error | null) => void)[] = [];
  let holding = false;
  const db = new Kysely<Database>({
    dialect: sqliteDialect(await path(), (fd, done) => {
      if (holding) held.push(done);
      else fdatasync(fd, done);
    }),
  });
  await migrate(db);
  holding = true;
  cleanup.push(async () => {
    holding = false;
    const closed = db.destroy();
    for (const done of held) done(null);
    await closed;
  });
  return { db, held, stopHolding: () => (holding = false) };
}

const insert = (db: Kysely<Database>, name: string) =>
  db.insertInto("instance_settings").values({ name, value: "x" }).execute();
const turns = async () => {
  for (let n = 0; n < 10; n++) await turn();
};

describe("durability", () => {
  it("keeps every acknowledged write through kill -9 under load", async () => {
    const file = await path();
    const config = { dialect: "sqlite", path: file } as const;
    const first = openDatabase(config);
    await migrate(first);
    await first.destroy();
    const script = join(import.meta.dirname, "../../test/support/sqlite-writer.ts");
    const writer = spawn(process.execPath, [script, file], { stdio: ["ignore", "pipe", "inherit"] });
    const acknowledged: string[] = [];
    for await (const line of createInterface({ input: writer.stdout })) {
      acknowledged.push(line);
      if (acknowledged.length === 500) writer.kill("SIGKILL");
    }
    if (writer.exitCode === null && writer.signalCode === null) await once(writer, "exit");
    const db = openDatabase(config);
    cleanup.push(() => db.destroy());
    const rows = await db.selectFrom("instance_settings").select("name").where("value", "=", "x").execute();
    const kept = new Set(rows.map((row) => row.name));
    expect(acknowledged.length).toBeGreaterThanOrEqual(500);
    expect(acknowledged.filter((name) => !kept.has(name))).toEqual([]);
    const { rows: checks } = await sql<{ integrity_check: string }>`pragma integrity_check`.execute(db);
    expect(checks).toMatchObject([{ integrity_check: "ok" }]);
  });

  it("acknowledges a write only after the flush that covers it", async () => {
    const { db, held } = await withHeldFlush();
    const settled: string[] = [];
    const all = ["a", "b", "c"].map((name) => insert(db, name).then(() => settled.push(name)));
    await turns();
    expect([settled.length, held.length]).toEqual([0, 1]);
    held[0]?.(null);
    await all[0];
    await turns();
    // The first flush began when only the first write was there.
    expect([settled, held.length]).toEqual([["a"], 2]);
    held[1]?.(null);
    await Promise.all(all);
  });

  it("lets a burst share flushes", async () => {
    const { db, held } = await withHeldFlush();
    const all = Array.from({ length: 100 }, (_, n) => insert(db, `n${n}`));
    await turns();
    held[0]?.(null);
    await turns();
    held[1]?.(null);
    await Promise.all(all);
    expect(held.length).toBe(2);
  });

  it.each([
    ["a plain insert", (db: Kysely<Database>) => insert(db, "a")],
    [
      "returning",
      (db: Kysely<Database>) =>
        db.insertInto("instance_settings").values({ name: "a", value: "" }).returning("name").execute(),
    ],
    [
      "a write behind WITH",
      (db: Kysely<Database>) =>
        db
          .with("source", (q) =>
            q
              .selectFrom("orgs")
              .select(sql<string>`'a'`.as("name"))
              .limit(1),
          )
          .insertInto("instance_settings")
          .values({ name: "a", value: "" })
          .returning("name")
          .execute(),
    ],
  ])("flushes %s", async (_what, write) => {
    const { db, held } = await withHeldFlush();
    const done = write(db);
    await turns();
    expect(held.length).toBe(1);
    held[0]?.(null);
    await done;
  });

  it("flushes nothing for reads", async () => {
    const { db, held } = await withHeldFlush();
    await db.selectFrom("instance_settings").selectAll().execute();
    expect(held).toEqual([]);
  });

  it("rejects the write whose flush failed, and all that follow", async () => {
    const { db, held, stopHolding } = await withHeldFlush();
    const done = insert(db, "a");
    await turns();
    stopHolding();
    held[0]?.(new Error("EIO"));
    await expect(done).rejects.toThrow(/could not be flushed/);
    await expect(insert(db, "b")).rejects.toThrow(/could not be flushed/);
  });

  it("waits for a running flush before it closes", async () => {
    const { db, held } = await withHeldFlush();
    const done = insert(db, "a");
    await turns();
    let closed = false;
    const closing = db.destroy().then(() => (closed = true));
    await turns();
    expect(closed).toBe(false);
    held[0]?.(null);
    await Promise.all([done, closing]);
  });
});

describe("one connection", () => {
  it("does not interleave transactions", async () => {
    const db = openDatabase({ dialect: "sqlite", path: await path() });
    cleanup.push(() => db.destroy());
    await migrate(db);
    await db.insertInto("instance_settings").values({ name: "count", value: "0" }).execute();
    const add = () =>
      db.transaction().execute(async (trx) => {
        const row = await trx.selectFrom("instance_settings").select("value").executeTakeFirstOrThrow();
        await turn();
        await trx
          .updateTable("instance_settings")
          .set({ value: String(Number(row.value) + 1) })
          .execute();
      });
    await Promise.all(Array.from({ length: 50 }, add));
    expect(await db.selectFrom("instance_settings").select("value").executeTakeFirst()).toEqual({ value: "50" });
  });

  it("rolls a failed transaction back and goes on", async () => {
    const db = openDatabase({ dialect: "sqlite", path: await path() });
    cleanup.push(() => db.destroy());
    await migrate(db);
    const failing = db.transaction().execute(async (trx) => {
      await insert(trx, "a");
      throw new Error("refused");
    });
    await expect(failing).rejects.toThrow("refused");
    expect(await db.selectFrom("instance_settings").selectAll().execute()).toEqual([]);
    await insert(db, "b");
  });

  it("shows the error of a transaction that SQLite has already rolled back", async () => {
    const db = openDatabase({ dialect: "sqlite", path: await path() });
    cleanup.push(() => db.destroy());
    await migrate(db);
    await insert(db, "a");
    const failing = db.transaction().execute(async (trx) => {
      await sql`insert or rollback into instance_settings (name, value) values ('a', '')`.execute(trx);
    });
    await expect(failing).rejects.toThrow(/UNIQUE/);
    await insert(db, "b");
  });

  it("rejects, rather than throws or hangs, for bad SQL and after closing", async () => {
    const db = openDatabase({ dialect: "sqlite", path: await path() });
    await migrate(db);
    await expect(sql`nonsense`.execute(db)).rejects.toThrow(/syntax/);
    await db.destroy();
    await expect(insert(db, "a")).rejects.toThrow();
    await expect(insert(db, "a")).rejects.toThrow();
  });

  it("keeps using prepared statements after the schema has changed under them", async () => {
    const db = openDatabase({ dialect: "sqlite", path: await path() });
    cleanup.push(() => db.destroy());
    await sql`create table t (a text)`.execute(db);
    const read = () => sql`select * from t`.execute(db);
    await read();
    await sql`alter table t add column b text`.execute(db);
    await sql`insert into t values ('1', '2')`.execute(db);
    expect((await read()).rows).toMatchObject([{ a: "1", b: "2" }]);
  });
});

it("creates files that only their owner can read", async () => {
  const file = await path();
  const db = openDatabase({ dialect: "sqlite", path: file });
  cleanup.push(() => db.destroy());
  await migrate(db);
  for (const name of [file, `${file}-wal`, `${file}-shm`]) expect(statSync(name).mode & 0o077).toBe(0);
});
