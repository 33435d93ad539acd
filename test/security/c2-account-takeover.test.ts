// Attack: anyone who may make users posts the email of an existing one. The reply then carried that user's
// API key and a fresh token for them.
import { afterAll, beforeAll, expect, it } from "vitest";
import { startManagement, type TestManagement, type TestUser } from "../support/management.ts";

let gateway: TestManagement;
let owner: TestUser;
let attacker: TestUser;
beforeAll(async () => {
  gateway = await startManagement();
  owner = await gateway.setUp();
  attacker = await gateway.addUser(owner.token, "admin");
});
afterAll(() => gateway.close());

it.each([
  ["as it is", (email: string) => email],
  ["in other letters", (email: string) => email.toUpperCase()],
  ["with spaces around it", (email: string) => ` ${email} `],
])("an existing email, %s, is a conflict that reveals and changes nothing", async (_how, spell) => {
  const before = await gateway.db.selectFrom("users").selectAll().orderBy("uid").execute();
  const sessions = await gateway.db.selectFrom("sessions").select("uid").execute();
  const answer = await gateway.call("POST", "/v1/users", {
    as: attacker.token,
    body: { name: "Olga", email: spell(owner.email), role: "admin" },
  });
  expect(answer.status).toBe(409);
  expect(Object.keys(answer.body).toSorted()).toEqual(["code", "error", "request_id"]);
  expect(answer.body).toMatchObject({ error: "user already exists", code: "resource.exists" });
  expect(await gateway.db.selectFrom("users").selectAll().orderBy("uid").execute()).toEqual(before);
  expect(await gateway.db.selectFrom("sessions").select("uid").execute()).toEqual(sessions);
});

it("an admin cannot take an owner's API key by rotating it", async () => {
  const answer = await gateway.call("POST", `/v1/users/${owner.id}/rotate-key`, { as: attacker.token });
  expect(answer.status).toBe(403);
  expect((await gateway.call("GET", "/v1/user", { as: owner.apiKey })).status).toBe(200);
});

it("an admin cannot take the API key of a member of theirs who owns another org", async () => {
  const member = await gateway.addUser(owner.token, "member");
  const founded = await gateway.addUser(owner.token, "owner", { org_name: "Founded" });
  const { body } = await gateway.call("GET", "/v1/user", { as: founded.token });
  const orgId = body.orgs[0].org_id;
  const joined = await gateway.call("POST", `/v1/orgs/${orgId}/members`, {
    as: founded.token,
    body: { user_id: member.id, role: "owner" },
  });
  expect(joined.status).toBe(201);
  const answer = await gateway.call("POST", `/v1/users/${member.id}/rotate-key`, { as: attacker.token });
  expect(answer.status).toBe(403);
});

it("two parallel calls with one new email make one user, and only its maker sees the secrets", async () => {
  const body = { name: "New", email: "new@example.com" };
  const answers = await Promise.all(
    Array.from({ length: 8 }, () => gateway.call("POST", "/v1/users", { as: attacker.token, body })),
  );
  expect(answers.filter((answer) => answer.status === 201)).toHaveLength(1);
  expect(answers.filter((answer) => answer.status === 409)).toHaveLength(7);
  expect(answers.filter((answer) => "api_key" in answer.body)).toHaveLength(1);
});

it("what is invalid is refused before anything is written", async () => {
  const before = await gateway.db.selectFrom("users").select("uid").execute();
  for (const wrong of [{ ttl: "forever" }, { role: "god" }, { org_id: "nowhere" }, { api_key: "mine" }]) {
    const answer = await gateway.call("POST", "/v1/users", {
      as: attacker.token,
      body: { name: "X", email: "x@example.com", ...wrong },
    });
    expect([400, 404], JSON.stringify(wrong)).toContain(answer.status);
  }
  expect(await gateway.db.selectFrom("users").select("uid").execute()).toEqual(before);
});
