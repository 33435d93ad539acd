import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { engines } from "../support/engines.ts";
import { startManagement, type TestManagement, type TestUser } from "../support/management.ts";
import { seedCredential, seedKey, seedService } from "../support/resources.ts";

describe.each(Object.entries(engines))("users and organizations on %s", (_engine, open) => {
  let gateway: TestManagement;
  let owner: TestUser;
  beforeAll(async () => {
    gateway = await startManagement({ open });
    owner = await gateway.setUp();
  });
  afterAll(() => gateway.close());

  const get = (path: string, as = owner.token) => gateway.call("GET", path, { as });

  it("a new user has a working key and token, shown once", async () => {
    const user = await gateway.addUser(owner.token, "member");
    expect((await get("/v1/user", user.apiKey)).body).toEqual({
      id: user.id,
      name: "A member",
      email: user.email,
      orgs: [{ org_id: "default", name: "Default", role: "member" }],
    });
    expect((await get("/v1/user", user.token)).status).toBe(200);
    const [listed] = (await get(`/v1/users?email=${user.email}`)).body;
    expect(listed).toEqual({
      id: user.id,
      name: "A member",
      email: user.email,
      role: "member",
      home: true,
      created_at: expect.any(String),
    });
  });

  it("an Idempotency-Key makes one user, and repeats the reply with its secrets", async () => {
    const body = { name: "Once", email: "once@example.com" };
    const send = (more: object = {}) =>
      gateway.call("POST", "/v1/users", {
        as: owner.token,
        headers: { "idempotency-key": "make-once" },
        body: { ...body, ...more },
      });
    const first = await send();
    const second = await send();
    expect([first.status, second.status]).toEqual([201, 201]);
    expect(second.body).toEqual(first.body);
    expect(second.headers.get("idempotency-replayed")).toBe("true");
    const other = await send({ name: "Other" });
    expect([other.status, other.body.code]).toEqual([422, "idempotency.mismatch"]);
  });

  it("lists are read page by page, each item once", async () => {
    for (let i = 0; i < 5; i++) await gateway.addUser(owner.token, "member");
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const page = await get(`/v1/users?limit=2${cursor === null ? "" : `&cursor=${cursor}`}`);
      expect(page.status).toBe(200);
      seen.push(...page.body.map((user: { id: string }) => user.id));
      cursor = page.headers.get("x-next-cursor");
    } while (cursor !== null);
    const all = await get("/v1/users?limit=200");
    expect(seen).toEqual(all.body.map((user: { id: string }) => user.id));
    expect(new Set(seen).size).toBe(seen.length);
    expect((await get("/v1/users?cursor=made-up")).body.fields[0].path).toBe("cursor");
    expect((await get("/v1/users?limit=0")).status).toBe(400);
    const members = await get("/v1/orgs/default/members?limit=200");
    expect(members.body).toHaveLength(all.body.length);
    const owners = await get("/v1/orgs/default/members?role=owner");
    expect(owners.body.map((member: { user_id: string }) => member.user_id)).toEqual([owner.id]);
  });

  it("only the home organization changes a user; another one that has them as member may not", async () => {
    const founder = await gateway.addUser(owner.token, "owner", { org_name: "Guests" });
    const orgId = (await get("/v1/user", founder.token)).body.orgs[0].org_id;
    const guest = await gateway.addUser(owner.token, "member", { org_id: "default" });
    await gateway.call("POST", `/v1/orgs/${orgId}/members`, { as: founder.token, body: { user_id: guest.id } });
    for (const [method, path] of [
      ["PUT", `/v1/users/${guest.id}`],
      ["DELETE", `/v1/users/${guest.id}`],
      ["POST", `/v1/users/${guest.id}/rotate-key`],
    ] as const) {
      const answer = await gateway.call(method, path, {
        as: founder.token,
        ...(method === "PUT" ? { body: { name: "Mine" } } : {}),
      });
      expect(answer.status, method).toBe(403);
    }
    const renamed = await gateway.call("PUT", `/v1/users/${guest.id}`, { as: owner.token, body: { name: "Gus" } });
    expect(renamed.body).toMatchObject({ name: "Gus", email: guest.email });
  });

  it("an org is made, read, changed and refused twice; its name and id are unique", async () => {
    const made = await gateway.call("POST", "/v1/orgs", {
      as: owner.token,
      body: { id: "acme", name: "Acme", domain: "acme.example", email: "it@acme.example" },
    });
    expect(made.status).toBe(201);
    expect((await get("/v1/orgs/acme")).body).toEqual(made.body);
    for (const body of [{ name: "Acme" }, { id: "acme", name: "Acme 2" }]) {
      const again = await gateway.call("POST", "/v1/orgs", { as: owner.token, body });
      expect([again.status, again.body.error]).toEqual([409, "organization already exists"]);
    }
    const changed = await gateway.call("PUT", "/v1/orgs/acme", { as: owner.token, body: { domain: null } });
    expect(changed.body).toEqual({ ...made.body, domain: null });
    const clash = await gateway.call("PUT", "/v1/orgs/acme", { as: owner.token, body: { name: "Default" } });
    expect(clash.status).toBe(409);
    for (const id of ["..", "a/b", "", "-a"]) {
      const wrong = await gateway.call("POST", "/v1/orgs", { as: owner.token, body: { id, name: "Wrong" } });
      expect([wrong.status, wrong.body.fields[0].path], id).toEqual([400, "id"]);
    }
  });

  it("a deleted org takes its things and lone users along, and leaves users of other orgs", async () => {
    await gateway.call("POST", "/v1/orgs", { as: owner.token, body: { id: "gone", name: "Gone" } });
    const lone = await gateway.addUser(owner.token, "member", { org_id: "gone" });
    const both = await gateway.addUser(owner.token, "member", { org_id: "gone" });
    await gateway.call("POST", "/v1/orgs/default/members", { as: owner.token, body: { user_id: both.id } });
    const { uid: orgUid } = await gateway.db
      .selectFrom("orgs")
      .select("uid")
      .where("id", "=", "gone")
      .executeTakeFirstOrThrow();
    const credential = await seedCredential(gateway.db, gateway.keyring, orgUid);
    const service = await seedService(gateway.db, orgUid, { id: "svc", credentialUid: credential.uid });
    await seedKey(gateway.db, gateway.keyring, service, { ownerUid: lone.id }, gateway.clock.now());

    const refused = await gateway.call("DELETE", "/v1/orgs/gone", { as: owner.token });
    expect([refused.status, refused.body.code]).toEqual([409, "resource.in_use"]);
    expect((await gateway.call("DELETE", "/v1/orgs/gone?cascade=true", { as: owner.token })).status).toBe(204);

    expect((await get("/v1/orgs/gone")).status).toBe(404);
    expect((await get("/v1/user", lone.apiKey)).status).toBe(401);
    expect((await get("/v1/user", both.token)).status).toBe(401);
    expect((await get("/v1/user", both.apiKey)).body.orgs).toMatchObject([{ org_id: "default" }]);
    for (const table of ["virtual_keys", "services", "credentials"] as const) {
      expect(await gateway.db.selectFrom(table).select("uid").where("org_uid", "=", orgUid).execute()).toEqual([]);
    }
    const kept = await gateway.call("DELETE", "/v1/orgs/default?cascade=true", { as: owner.token });
    expect([kept.status, kept.body.code]).toEqual([409, "resource.conflict"]);
  });

  it("service accounts show their key once and are unique by id in their org", async () => {
    const body = { id: "ci", name: "CI" };
    const made = await gateway.call("POST", "/v1/serviceaccounts", { as: owner.token, body });
    const { api_key, ...shown } = made.body;
    expect(api_key).toMatch(/^bfs_/);
    expect((await get("/v1/serviceaccounts/ci")).body).toEqual(shown);
    expect((await get("/v1/serviceaccounts")).body).toEqual([shown]);
    const again = await gateway.call("POST", "/v1/serviceaccounts", { as: owner.token, body });
    expect([again.status, again.body.error]).toEqual([409, "service account already exists"]);
    const nameless = await gateway.call("POST", "/v1/serviceaccounts", { as: owner.token, body: {} });
    expect(nameless.body.error).toBe("name is required");
    const rotated = await gateway.call("POST", "/v1/serviceaccounts/ci/rotate-key", { as: owner.token });
    await expect(gateway.authenticator.authenticateCredential(api_key)).rejects.toMatchObject({
      code: "auth.required",
    });
    await expect(gateway.authenticator.authenticateCredential(rotated.body.api_key)).resolves.toMatchObject({
      id: "ci",
    });
    const changed = await gateway.call("PUT", "/v1/serviceaccounts/ci", {
      as: owner.token,
      body: { allowed_services: ["*"], max_rate_limit: 5 },
    });
    expect(changed.body).toEqual({ ...shown, allowed_services: ["*"], max_rate_limit: 5 });
  });

  it("the service-token route says what is wrong in the words that clients know", async () => {
    const ask = (headers: Record<string, string>, body: unknown = { service: "svc" }) =>
      gateway.call("POST", "/v1/service-token", { headers, body });
    expect((await ask({})).body.error).toBe("missing X-Service-Key");
    expect((await ask({ "x-service-key": owner.apiKey })).body.error).toBe("invalid service key");
    expect((await ask({ "x-service-key": "x" }, {})).body.error).toBe("service is required");
  });
});
