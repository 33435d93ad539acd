import { createKeyring } from "../vault/keyring.ts";
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { engines, type TestDatabase } from "../../test/support/engines.ts";
import { type AuditEvent, createAuditLog } from "./log.ts";
import { verifyAuditChain } from "./chain.ts";

const keyring = createKeyring([randomBytes(32)]);
const clock = { now: () => 1_700_000_000_000 };
const event = (orgUid: string, id = "vk_1"): AuditEvent => ({
  orgUid,
  actor: { kind: "user", id: "usr_1" },
  action: "key.issue",
  target: { kind: "key", id },
  detail: { scope: "read" },
  requestId: "req_1",
  clientAddress: "192.0.2.1",
});

describe.each(Object.entries(engines))("audit trail on %s", (_engine, open) => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await open();
  });
  afterAll(() => database.close());

  it("gives each org its own chain without gaps, however many append at once", async () => {
    const { db } = database;
    const audit = createAuditLog(db, keyring, clock);
    await Promise.all(Array.from({ length: 40 }, (_, i) => audit.record(event(i % 2 ? "org_a" : "org_b", `vk_${i}`))));
    expect(await verifyAuditChain(db, keyring, "org_a")).toEqual({ intact: true, entries: 20 });
    expect(await verifyAuditChain(db, keyring, "org_b")).toEqual({ intact: true, entries: 20 });
  });

  it("keeps no entry of a transaction that fails, and no gap after it", async () => {
    const { db } = database;
    const failing = db.transaction().execute(async (trx) => {
      await createAuditLog(trx, keyring, clock).record(event("org_c"));
      throw new Error("the write failed");
    });
    await expect(failing).rejects.toThrow("the write failed");
    await createAuditLog(db, keyring, clock).record(event("org_c"));
    expect(await verifyAuditChain(db, keyring, "org_c")).toEqual({ intact: true, entries: 1 });
  });

  it.each([
    [
      "altered",
      (seq: number, org: string) =>
        database.db
          .updateTable("audit_entries")
          .set({ actor_id: "usr_2" })
          .where("org_uid", "=", org)
          .where("seq", "=", seq),
      3,
      "altered",
    ],
    [
      "removed",
      (seq: number, org: string) =>
        database.db.deleteFrom("audit_entries").where("org_uid", "=", org).where("seq", "=", seq),
      3,
      "missing",
    ],
    [
      "cut from the end",
      (seq: number, org: string) =>
        database.db.deleteFrom("audit_entries").where("org_uid", "=", org).where("seq", ">=", seq),
      3,
      "truncated",
    ],
  ] as const)("names the first entry that was %s", async (how, tamper, seq, reason) => {
    const { db } = database;
    const org = `org_${how}`;
    const audit = createAuditLog(db, keyring, clock);
    for (let i = 0; i < 5; i++) await audit.record(event(org));
    await tamper(seq, org).execute();
    expect(await verifyAuditChain(db, keyring, org)).toEqual({ intact: false, brokenSeq: seq, reason });
  });

  it("does not accept an entry that was re-hashed without the master key", async () => {
    const { db } = database;
    await createAuditLog(db, createKeyring([randomBytes(32)]), clock).record(event("org_forged"));
    expect(await verifyAuditChain(db, keyring, "org_forged")).toMatchObject({ intact: false, brokenSeq: 1 });
  });

  it("stays verifiable after a change of the master key", async () => {
    const { db } = database;
    const [old, next] = [randomBytes(32), randomBytes(32)];
    await createAuditLog(db, createKeyring([old]), clock).record(event("org_rotated"));
    const rotated = createKeyring([next, old]);
    await createAuditLog(db, rotated, clock).record(event("org_rotated"));
    expect(await verifyAuditChain(db, rotated, "org_rotated")).toEqual({ intact: true, entries: 2 });
  });
});
