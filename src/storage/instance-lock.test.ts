import { spawn } from "node:child_process";
import { once } from "node:events";
import { symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { sql } from "kysely";
import { afterEach, describe, expect, it } from "vitest";
import { emptyDatabases } from "../../test/support/engines.ts";
import { acquireInstanceLock, type InstanceLock, InstanceLockError } from "./instance-lock.ts";
import { type DatabaseConfig, openDatabase } from "./open-database.ts";

const cleanup: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step();
});

const neverLost = (error: Error) => {
  throw error;
};
async function take(config: DatabaseConfig, shared = false, onLost: (error: InstanceLockError) => void = neverLost) {
  const lock: InstanceLock = await acquireInstanceLock(config, { shared, onLost, checkEveryMs: 20 });
  cleanup.push(() => lock.release());
  return lock;
}
async function empty(engine: keyof typeof emptyDatabases): Promise<DatabaseConfig> {
  const { config, remove } = await emptyDatabases[engine]();
  cleanup.push(remove);
  return config;
}

describe.each(["sqlite", "postgres"] as const)("instance lock on %s", (engine) => {
  it("refuses a second instance and names the remedy; lets one in once the first has ended", async () => {
    const config = await empty(engine);
    const first = await take(config);
    await expect(take(config)).rejects.toThrow(InstanceLockError);
    await expect(take(config)).rejects.toThrow(/redis_url/);
    await first.release();
    await take(config);
  });

  it("does not disturb the use of the database", async () => {
    const config = await empty(engine);
    await take(config);
    const db = openDatabase(config);
    cleanup.push(() => db.destroy());
    await sql`create table t (a integer)`.execute(db);
    await sql`insert into t values (1)`.execute(db);
  });
});

describe("instance lock on SQLite", () => {
  it("ends with its process, even by kill -9", async () => {
    const config = await empty("sqlite");
    if (config.dialect !== "sqlite") return;
    const script = join(import.meta.dirname, "../../test/support/lock-holder.ts");
    const holder = spawn(process.execPath, [script, config.path], { stdio: ["ignore", "pipe", "inherit"] });
    await once(holder.stdout, "data");
    await expect(take(config)).rejects.toThrow(InstanceLockError);
    holder.kill("SIGKILL");
    await once(holder, "exit");
    await take(config);
  });

  it("is one lock for one file, by whatever path", async () => {
    const config = await empty("sqlite");
    if (config.dialect !== "sqlite") return;
    const link = join(dirname(config.path), "link");
    symlinkSync(dirname(config.path), link);
    await take(config);
    await expect(take({ dialect: "sqlite", path: join(link, "bifrost.db") })).rejects.toThrow(InstanceLockError);
  });
});

describe("instance lock on PostgreSQL", () => {
  it("lets instances with Redis run side by side, and none without beside them", async () => {
    const config = await empty("postgres");
    const first = await take(config, true);
    const second = await take(config, true);
    await expect(take(config, false)).rejects.toThrow(/set redis_url on each/);
    await first.release();
    await second.release();
    await take(config, false);
    await expect(take(config, true)).rejects.toThrow(/without Redis/);
  });

  /** Cuts every connection that holds the lock, as a failover would. */
  async function cut(config: DatabaseConfig): Promise<number> {
    const db = openDatabase(config);
    const { rows } = await sql`
      select pg_terminate_backend(pid, 2000) from pg_locks
      where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())
    `.execute(db);
    await db.destroy();
    return rows.length;
  }

  it("takes the lock again by itself after its connection broke", async () => {
    const config = await empty("postgres");
    await take(config);
    expect(await cut(config)).toBe(1);
    // Held again, by the same instance: there is something to cut.
    await expect.poll(() => cut(config)).toBe(1);
  });

  it("tells the instance that lost its lock to another", async () => {
    const config = await empty("postgres");
    let tell: (error: InstanceLockError) => void = () => undefined;
    const lost = new Promise<InstanceLockError>((resolve) => (tell = resolve));
    const first = await acquireInstanceLock(config, {
      shared: false,
      onLost: (error) => tell(error),
      checkEveryMs: 500,
    });
    cleanup.push(() => first.release());
    expect(await cut(config)).toBe(1);
    await take(config);
    expect((await lost).message).toContain("redis_url");
  });
});
