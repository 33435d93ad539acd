import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { revealCredential } from "../../src/credentials/reveal.ts";
import { createCredentialStore } from "../../src/credentials/store.ts";
import { engines } from "../support/engines.ts";
import { type ResourceApi, startResourceApi } from "../support/resource-api.ts";

const SECRET = "sk-live-0123456789abcdef";

describe.each(Object.entries(engines))("root keys over HTTP on %s", (_engine, open) => {
  let api: ResourceApi;
  let as: string;
  beforeAll(async () => {
    api = await startResourceApi({ open });
    as = api.owner.token;
  });
  afterAll(() => api.close());

  const create = (id: string, more: Record<string, unknown> = {}) =>
    api.call("POST", "/v1/rootkeys", { as, body: { id, api_key: SECRET, ...more } });
  const currentSecret = async (id: string) => {
    const credentials = createCredentialStore(api.db);
    const row = await api.db.selectFrom("credentials").select("uid").where("id", "=", id).executeTakeFirstOrThrow();
    return (await revealCredential({ credentials, keyring: api.keyring }, row.uid)).secret;
  };

  it("registers a secret and shows it in no reply", async () => {
    const made = await create("openai", { origins: ["https://api.openai.com"] });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({
      id: "openai",
      key_hint: "cdef",
      origins: ["https://api.openai.com"],
      version: 1,
      managed_by: "api",
    });
    const shown = await api.call("GET", "/v1/rootkeys/openai", { as });
    const listed = await api.call("GET", "/v1/rootkeys", { as });
    expect(shown.body.versions).toHaveLength(1);
    expect(listed.body.map((row: { id: string }) => row.id)).toContain("openai");
    for (const { body } of [made, shown, listed]) expect(JSON.stringify(body)).not.toContain(SECRET);
    expect(await currentSecret("openai")).toBe(SECRET);
  });

  it("answers also under the path of older clients", async () => {
    const body = { id: "older-path", api_key: SECRET };
    expect((await api.call("POST", "/v1/user/rootkeys", { as, body })).status).toBe(201);
  });

  it.each([
    [{}, "id and api_key are required", "id"],
    [{ id: "x" }, "id and api_key are required", "api_key"],
    [{ id: "x", api_key: "" }, "id and api_key are required", "api_key"],
    [{ id: "", api_key: "s" }, "id and api_key are required", "id"],
    [{ id: "..", api_key: "s" }, /invalid id/, "id"],
    [{ id: "a/b", api_key: "s" }, /invalid id/, "id"],
    [{ id: "x", api_key: "line\nbreak" }, /control character/, "api_key"],
    [{ id: "x", api_key: " padded" }, /space/, "api_key"],
    [{ id: "x", api_key: "s", origins: ["https://a.example/path"] }, /not an origin/, "origins.0"],
    [{ id: "x", api_key: "s", origins: ["*"] }, /not an origin/, "origins.0"],
    [{ id: "x", api_key: "s", managed_by: "config" }, /managed_by/, ""],
  ])("refuses %j and names the field", async (body, error, path) => {
    const answer = await api.call("POST", "/v1/rootkeys", { as, body });
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({ code: "request.invalid", error: expect.stringMatching(error) });
    expect(answer.body.fields[0].path).toBe(path);
    expect((await api.call("GET", "/v1/rootkeys/x", { as })).status).toBe(404);
  });

  it("refuses a second root key with the same id", async () => {
    await create("twice");
    const again = await create("twice");
    expect([again.status, again.body.error, again.body.code]).toEqual([
      409,
      "root key already exists",
      "resource.exists",
    ]);
  });

  it("replaces the secret with a new version and can go back, at most to the last five", async () => {
    await create("rotating", { api_key: "secret-1", origins: ["https://api.example.com"] });
    for (let n = 2; n <= 7; n++) {
      const answer = await api.call("PUT", "/v1/rootkeys/rotating", { as, body: { api_key: `secret-${n}` } });
      expect([answer.status, answer.body]).toEqual([204, ""]);
    }
    expect(await currentSecret("rotating")).toBe("secret-7");
    const shown = await api.call("GET", "/v1/rootkeys/rotating", { as });
    expect(shown.body.versions.map((v: { version: number }) => v.version)).toEqual([7, 6, 5, 4, 3]);

    const back = await api.call("POST", "/v1/rootkeys/rotating/rollback", { as });
    expect([back.status, back.body.version]).toEqual([200, 8]);
    expect(await currentSecret("rotating")).toBe("secret-6");
    const chosen = await api.call("POST", "/v1/rootkeys/rotating/rollback", { as, body: { version: 5 } });
    expect([chosen.status, chosen.body.version]).toEqual([200, 9]);
    expect(await currentSecret("rotating")).toBe("secret-5");
    for (const version of [1, 9, 99]) {
      const answer = await api.call("POST", "/v1/rootkeys/rotating/rollback", { as, body: { version } });
      expect(answer.status).toBe(404);
    }
  });

  it("has nothing to go back to after the first secret", async () => {
    await create("only-one");
    expect((await api.call("POST", "/v1/rootkeys/only-one/rollback", { as })).status).toBe(404);
  });

  it("refuses a PUT with another id, and of a root key that does not exist", async () => {
    await create("fixed-id");
    const mismatch = await api.call("PUT", "/v1/rootkeys/fixed-id", { as, body: { id: "other", api_key: SECRET } });
    expect([mismatch.status, mismatch.body.error]).toEqual([400, "id mismatch"]);
    const same = await api.call("PUT", "/v1/rootkeys/fixed-id", { as, body: { id: "fixed-id", api_key: SECRET } });
    expect(same.status).toBe(204);
    const missing = await api.call("PUT", "/v1/rootkeys/nope", { as, body: { api_key: SECRET } });
    expect([missing.status, missing.body.error]).toEqual([404, "not found"]);
  });

  it("deletes a root key only while no service uses it, and says which does", async () => {
    await create("needed");
    const service = { id: "needs-it", endpoint: "https://api.example.com", root_key_id: "needed" };
    expect((await api.call("POST", "/v1/services", { as, body: service })).status).toBe(201);
    const refused = await api.call("DELETE", "/v1/rootkeys/needed", { as });
    expect([refused.status, refused.body.code]).toEqual([409, "resource.in_use"]);
    expect(refused.body.error).toContain("needs-it");
    await api.call("DELETE", "/v1/services/needs-it", { as });
    expect((await api.call("DELETE", "/v1/rootkeys/needed", { as })).status).toBe(204);
    expect((await api.call("DELETE", "/v1/rootkeys/needed", { as })).status).toBe(404);
  });

  it("does not narrow origins away from a service that uses the root key", async () => {
    await create("narrow", { origins: ["https://a.example", "https://b.example"] });
    await api.call("POST", "/v1/services", {
      as,
      body: { id: "at-b", endpoint: "https://b.example/v1", root_key_id: "narrow" },
    });
    const body = { api_key: SECRET, origins: ["https://a.example"] };
    const refused = await api.call("PUT", "/v1/rootkeys/narrow", { as, body });
    expect([refused.status, refused.body.code]).toEqual([409, "resource.in_use"]);
    expect((await api.call("GET", "/v1/rootkeys/narrow", { as })).body.version).toBe(1);
  });

  it("keeps members, strangers and anonymous callers out", async () => {
    await create("guarded");
    const member = await api.addUser(as, "member");
    const stranger = await api.addForeignOwner();
    const statuses = async (who: string | undefined) => {
      const calls: [string, string, unknown?][] = [
        ["GET", "/v1/rootkeys/guarded"],
        ["PUT", "/v1/rootkeys/guarded", { api_key: "stolen" }],
        ["POST", "/v1/rootkeys/guarded/rollback", {}],
        ["DELETE", "/v1/rootkeys/guarded"],
      ];
      return Promise.all(
        calls.map(async ([method, path, body]) => (await api.call(method, path, { as: who, body })).status),
      );
    };
    expect(await statuses(member.token)).toEqual([403, 403, 403, 403]);
    expect(await statuses(stranger.token)).toEqual([404, 404, 404, 404]);
    expect(await statuses(undefined)).toEqual([401, 401, 401, 401]);
    expect((await api.call("GET", "/v1/rootkeys", { as: stranger.token })).body).toEqual([]);
  });

  it("records each write on the audit trail, without the secret", async () => {
    await create("audited", { api_key: "sk-audit-me-0123456789" });
    await api.call("PUT", "/v1/rootkeys/audited", { as, body: { api_key: "sk-audit-you-0123456789" } });
    await api.call("POST", "/v1/rootkeys/audited/rollback", { as });
    await api.call("DELETE", "/v1/rootkeys/audited", { as });
    const { body } = await api.call("GET", "/v1/audit?target=audited", { as });
    expect(body.map((entry: { action: string }) => entry.action)).toEqual([
      "rootkey.delete",
      "rootkey.rollback",
      "rootkey.update",
      "rootkey.create",
    ]);
    expect(JSON.stringify(body)).not.toContain("sk-audit");
  });

  it("pages through the list with X-Next-Cursor", async () => {
    const stranger = await api.addForeignOwner();
    for (const id of ["p1", "p2", "p3"]) {
      await api.call("POST", "/v1/rootkeys", { as: stranger.token, body: { id, api_key: SECRET } });
    }
    const first = await api.call("GET", "/v1/rootkeys?limit=2", { as: stranger.token });
    const cursor = first.headers.get("x-next-cursor") ?? "";
    const rest = await api.call("GET", `/v1/rootkeys?limit=2&cursor=${cursor}`, { as: stranger.token });
    expect(rest.headers.get("x-next-cursor")).toBeNull();
    const ids = [...first.body, ...rest.body].map((row: { id: string }) => row.id);
    expect(ids.sort()).toEqual(["p1", "p2", "p3"]);
    expect((await api.call("GET", "/v1/rootkeys?cursor=forged", { as })).status).toBe(400);
    expect((await api.call("GET", "/v1/rootkeys?limit=201", { as })).status).toBe(400);
  });
});
