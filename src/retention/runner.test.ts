import { afterAll, beforeAll, expect, it } from "vitest";
import { openTempSqlite, type TestDatabase } from "../../test/support/temp-sqlite.ts";
import { seedKey, seedOrg, seedService, testClock, testKeyring } from "../../test/support/resources.ts";
import { createLogger } from "../core/log.ts";
import { startRetention } from "./runner.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await openTempSqlite();
});
afterAll(() => database.close());

/** A schedule whose time the test lets come. */
function manualSchedule() {
  const waiting: { task: () => void; delayMs: number }[] = [];
  let onAdded = () => {};
  return {
    waiting,
    schedule(task: () => void, delayMs: number) {
      const entry = { task, delayMs };
      waiting.push(entry);
      onAdded();
      return () => waiting.splice(waiting.indexOf(entry), 1);
    },
    nextAdded: () => new Promise<void>((resolve) => (onAdded = resolve)),
  };
}

it("purges after a minute and then every hour, one after the other, until it is stopped", async () => {
  const { db } = database;
  const service = await seedService(db, (await seedOrg(db)).orgUid);
  const clock = testClock();
  const { waiting, schedule, nextAdded } = manualSchedule();
  const policy = { keysMs: 1_000, sessionsMs: 1_000 };
  const retention = startRetention({ db, clock, log: createLogger("silent"), policy, schedule });
  expect(waiting.map(({ delayMs }) => delayMs)).toEqual([60_000]);

  await seedKey(db, testKeyring(), service, { expiresAtMs: clock.now() });
  clock.advance(1_001);
  const again = nextAdded();
  waiting.shift()?.task();
  expect(waiting).toEqual([]);
  await again;
  expect(await db.selectFrom("virtual_keys").selectAll().execute()).toEqual([]);
  expect(waiting.map(({ delayMs }) => delayMs)).toEqual([3_600_000]);

  retention.stop();
  expect(waiting).toEqual([]);
});
