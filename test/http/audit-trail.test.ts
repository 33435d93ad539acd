import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { verifyAuditChain } from "../../src/audit/chain.ts";
import { engines } from "../support/engines.ts";
import { startManagement, type TestManagement, type TestUser } from "../support/management.ts";
import { seedService } from "../support/resources.ts";

describe.each(Object.entries(engines))("the audit trail of the management API on %s", (_engine, open) => {
  let gateway: TestManagement;
  let owner: TestUser;
  const secrets: string[] = [];
  const written: string[] = [];

  beforeAll(async () => {
    gateway = await startManagement({ open });
    owner = await gateway.setUp();
    await seedService(gateway.db, gateway.defaultOrg.uid, { id: "weather" });
  });
  afterAll(() => gateway.close());

  /** A write that must succeed, in the org `default`. */
  async function write(method: string, path: string, body?: unknown, as = owner.token) {
    const answer = await gateway.call(method, path, {
      as,
      headers: { "x-org-id": "default" },
      ...(body === undefined ? {} : { body }),
    });
    expect(answer.status, `${method} ${path}: ${JSON.stringify(answer.body)}`).toBeLessThan(300);
    for (const name of ["api_key", "token", "key"]) if (answer.body?.[name]) secrets.push(answer.body[name]);
    written.push(`${method} ${path}`);
    return answer.body;
  }

  it("has one entry for each write, in order, and the chain verifies", async () => {
    const user = await write("POST", "/v1/users", { name: "U", email: "u@example.com" });
    await write("PUT", `/v1/users/${user.id}`, { name: "V" });
    await write("POST", `/v1/users/${user.id}/rotate-key`);
    const login = await write("POST", "/v1/token", {}, owner.apiKey);
    const refreshed = await write("POST", "/v1/token/refresh", {}, login.token);
    await write("DELETE", "/v1/token", undefined, refreshed.token);
    await write("PUT", "/v1/orgs/default", { domain: "example.com" });
    await write("PUT", `/v1/orgs/default/members/${user.id}`, { role: "admin" });
    await write("DELETE", `/v1/orgs/default/members/${user.id}`);
    await write("POST", "/v1/orgs/default/members", { user_id: user.id });
    await write("POST", "/v1/orgs", { id: "lab", name: "Lab" });
    await gateway.call("DELETE", "/v1/orgs/lab", { as: owner.token });
    await write("POST", "/v1/serviceaccounts", { id: "ci", name: "CI", allowed_services: ["weather"] });
    await write("PUT", "/v1/serviceaccounts/ci", { max_scope: "write" });
    await write("POST", "/v1/serviceaccounts/ci/rotate-key");
    await write("DELETE", "/v1/serviceaccounts/ci");
    await write("DELETE", `/v1/users/${user.id}`);
    await write("POST", "/v1/user/rotate-key");

    const entries = await gateway.call("GET", "/v1/audit", { as: owner.token });
    expect(entries.body.map((entry: { action: string }) => entry.action).toReversed()).toEqual([
      "instance.setup",
      "user.create",
      "user.update",
      "user.rotate_key",
      "session.create",
      "session.refresh",
      "session.end",
      "org.update",
      "member.update",
      "member.remove",
      "member.add",
      "org.create",
      "org.delete",
      "serviceaccount.create",
      "serviceaccount.update",
      "serviceaccount.rotate_key",
      "serviceaccount.delete",
      "user.delete",
      "user.rotate_key",
    ]);
    expect(await verifyAuditChain(gateway.db, gateway.keyring, gateway.defaultOrg.uid)).toEqual({
      intact: true,
      entries: 19,
    });
    expect(entries.body[0]).toMatchObject({
      actor: { kind: "user", id: owner.id },
      target: { kind: "user", id: owner.id },
      outcome: "allowed",
      client_address: "127.0.0.1",
      request_id: expect.stringMatching(/^req_/),
    });
  });

  it("holds no secret, nor does any other table", async () => {
    expect(secrets.length).toBeGreaterThan(5);
    const tables = [
      "audit_entries",
      "users",
      "sessions",
      "service_accounts",
      "idempotency_keys",
      "instance_settings",
    ] as const;
    for (const table of tables) {
      const text = JSON.stringify(await gateway.db.selectFrom(table).selectAll().execute());
      for (const secret of [...secrets, gateway.setupToken]) expect(text.includes(secret), table).toBe(false);
    }
  });

  it("is read page by page, without gaps or repetitions", async () => {
    const seen: number[] = [];
    let cursor: string | null = "";
    do {
      const path: string = `/v1/audit?limit=4${cursor ? `&cursor=${cursor}` : ""}`;
      const { body, headers } = await gateway.call("GET", path, { as: owner.token });
      expect(body.length).toBeLessThanOrEqual(4);
      seen.push(...body.map((entry: { seq: number }) => entry.seq));
      cursor = headers.get("x-next-cursor");
    } while (cursor !== null);
    expect(seen).toEqual(Array.from({ length: 19 }, (_, i) => 19 - i));
  });

  it("is filtered by actor, action, target, outcome and time", async () => {
    const count = async (query: string) => {
      const { body } = await gateway.call("GET", `/v1/audit?${query}`, { as: owner.token });
      return body.length;
    };
    expect(await count("action=user.rotate_key")).toBe(2);
    expect(await count(`action=user.rotate_key&target=${owner.id}`)).toBe(1);
    expect(await count("actor=setup")).toBe(1);
    expect(await count("outcome=failed")).toBe(0);
    expect(await count("from=2023-01-01T00:00:00Z&to=2024-01-01T00:00:00Z")).toBe(19);
    expect(await count("from=2024-01-01T00:00:00Z")).toBe(0);
    const wrong = await gateway.call("GET", "/v1/audit?from=yesterday", { as: owner.token });
    expect([wrong.status, wrong.body.error]).toEqual([400, "invalid from: use RFC3339"]);
  });

  it("has no entry for a write that failed, and nothing of the write", async () => {
    const before = await gateway.db.selectFrom("audit_heads").selectAll().execute();
    const taken = { name: "O", email: owner.email };
    expect((await gateway.call("POST", "/v1/users", { as: owner.token, body: taken })).status).toBe(409);
    expect(await gateway.db.selectFrom("audit_heads").selectAll().execute()).toEqual(before);
  });
});
