import { setTimeout as delay } from "node:timers/promises";
import type { KyselyPlugin } from "kysely";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { NOW, seedKey, seedOrg, seedService, testKeyring } from "../../test/support/resources.ts";
import { engines, type TestDatabase } from "../../test/support/engines.ts";
import type { Service } from "../services/model.ts";
import { createServiceStore } from "../services/store.ts";
import { isForeignKeyViolation, isUniqueViolation } from "../storage/errors.ts";
import { type Grant, keyStatus } from "./model.ts";
import { createKeyStore, type KeyStore } from "./store.ts";

const FIRST_PAGE = { limit: 50, after: null };
const keyring = testKeyring();
const MCP_GRANT: Grant = {
  kind: "mcp_server",
  mcpServer: "github",
  tools: ["get_*"],
  prompts: ["review"],
  resources: ["repo://octo/*"],
  arguments: [{ tool: "get_*", argument: "owner.name", allow: ["octo-*", 5, true] }],
};

describe.each(Object.entries(engines))("key store on %s", (_engine, open) => {
  let database: TestDatabase;
  let keys: KeyStore;
  let service: Service;
  beforeAll(async () => {
    database = await open();
    keys = createKeyStore(database.db);
  });
  afterAll(() => database.close());
  beforeEach(async () => {
    const { orgUid } = await seedOrg(database.db);
    service = await seedService(database.db, orgUid, { id: "openai" });
  });

  it("returns a key as it was inserted, found by secret, uid and id", async () => {
    const { key } = await seedKey(database.db, keyring, service, {
      id: "my-key",
      name: "Mine",
      maxConcurrency: 3,
      maxUses: 7,
      agentId: "coder@ci",
      metadata: { team: "search", ü: "ß" },
      grants: [
        { kind: "service", serviceUid: service.uid, serviceId: "openai", methods: ["GET"], paths: ["/v1/**"] },
        MCP_GRANT,
      ],
    });
    expect(await keys.findBySecretHash(key.secretHash, NOW)).toEqual(key);
    expect(await keys.findByUid(key.uid)).toEqual(key);
    expect(await keys.findById(service.orgUid, "my-key")).toEqual(key);
    expect(await keys.findById("org_other", "my-key")).toBeNull();
    expect(await keys.findBySecretHash("unknown", NOW)).toBeNull();
  });

  it("refuses a second key with the same id in the org and writes none of it", async () => {
    const { key } = await seedKey(database.db, keyring, service, { id: "twice" });
    const again = await seedKey(database.db, keyring, service, { id: "twice" }).catch((error: unknown) => error);
    expect(isUniqueViolation(again)).toBe(true);
    expect(await keys.findById(service.orgUid, "twice")).toEqual(key);
    const { orgUid } = await seedOrg(database.db);
    await seedKey(database.db, keyring, await seedService(database.db, orgUid), { id: "twice" });
  });

  it("claims exactly as many uses as there are, out of 200 parallel claims over a slow store", async () => {
    const slow = createKeyStore(database.db.withPlugin(slowResults()));
    const oneShot = (await seedKey(database.db, keyring, service, { maxUses: 1 })).key;
    const five = (await seedKey(database.db, keyring, service, { maxUses: 5 })).key;
    const claims = (uid: string) => Promise.all(Array.from({ length: 200 }, () => slow.claimUse(uid)));
    expect((await claims(oneShot.uid)).filter(Boolean)).toHaveLength(1);
    expect((await claims(five.uid)).filter(Boolean)).toHaveLength(5);
    expect((await keys.findByUid(oneShot.uid))?.uses).toBe(1);
    expect((await keys.findByUid(five.uid))?.uses).toBe(5);
  });

  it("claims no use of a revoked or unknown key", async () => {
    const { key } = await seedKey(database.db, keyring, service, { maxUses: 5 });
    expect(await keys.claimUse(key.uid)).toBe(true);
    await keys.revoke(key.uid, NOW);
    expect(await keys.claimUse(key.uid)).toBe(false);
    expect(await keys.claimUse("vk_unknown")).toBe(false);
  });

  it("revokes once: the time of the first revocation stays", async () => {
    const { key } = await seedKey(database.db, keyring, service);
    expect(await keys.revoke(key.uid, NOW + 1)).toBe(true);
    expect(await keys.revoke(key.uid, NOW + 2)).toBe(false);
    expect((await keys.findByUid(key.uid))?.revokedAtMs).toBe(NOW + 1);
  });

  it("accepts the secret before a rotation until its grace ends, and not the one before that", async () => {
    const { key } = await seedKey(database.db, keyring, service);
    const grace = { hint: "abcd", previousUntilMs: NOW + 1_000 };
    expect(await keys.rotate(key, { ...grace, secretHash: `${key.uid}-2` }, NOW)).toBe(true);
    expect((await keys.findBySecretHash(key.secretHash, NOW + 999))?.uid).toBe(key.uid);
    expect(await keys.findBySecretHash(key.secretHash, NOW + 1_000)).toBeNull();
    expect((await keys.findBySecretHash(`${key.uid}-2`, NOW + 9_999))?.uid).toBe(key.uid);

    const second = { uid: key.uid, secretHash: `${key.uid}-2` };
    expect(await keys.rotate(second, { ...grace, secretHash: `${key.uid}-3` }, NOW)).toBe(true);
    expect(await keys.findBySecretHash(key.secretHash, NOW)).toBeNull();
  });

  it("lets only one of two parallel rotations happen, and none of a revoked key", async () => {
    const { key } = await seedKey(database.db, keyring, service);
    const rotate = (n: number) =>
      keys.rotate(key, { secretHash: `${key.uid}-r${n}`, hint: "abcd", previousUntilMs: NOW }, NOW);
    const done = await Promise.all([rotate(1), rotate(2), rotate(3)]);
    expect(done.filter(Boolean)).toHaveLength(1);
    const current = await keys.findByUid(key.uid);
    await keys.revoke(key.uid, NOW);
    const next = { secretHash: "late", hint: "abcd", previousUntilMs: NOW };
    expect(await keys.rotate(current ?? key, next, NOW)).toBe(false);
  });

  it("filters by source, target, agent, owner, status and text, within the org only", async () => {
    const { db } = database;
    const github = await seedService(db, service.orgUid, { id: "github" });
    const plain = (await seedKey(db, keyring, service, { id: "plain", name: "100% Done" })).key;
    const mcp = (await seedKey(db, keyring, github, { source: "mcp", agentId: "a1", ownerUid: "usr_2" })).key;
    const expired = (await seedKey(db, keyring, service, { expiresAtMs: NOW - 1, maxUses: 1 })).key;
    const used = (await seedKey(db, keyring, service, { maxUses: 1 })).key;
    const revoked = (await seedKey(db, keyring, service, { expiresAtMs: NOW - 1 })).key;
    await keys.claimUse(used.uid);
    await keys.revoke(revoked.uid, NOW);
    const foreign = await seedOrg(db);
    await seedKey(db, keyring, await seedService(db, foreign.orgUid, { id: "openai" }));

    const uids = async (filter: Parameters<KeyStore["list"]>[1]) => {
      const { items } = await keys.list(service.orgUid, filter, FIRST_PAGE, NOW);
      for (const key of items) if (filter.status) expect(keyStatus(key, NOW)).toBe(filter.status);
      return items.map((key) => key.uid).sort();
    };
    expect(await uids({})).toHaveLength(5);
    expect(await uids({ source: "mcp" })).toEqual([mcp.uid]);
    expect(await uids({ agentId: "a1" })).toEqual([mcp.uid]);
    expect(await uids({ ownerUid: "usr_2" })).toEqual([mcp.uid]);
    expect(await uids({ target: "github" })).toEqual([mcp.uid]);
    expect(await uids({ status: "active" })).toEqual([plain.uid, mcp.uid].sort());
    expect(await uids({ status: "expired" })).toEqual([expired.uid]);
    expect(await uids({ status: "used" })).toEqual([used.uid]);
    expect(await uids({ status: "revoked" })).toEqual([revoked.uid]);
    expect(await uids({ q: "PLAI" })).toEqual([plain.uid]);
    expect(await uids({ q: "0% d" })).toEqual([plain.uid]);
    expect(await uids({ q: "_" })).not.toContain(plain.uid);
  });

  it("pages through all keys without a gap or a repetition, also where many share a creation time", async () => {
    const made = await Promise.all(
      Array.from({ length: 7 }, (_, i) => seedKey(database.db, keyring, service, {}, NOW + (i % 2))),
    );
    const seen: string[] = [];
    let after: { createdAtMs: number; uid: string } | null = null;
    do {
      const page: Awaited<ReturnType<KeyStore["list"]>> = await keys.list(service.orgUid, {}, { limit: 2, after }, NOW);
      seen.push(...page.items.map((key) => key.uid));
      after = page.next;
    } while (after);
    expect(seen).toHaveLength(7);
    expect(new Set(seen)).toEqual(new Set(made.map(({ key }) => key.uid)));
  });

  it("replaces what an update names and leaves the rest", async () => {
    const { key } = await seedKey(database.db, keyring, service, { maxUses: 5, metadata: { a: "1" } });
    const grants = [{ ...MCP_GRANT, tools: null, prompts: null, resources: null, arguments: [] }] as const;
    await keys.update(key, { name: "renamed", maxUses: null, grants }, NOW + 5);
    expect(await keys.findByUid(key.uid)).toEqual({
      ...key,
      name: "renamed",
      maxUses: null,
      grants,
      updatedAtMs: NOW + 5,
    });
  });

  it("revokes all live keys that are granted a service, and says which", async () => {
    const { db } = database;
    const live = await Promise.all([1, 2].map(() => seedKey(db, keyring, service)));
    const done = (await seedKey(db, keyring, service)).key;
    const elsewhere = (await seedKey(db, keyring, await seedService(db, service.orgUid))).key;
    await keys.revoke(done.uid, NOW);
    expect(await keys.countLiveByService(service.uid, NOW)).toBe(2);
    const revoked = await keys.revokeByService(service.uid, NOW);
    expect(revoked.sort()).toEqual(live.map(({ key }) => key.uid).sort());
    expect(await keys.countLiveByService(service.uid, NOW)).toBe(0);
    expect((await keys.findByUid(elsewhere.uid))?.revokedAtMs).toBeNull();
  });

  it("does not let a service go while keys are granted it", async () => {
    await seedKey(database.db, keyring, service);
    const services = createServiceStore(database.db);
    const refused = await services.delete(service.uid).catch((error: unknown) => error);
    expect(isForeignKeyViolation(refused)).toBe(true);
    const inTransaction = database.db.transaction().execute((trx) => createServiceStore(trx).delete(service.uid));
    expect(isForeignKeyViolation(await inTransaction.catch((error: unknown) => error))).toBe(true);
    expect(await services.findByUid(service.uid)).toEqual(service);
    await keys.revokeByService(service.uid, NOW);
    await keys.dropGrantsOf(service.uid);
    await services.delete(service.uid);
  });

  it("loses its keys with the org", async () => {
    const { key } = await seedKey(database.db, keyring, service);
    await database.db.deleteFrom("orgs").where("uid", "=", service.orgUid).execute();
    expect(await keys.findByUid(key.uid)).toBeNull();
  });
});

/** Answers come late and out of order, as from a database under load: races in check-then-write only show so. */
function slowResults(): KyselyPlugin {
  return {
    transformQuery: ({ node }) => node,
    async transformResult({ result }) {
      await delay(Math.random() * 5);
      return result;
    },
  };
}
