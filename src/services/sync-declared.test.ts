import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { declaredCredential, declaredService } from "../../test/support/declared.ts";
import { engines, type TestDatabase } from "../../test/support/engines.ts";
import { seedCredential, seedKey, seedService, testClock, testKeyring } from "../../test/support/resources.ts";
import type { WriteDeps } from "../audit/audited-write.ts";
import { ConfigError } from "../config/model.ts";
import { type Change, createChangeBus } from "../core/changes.ts";
import { revealCredential } from "../credentials/reveal.ts";
import { createCredentialStore } from "../credentials/store.ts";
import { ensureDefaultOrg } from "../identity/setup.ts";
import { createServiceStore } from "./store.ts";
import { syncDeclared } from "./sync-declared.ts";

describe.each(Object.entries(engines))("what the configuration declares, on %s", (_engine, open) => {
  let database: TestDatabase;
  let deps: WriteDeps;
  let orgUid: string;
  const published: Change[] = [];
  beforeAll(async () => {
    database = await open();
    const clock = testClock();
    deps = { db: database.db, keyring: testKeyring(), clock, changes: createChangeBus() };
    deps.changes.subscribe((change) => published.push(change));
    orgUid = (await ensureDefaultOrg(database.db, clock)).uid;
  });
  afterAll(() => database.close());

  const find = (id: string) => createServiceStore(database.db).findById(orgUid, id);
  const findCredential = (id: string) => createCredentialStore(database.db).findById(orgUid, id);
  const secretOf = async (id: string) => {
    const uid = (await findCredential(id))?.uid ?? "";
    const parts = { credentials: createCredentialStore(database.db), keyring: deps.keyring };
    return (await revealCredential(parts, uid)).secret;
  };
  const actions = async () => {
    const rows = await database.db.selectFrom("audit_entries").select("action").orderBy("seq").execute();
    return rows.map(({ action }) => action);
  };

  const credentials = [declaredCredential({ id: "openai", secret: "sk-first-0123456789" })];
  const services = [
    declaredService({ id: "openai", credential: "openai" }),
    declaredService({ id: "weather", origin: "https://weather.example" }),
  ];

  it("is made, marked and audited", async () => {
    await syncDeclared(deps, { credentials, services });
    const service = await find("openai");
    const credential = await findCredential("openai");
    expect(service).toMatchObject({ managedBy: "config", disabledAtMs: null, credentialUid: credential?.uid });
    expect(credential).toMatchObject({ managedBy: "config", version: 1, origins: ["https://api.example.com"] });
    expect(await secretOf("openai")).toBe("sk-first-0123456789");
    expect(await actions()).toEqual(["rootkey.create", "service.create", "service.create"]);
  });

  it("is not written again while nothing changed: no version, no entry, no change", async () => {
    published.length = 0;
    await syncDeclared(deps, { credentials, services });
    expect((await findCredential("openai"))?.version).toBe(1);
    expect(await actions()).toHaveLength(3);
    expect(published).toEqual([]);
  });

  it("takes a new secret as a new version and leaves the service alone", async () => {
    published.length = 0;
    await syncDeclared(deps, {
      credentials: [declaredCredential({ id: "openai", secret: "sk-second-0123456789" })],
      services,
    });
    expect(await secretOf("openai")).toBe("sk-second-0123456789");
    expect((await findCredential("openai"))?.version).toBe(2);
    expect(published).toEqual([{ kind: "credential", uid: (await findCredential("openai"))?.uid }]);
  });

  it("disables a service that is gone and deletes its secret, and brings both back with the same keys", async () => {
    const before = await find("openai");
    if (!before) throw new Error("the service is missing");
    const { key } = await seedKey(database.db, deps.keyring, before);
    await syncDeclared(deps, { credentials: [], services: services.slice(1) });
    expect(await find("openai")).toMatchObject({ uid: before.uid, credentialUid: null });
    expect((await find("openai"))?.disabledAtMs).not.toBeNull();
    expect(await findCredential("openai")).toBeNull();
    expect(await database.db.selectFrom("credential_versions").selectAll().execute()).toEqual([]);

    await syncDeclared(deps, { credentials, services });
    expect(await find("openai")).toMatchObject({ uid: before.uid, disabledAtMs: null });
    expect(key.grants[0]).toMatchObject({ serviceUid: before.uid });
    expect(await secretOf("openai")).toBe("sk-first-0123456789");
  });

  it("keeps a credential that a service made over the API uses", async () => {
    const credential = await findCredential("openai");
    await seedService(database.db, orgUid, { id: "made-by-hand", credentialUid: credential?.uid ?? null });
    await syncDeclared(deps, { credentials: [], services: [] });
    expect(await secretOf("openai")).toBe("sk-first-0123456789");
    await syncDeclared(deps, { credentials, services });
  });

  it.each([
    ["an unknown organization", { credentials: [], services: [declaredService({ id: "lost", org: "nowhere" })] }],
    ["a service's id that is taken", { credentials: [], services: [declaredService({ id: "taken" })] }],
    ["a credential's id that is taken", { credentials: [declaredCredential({ id: "taken" })], services: [] }],
  ])("is refused as a whole for %s", async (_case, wrong) => {
    if (!(await find("taken"))) {
      await seedService(database.db, orgUid, { id: "taken" });
      await seedCredential(database.db, deps.keyring, orgUid, { id: "taken" });
    }
    const before = await find("openai");
    const changed = declaredService({ id: "openai", credential: "openai", description: "changed" });
    const all = { credentials: [...credentials, ...wrong.credentials], services: [changed, ...wrong.services] };
    await expect(syncDeclared(deps, all)).rejects.toThrow(ConfigError);
    expect(await find("openai")).toEqual(before);
    expect(await find("lost")).toBeNull();
  });

  it("is made once by gateways that start together", async () => {
    const more = [...services, declaredService({ id: "together" })];
    await Promise.all([1, 2, 3].map(() => syncDeclared(deps, { credentials, services: more })));
    expect(await find("together")).toMatchObject({ managedBy: "config" });
    const entries = await database.db
      .selectFrom("audit_entries")
      .selectAll()
      .where("target_id", "=", "together")
      .execute();
    expect(entries).toHaveLength(1);
  });
});
