import { afterEach, describe, expect, it } from "vitest";
import { createSetupToken } from "../../src/identity/setup.ts";
import { startManagement, type TestManagement } from "../support/management.ts";

describe("POST /v1/setup", () => {
  let gateway: TestManagement;
  afterEach(() => gateway.close());
  const body = { name: "Olga", email: "Olga@Example.com", org_name: "Acme" };

  it("makes the owner of the default org, renames it and shows both secrets once", async () => {
    gateway = await startManagement();
    const answer = await gateway.call("POST", "/v1/setup", { body: { ...body, setup_token: gateway.setupToken } });
    expect(answer.status).toBe(201);
    expect(answer.body).toMatchObject({ name: "Olga", email: "olga@example.com" });
    expect(answer.body.api_key).toMatch(/^bfu_/);
    const self = await gateway.call("GET", "/v1/user", { as: answer.body.token });
    expect(self.body.orgs).toEqual([{ org_id: "default", name: "Acme", role: "owner" }]);
    const byKey = await gateway.call("GET", "/v1/user", { headers: { "x-api-key": answer.body.api_key } });
    expect(byKey.body).toEqual(self.body);
    const dump = JSON.stringify(await gateway.db.selectFrom("users").selectAll().execute());
    expect(dump).not.toContain(answer.body.api_key);
  });

  it("runs once: afterwards the token is void and the answer 409", async () => {
    gateway = await startManagement();
    await gateway.setUp();
    const again = await gateway.call("POST", "/v1/setup", { headers: { "x-setup-token": gateway.setupToken }, body });
    expect(again.status).toBe(409);
    expect(again.body).toMatchObject({ error: "already initialized", code: "setup.done" });
    expect(await createSetupToken(gateway.db, gateway.keyring, { renew: true })).toBeNull();
  });

  it.each([
    ["no token", {}],
    ["a wrong token", { "x-setup-token": "bfx_000000000000000000000000000000000000000" }],
  ])("refuses %s, writes no user and audits the attempt", async (_name, headers) => {
    gateway = await startManagement();
    const answer = await gateway.call("POST", "/v1/setup", { headers, body });
    expect(answer.status).toBe(401);
    expect(answer.body.code).toBe("setup.token_invalid");
    expect(await gateway.db.selectFrom("users").selectAll().execute()).toEqual([]);
    const [entry] = await gateway.db.selectFrom("audit_entries").selectAll().execute();
    expect(entry).toMatchObject({ action: "instance.setup", outcome: "failed" });
  });

  it("accepts a token that the operator provided, instead of the printed one", async () => {
    gateway = await startManagement();
    const provided = "a-token-from-the-environment";
    expect(await createSetupToken(gateway.db, gateway.keyring, { provided })).toBeNull();
    const old = await gateway.call("POST", "/v1/setup", { headers: { "x-setup-token": gateway.setupToken }, body });
    expect(old.status).toBe(401);
    const answer = await gateway.call("POST", "/v1/setup", { headers: { "x-setup-token": provided }, body });
    expect(answer.status).toBe(201);
  });

  it("prints a token once, and a new one only when asked", async () => {
    gateway = await startManagement();
    expect(await createSetupToken(gateway.db, gateway.keyring)).toBeNull();
    const renewed = await createSetupToken(gateway.db, gateway.keyring, { renew: true });
    expect(renewed).toMatch(/^bfx_/);
    const old = await gateway.call("POST", "/v1/setup", { headers: { "x-setup-token": gateway.setupToken }, body });
    expect(old.status).toBe(401);
  });

  it("names the field that is wrong", async () => {
    gateway = await startManagement();
    const answer = await gateway.call("POST", "/v1/setup", { body: { name: "Olga" } });
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({
      error: "name and email are required",
      fields: [{ path: "email", message: "name and email are required" }],
    });
  });
});
