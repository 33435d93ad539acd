import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { engines, type TestDatabase } from "../../test/support/engines.ts";
import { NOW, seedCredential, seedKey, seedOrg, seedService, testKeyring } from "../../test/support/resources.ts";
import { secretContext } from "../credentials/reveal.ts";
import { createKeyStore } from "../keys/store.ts";
import { newId } from "../core/ids.ts";
import { purge } from "./purge.ts";

const DAY = 86_400_000;
const policy = { keysMs: 90 * DAY, sessionsMs: 30 * DAY };
const keyring = testKeyring();

describe.each(Object.entries(engines))("purging on %s", (_engine, open) => {
  let database: TestDatabase;
  let orgUid: string;
  beforeAll(async () => {
    database = await open();
    orgUid = (await seedOrg(database.db)).orgUid;
  });
  afterAll(() => database.close());

  it("deletes keys that ended before the limit, in batches, and none that ended after it", async () => {
    const { db } = database;
    const service = await seedService(db, orgUid);
    const old = NOW - 90 * DAY - 1;
    for (let i = 0; i < 5; i++) await seedKey(db, keyring, service, { expiresAtMs: old });
    const revoked = (await seedKey(db, keyring, service)).key;
    await createKeyStore(db).revoke(revoked.uid, old);
    const kept = [
      (await seedKey(db, keyring, service)).key,
      (await seedKey(db, keyring, service, { expiresAtMs: NOW - 89 * DAY })).key,
    ];
    expect((await purge(db, NOW, policy, 2)).keys).toBe(6);
    const left = await db.selectFrom("virtual_keys").select("uid").execute();
    expect(left.map(({ uid }) => uid).sort()).toEqual(kept.map(({ uid }) => uid).sort());
    expect(await db.selectFrom("grants").select("key_uid").execute()).toHaveLength(2);
  });

  it("deletes sessions that ended long ago", async () => {
    const { db } = database;
    const userUid = newId("usr");
    const times = { created_at_ms: NOW, updated_at_ms: NOW };
    await db
      .insertInto("users")
      .values({ uid: userUid, org_uid: orgUid, name: "U", email: "u@example.com", api_key_hash: "h", ...times })
      .execute();
    const session = (uid: string, expiresAtMs: number, revokedAtMs: number | null) => ({
      uid,
      org_uid: orgUid,
      user_uid: userUid,
      token_hash: uid,
      started_at_ms: 0,
      created_at_ms: 0,
      expires_at_ms: expiresAtMs,
      revoked_at_ms: revokedAtMs,
    });
    await db
      .insertInto("sessions")
      .values([
        session("expired", NOW - 31 * DAY, null),
        session("revoked", NOW + DAY, NOW - 31 * DAY),
        session("recent", NOW - 29 * DAY, null),
        session("live", NOW + DAY, null),
      ])
      .execute();
    expect((await purge(db, NOW, policy)).sessions).toBe(2);
    const left = await db.selectFrom("sessions").select("uid").orderBy("uid").execute();
    expect(left.map(({ uid }) => uid)).toEqual(["live", "recent"]);
  });

  it("deletes stored replies after a day, also of requests that never ended", async () => {
    const { db } = database;
    const row = (keyHash: string, createdAtMs: number, status: number) => ({
      org_uid: orgUid,
      principal_uid: "usr_1",
      key_hash: keyHash,
      request_hash: "r",
      status,
      sealed_reply: null,
      created_at_ms: createdAtMs,
    });
    await db
      .insertInto("idempotency_keys")
      .values([row("old", NOW - DAY - 1, 201), row("stuck", NOW - DAY - 1, 0), row("new", NOW - DAY + 1, 201)])
      .execute();
    expect((await purge(db, NOW, policy, 1)).idempotencyKeys).toBe(2);
    expect(await db.selectFrom("idempotency_keys").select("key_hash").execute()).toEqual([{ key_hash: "new" }]);
  });

  it("deletes secrets beyond the kept versions, never the current one", async () => {
    const { db } = database;
    const credential = await seedCredential(db, keyring, orgUid, {});
    for (let version = 2; version <= 8; version++) {
      await db
        .insertInto("credential_versions")
        .values({
          credential_uid: credential.uid,
          org_uid: orgUid,
          version,
          sealed: keyring.seal(`s${version}`, secretContext(orgUid, credential.uid, version)),
          origins: "[]",
          hint: null,
          created_by: "usr_1",
          created_at_ms: NOW,
        })
        .execute();
    }
    await db.updateTable("credentials").set({ version: 8 }).where("uid", "=", credential.uid).execute();
    expect((await purge(db, NOW, policy)).credentialVersions).toBe(3);
    const left = await db.selectFrom("credential_versions").select("version").orderBy("version").execute();
    expect(left.map(({ version }) => version)).toEqual([4, 5, 6, 7, 8]);
  });
});
