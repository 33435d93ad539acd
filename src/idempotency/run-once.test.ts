import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { engines, type TestDatabase } from "../../test/support/engines.ts";
import type { Principal } from "../access/principal.ts";
import { GatewayError } from "../core/errors.ts";
import { createKeyring } from "../vault/keyring.ts";
import { createRunOnce } from "./run-once.ts";

const keyring = createKeyring([randomBytes(32)]);
const user = (uid: string): Principal => ({
  kind: "user",
  uid,
  id: uid,
  name: "Ada",
  role: "admin",
  orgUid: "org_1",
  orgId: "one",
  sessionUid: null,
});

describe.each(Object.entries(engines))("an Idempotency-Key on %s", (_engine, open) => {
  let database: TestDatabase;
  let nowMs = 1_700_000_000_000;
  let calls = 0;
  beforeAll(async () => {
    database = await open();
  });
  afterAll(() => database.close());

  const run = (
    idempotencyKey: string,
    options: { fingerprint?: string; uid?: string; work?: () => Promise<never> } = {},
  ) =>
    createRunOnce({ db: database.db, keyring, clock: { now: () => nowMs } })(
      { principal: user(options.uid ?? "usr_1"), idempotencyKey, fingerprint: options.fingerprint ?? "f" },
      options.work ?? (() => Promise.resolve({ status: 201, body: { secret: `bfk_${++calls}` } })),
    );

  it("runs the work once and repeats the reply, secret included", async () => {
    const first = await run("k1");
    const second = await run("k1");
    expect(second.body).toEqual(first.body);
    expect(second.status).toBe(201);
    expect(second.headers).toEqual({ "idempotency-replayed": "true" });
  });

  it("is refused for another request, and separate for another principal", async () => {
    const first = await run("k2");
    await expect(run("k2", { fingerprint: "other" })).rejects.toMatchObject({ code: "idempotency.mismatch" });
    expect((await run("k2", { uid: "usr_2" })).body).not.toEqual(first.body);
  });

  it("lets one of many parallel requests run", async () => {
    const before = calls;
    const results = await Promise.allSettled(Array.from({ length: 30 }, () => run("k3")));
    expect(calls - before).toBe(1);
    const refused = results.flatMap((r) => (r.status === "rejected" ? [r.reason as unknown] : []));
    for (const reason of refused) expect(reason).toMatchObject({ code: "idempotency.in_progress" });
  });

  it("is given back when the request fails", async () => {
    const fail = () => Promise.reject(new GatewayError("resource.exists"));
    await expect(run("k4", { work: fail })).rejects.toMatchObject({ code: "resource.exists" });
    expect((await run("k4")).status).toBe(201);
  });

  it("is taken over 60 seconds after its gateway died, not before", async () => {
    let die = () => {};
    const late = new Promise<void>((started) => {
      const work = () =>
        new Promise<never>((_resolve, reject) => {
          die = () => reject(new Error("late"));
          started();
        });
      void run("k5", { work }).catch(() => undefined);
    });
    await late;
    await expect(run("k5")).rejects.toMatchObject({ code: "idempotency.in_progress" });
    nowMs += 60_000;
    const reply = await run("k5");
    die();
    await Promise.resolve();
    expect((await run("k5")).body).toEqual(reply.body);
  });

  it("holds for 24 hours", async () => {
    const first = await run("k6");
    nowMs += 24 * 3_600_000 - 1;
    expect((await run("k6")).body).toEqual(first.body);
    nowMs += 1;
    expect((await run("k6")).body).not.toEqual(first.body);
  });

  it("leaves neither the key nor a secret in the database", async () => {
    await run("very-recognisable-key");
    const rows = JSON.stringify(await database.db.selectFrom("idempotency_keys").selectAll().execute());
    expect(rows).not.toContain("recognisable");
    expect(rows).not.toContain("bfk_");
  });
});
