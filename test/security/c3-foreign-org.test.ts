// Attack: a member of one org reads, changes and deletes what is another org's, makes themselves an owner
// there, deletes the org. Roles and orgs were stored and never enforced.
import { afterAll, beforeAll, expect, it } from "vitest";
import { startManagement, type TestManagement, type TestUser } from "../support/management.ts";

let gateway: TestManagement;
let owner: TestUser;
let victim: TestUser;
let attacker: TestUser;
beforeAll(async () => {
  gateway = await startManagement();
  owner = await gateway.setUp();
  attacker = await gateway.addUser(owner.token, "owner", { org_name: "Evil" });
  victim = await gateway.addUser(owner.token, "member", { org_id: "default" });
  await gateway.call("POST", "/v1/serviceaccounts", {
    as: owner.token,
    headers: { "x-org-id": "default" },
    body: { id: "ci", name: "CI", allowed_services: ["*"] },
  });
});
afterAll(() => gateway.close());

it("every call on another org's things is 404, with valid bodies and as an owner at home", async () => {
  const attempts: [string, string, unknown?][] = [
    ["GET", "/v1/orgs/default"],
    ["PUT", "/v1/orgs/default", { name: "Mine" }],
    ["DELETE", "/v1/orgs/default?cascade=true"],
    ["GET", "/v1/orgs/default/members"],
    ["POST", "/v1/orgs/default/members", { user_id: attacker.id, role: "owner" }],
    ["PUT", `/v1/orgs/default/members/${victim.id}`, { role: "admin" }],
    ["DELETE", `/v1/orgs/default/members/${victim.id}`],
    ["PUT", `/v1/users/${victim.id}`, { name: "Owned" }],
    ["DELETE", `/v1/users/${victim.id}`],
    ["POST", `/v1/users/${victim.id}/rotate-key`],
    ["POST", "/v1/users", { name: "Back door", email: "door@example.com", role: "owner", org_id: "default" }],
    ["GET", "/v1/serviceaccounts/ci"],
    ["PUT", "/v1/serviceaccounts/ci", { allowed_services: ["*"] }],
    ["POST", "/v1/serviceaccounts/ci/rotate-key"],
    ["DELETE", "/v1/serviceaccounts/ci"],
  ];
  const before = await snapshot();
  for (const [method, path, body] of attempts) {
    const answer = await gateway.call(method, path, { as: attacker.token, ...(body === undefined ? {} : { body }) });
    expect([answer.status, answer.body.code], `${method} ${path}`).toEqual([404, "resource.not_found"]);
  }
  expect(await snapshot()).toEqual(before);
});

it("lists hold nothing of another org", async () => {
  const ids = async (path: string) => {
    const { body } = await gateway.call("GET", path, { as: attacker.token });
    return body.map((item: { id: string }) => item.id);
  };
  expect(await ids("/v1/users")).not.toContain(victim.id);
  expect(await ids("/v1/serviceaccounts")).toEqual([]);
  expect(await ids("/v1/orgs")).not.toContain("default");
  const audit = await gateway.call("GET", "/v1/audit", { as: attacker.token });
  expect(JSON.stringify(audit.body)).not.toContain(victim.id);
});

it("X-Org-ID does not open a door: it names only orgs of the caller", async () => {
  const answer = await gateway.call("GET", "/v1/users", { as: attacker.token, headers: { "x-org-id": "default" } });
  expect(answer.status).toBe(404);
});

it("a token of a member who was removed ends at once, and so does the API key in that org", async () => {
  const member = await gateway.addUser(owner.token, "member", { org_id: "default" });
  const headers = { "x-org-id": "default" };
  expect((await gateway.call("GET", "/v1/user", { as: member.token })).status).toBe(200);
  const removed = await gateway.call("DELETE", `/v1/orgs/default/members/${member.id}`, { as: owner.token });
  expect(removed.status).toBe(204);
  for (const as of [member.token, member.apiKey]) {
    expect((await gateway.call("GET", "/v1/user", { as })).status).toBe(401);
    expect((await gateway.call("GET", "/v1/user", { as, headers })).status).toBe(401);
  }
});

async function snapshot() {
  const { db } = gateway;
  return {
    orgs: await db.selectFrom("orgs").selectAll().orderBy("uid").execute(),
    users: await db.selectFrom("users").selectAll().orderBy("uid").execute(),
    memberships: await db.selectFrom("memberships").selectAll().orderBy("user_uid").orderBy("org_uid").execute(),
    accounts: await db.selectFrom("service_accounts").selectAll().execute(),
  };
}
