// Attack: whoever was removed keeps working with the keys they got before. Deleting a service account, a
// member or a user left their virtual keys valid.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { holdOwner } from "../../src/identity/owned-keys.ts";
import type { Change } from "../../src/core/changes.ts";
import { engines } from "../support/engines.ts";
import { startManagement, type TestManagement, type TestUser } from "../support/management.ts";
import { seedKey, seedService } from "../support/resources.ts";

describe.each(Object.entries(engines))("keys of a removed owner on %s", (_engine, open) => {
  let gateway: TestManagement;
  let owner: TestUser;
  const heard: Change[] = [];
  beforeAll(async () => {
    gateway = await startManagement({ open });
    owner = await gateway.setUp();
    await seedService(gateway.db, gateway.defaultOrg.uid, { id: "weather" });
    gateway.changes.subscribe((change) => heard.push(change));
  });
  afterAll(() => gateway.close());

  const keyOf = (id: string) =>
    gateway.db
      .selectFrom("virtual_keys")
      .select(["uid", "revoked_at_ms", "owner_uid"])
      .where("id", "=", id)
      .executeTakeFirstOrThrow();

  it("a deleted service account's keys are revoked in the same step and every cache is told", async () => {
    const account = await gateway.call("POST", "/v1/serviceaccounts", {
      as: owner.token,
      body: { id: "ci", name: "CI", allowed_services: ["weather"] },
    });
    const issued = await gateway.call("POST", "/v1/service-token", {
      headers: { "x-service-key": account.body.api_key },
      body: { service: "weather" },
    });
    expect(issued.status).toBe(200);
    expect((await gateway.call("DELETE", "/v1/serviceaccounts/ci", { as: owner.token })).status).toBe(204);
    const key = await keyOf(issued.body.id);
    expect(key.revoked_at_ms).not.toBeNull();
    expect(heard).toContainEqual({ kind: "key", uid: key.uid, revoked: true });
    const again = await gateway.call("POST", "/v1/service-token", {
      headers: { "x-service-key": account.body.api_key },
      body: { service: "weather" },
    });
    expect([again.status, again.body.error]).toEqual([401, "invalid service key"]);
  });

  it.each([
    ["a removed member", (id: string) => `/v1/orgs/default/members/${id}`],
    ["a deleted user", (id: string) => `/v1/users/${id}`],
  ])("so are the keys of %s", async (_who, path) => {
    const user = await gateway.addUser(owner.token, "member");
    const service = await gateway.db.selectFrom("services").select(["uid", "id"]).executeTakeFirstOrThrow();
    const { key } = await seedKey(
      gateway.db,
      gateway.keyring,
      { ...service, orgUid: gateway.defaultOrg.uid },
      { ownerUid: user.id },
      gateway.clock.now(),
    );
    expect((await gateway.call("DELETE", path(user.id), { as: owner.token })).status).toBe(204);
    expect((await keyOf(key.id)).revoked_at_ms).not.toBeNull();
    expect(heard).toContainEqual({ kind: "key", uid: key.uid, revoked: true });
  });

  it("an issuer cannot slip a key in while its owner is being removed", async () => {
    const user = await gateway.addUser(owner.token, "member");
    const service = await gateway.db.selectFrom("services").select(["uid", "id"]).executeTakeFirstOrThrow();
    const at = { kind: "user", uid: user.id, orgUid: gateway.defaultOrg.uid } as const;
    const issue = () =>
      gateway.db.transaction().execute(async (trx) => {
        if (!(await holdOwner(trx, at))) return;
        await trx
          .insertInto("virtual_keys")
          .values({
            uid: `vk_${Math.random()}`,
            org_uid: at.orgUid,
            id: `k${Math.random()}`,
            name: "",
            secret_hash: `h${Math.random()}`,
            hint: "",
            previous_secret_hash: null,
            previous_expires_at_ms: null,
            scope: "read",
            expires_at_ms: 2 ** 50,
            rate_limit: 1,
            max_concurrency: null,
            max_uses: null,
            agent_id: null,
            source: "api",
            owner_kind: "user",
            owner_uid: user.id,
            metadata: "{}",
            created_at_ms: 1,
            updated_at_ms: 1,
            revoked_at_ms: null,
          })
          .execute();
      });
    const issuers = Array.from({ length: 5 }, issue);
    const removal = gateway.call("DELETE", `/v1/orgs/default/members/${user.id}`, { as: owner.token });
    await Promise.all([...issuers, removal, ...Array.from({ length: 5 }, issue)]);
    const alive = await gateway.db
      .selectFrom("virtual_keys")
      .select("uid")
      .where("owner_uid", "=", user.id)
      .where("revoked_at_ms", "is", null)
      .execute();
    expect(service.id).toBe("weather");
    expect(alive).toEqual([]);
  });
});
