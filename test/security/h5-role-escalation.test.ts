// Attack: an admin makes themselves or a friend an owner; a user that does not exist becomes a member; the
// last owner is removed and the org belongs to nobody.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { engines } from "../support/engines.ts";
import { startManagement, type TestManagement, type TestUser } from "../support/management.ts";

describe.each(Object.entries(engines))("role escalation on %s", (_engine, open) => {
  let gateway: TestManagement;
  let owner: TestUser;
  let admin: TestUser;
  let member: TestUser;
  const members = "/v1/orgs/default/members";
  beforeAll(async () => {
    gateway = await startManagement({ open });
    owner = await gateway.setUp();
    admin = await gateway.addUser(owner.token, "admin");
    member = await gateway.addUser(owner.token, "member");
  });
  afterAll(() => gateway.close());

  it("nobody gives, takes or changes a role above their own", async () => {
    const attempts: [string, string, unknown?][] = [
      ["POST", "/v1/users", { name: "F", email: "friend@example.com", role: "owner" }],
      ["PUT", `${members}/${admin.id}`, { role: "owner" }],
      ["PUT", `${members}/${member.id}`, { role: "owner" }],
      ["PUT", `${members}/${owner.id}`, { role: "member" }],
      ["DELETE", `${members}/${owner.id}`],
      ["PUT", `/v1/users/${owner.id}`, { email: "mine@example.com" }],
      ["DELETE", `/v1/users/${owner.id}`],
    ];
    for (const [method, path, body] of attempts) {
      const answer = await gateway.call(method, path, { as: admin.token, ...(body === undefined ? {} : { body }) });
      expect([answer.status, answer.body.code], `${method} ${path}`).toEqual([403, "auth.forbidden"]);
    }
    await gateway.denials.flush();
    const { body } = await gateway.call("GET", `/v1/audit?outcome=denied&actor=${admin.id}`, { as: owner.token });
    expect(body).toHaveLength(attempts.length);
  });

  it("an admin may do up to their own rank", async () => {
    expect(
      (await gateway.call("PUT", `${members}/${member.id}`, { as: admin.token, body: { role: "admin" } })).status,
    ).toBe(200);
    expect(
      (await gateway.call("PUT", `${members}/${member.id}`, { as: admin.token, body: { role: "member" } })).status,
    ).toBe(200);
  });

  it("a changed role holds on the next request", async () => {
    const user = await gateway.addUser(owner.token, "admin");
    expect((await gateway.call("GET", "/v1/users", { as: user.token })).status).toBe(200);
    await gateway.call("PUT", `${members}/${user.id}`, { as: owner.token, body: { role: "member" } });
    expect((await gateway.call("GET", "/v1/users", { as: user.token })).status).toBe(403);
  });

  it("a user who does not exist cannot become a member", async () => {
    const answer = await gateway.call("POST", members, { as: owner.token, body: { user_id: "usr_ghost" } });
    expect([answer.status, answer.body.error]).toEqual([404, "user not found"]);
  });

  it("whoever makes an org is its owner", async () => {
    const made = await gateway.call("POST", "/v1/orgs", { as: owner.token, body: { id: "lab", name: "Lab" } });
    expect(made.status).toBe(201);
    const { body } = await gateway.call("GET", "/v1/orgs/lab/members", { as: owner.token });
    expect(body).toMatchObject([{ user_id: owner.id, role: "owner", org_id: "lab" }]);
  });

  it("the last owner of an org stays", async () => {
    const at = { as: owner.token };
    const gone = [
      await gateway.call("DELETE", `/v1/orgs/lab/members/${owner.id}`, at),
      await gateway.call("PUT", `/v1/orgs/lab/members/${owner.id}`, { ...at, body: { role: "admin" } }),
      await gateway.call("DELETE", `/v1/users/${owner.id}`, at),
    ];
    for (const answer of gone) expect([answer.status, answer.body.code]).toEqual([409, "resource.conflict"]);
  });

  it("two owners who remove each other at the same moment leave one", async () => {
    for (let round = 0; round < 5; round++) {
      const id = `pair-${round}`;
      await gateway.call("POST", "/v1/orgs", { as: owner.token, body: { id, name: id } });
      const other = await gateway.addUser(owner.token, "owner", { org_id: id });
      const answers = await Promise.all([
        gateway.call("DELETE", `/v1/orgs/${id}/members/${other.id}`, { as: owner.token }),
        gateway.call("DELETE", `/v1/orgs/${id}/members/${owner.id}`, { as: other.token }),
        gateway.call("PUT", `/v1/orgs/${id}/members/${owner.id}`, { as: other.token, body: { role: "member" } }),
      ]);
      expect(answers.filter((answer) => answer.status < 300).length).toBeLessThanOrEqual(2);
      const org = await gateway.db.selectFrom("orgs").select("uid").where("id", "=", id).executeTakeFirstOrThrow();
      const owners = await gateway.db
        .selectFrom("memberships")
        .select("user_uid")
        .where("org_uid", "=", org.uid)
        .where("role", "=", "owner")
        .execute();
      expect(owners.length).toBeGreaterThanOrEqual(1);
    }
  });
});
