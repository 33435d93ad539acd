import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { engines } from "../support/engines.ts";
import { type ResourceApi, startResourceApi } from "../support/resource-api.ts";

const SECRET = "sk-live-0123456789abcdef";

describe.each(Object.entries(engines))("services over HTTP on %s", (_engine, open) => {
  let api: ResourceApi;
  let as: string;
  beforeAll(async () => {
    api = await startResourceApi({ open });
    as = api.owner.token;
    const body = { id: "root", api_key: SECRET, origins: ["https://api.example.com", "https://eu.example.com"] };
    await api.call("POST", "/v1/rootkeys", { as, body });
  });
  afterAll(() => api.close());

  const create = (id: string, more: Record<string, unknown> = {}) =>
    api.call("POST", "/v1/services", { as, body: { id, endpoint: "https://api.example.com/v1", ...more } });

  it("registers a service with only an id and an endpoint, on safe defaults", async () => {
    const made = await create("plain", { endpoint: "https://API.example.com:443/v1/" });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({
      id: "plain",
      endpoint: "https://api.example.com/v1",
      root_key_id: "",
      credential_header: "X-API-Key",
      injection: { type: "header", name: "X-API-Key", prefix: "", template: null },
      methods: null,
      paths: null,
      allow_addresses: [],
      forward_cookies: false,
      allow_key_in_query: false,
      credential_echo: "redact",
      managed_by: "api",
      disabled: false,
    });
    expect((await api.call("GET", "/v1/services/plain", { as })).body).toEqual(made.body);
  });

  it.each([
    ["", { type: "header", name: "X-API-Key", prefix: "", template: null }],
    ["X-API-Key", { type: "header", name: "X-API-Key", prefix: "", template: null }],
    ["Authorization", { type: "bearer" }],
    ["authorization", { type: "bearer" }],
    ["X-Goog-Api-Key", { type: "header", name: "X-Goog-Api-Key", prefix: "", template: null }],
  ])("reads credential_header %j of older clients", async (header, injection) => {
    const made = await create(`short-${header || "empty"}`, { credential_header: header, root_key_id: "root" });
    expect([made.status, made.body.root_key_id]).toEqual([201, "root"]);
    expect(made.body.injection).toEqual(injection);
  });

  it("keeps every setting it is given, and PUT replaces them all", async () => {
    const settings = {
      description: "Everything",
      injection: { type: "basic", username: "svc" },
      methods: ["GET", "POST"],
      paths: ["/chat/*", "/models/**"],
      timeouts: { connect_ms: 1, headers_ms: 2, idle_ms: 3, total_ms: 4 },
      http2: "off",
      allow_addresses: ["private", "10.1.0.0/16"],
      allow_headers: ["accept"],
      forward_cookies: true,
      forward_client_address: true,
      allow_key_in_query: true,
      credential_echo: "strict",
      identity_assertion: true,
      identity_audience: "aud",
    };
    const made = await create("full", { ...settings, methods: ["get", "POST"], allow_headers: ["Accept"] });
    expect(made.body).toMatchObject(settings);
    const put = await api.call("PUT", "/v1/services/full", {
      as,
      body: { id: "full", endpoint: "https://eu.example.com", root_key_id: "root" },
    });
    expect(put.status).toBe(200);
    expect(put.body).toMatchObject({
      description: "",
      endpoint: "https://eu.example.com",
      root_key_id: "root",
      methods: null,
      allow_addresses: [],
      identity_assertion: false,
      created_at: made.body.created_at,
    });
  });

  it.each([
    [{ endpoint: undefined }, "endpoint is required", "endpoint"],
    [{ endpoint: "ftp://api.example.com" }, /invalid endpoint/, "endpoint"],
    [{ endpoint: "https://user:pw@api.example.com" }, /invalid endpoint/, "endpoint"],
    [{ endpoint: "https://api.example.com/a/../b" }, /invalid endpoint/, "endpoint"],
    [{ endpoint: "https://api.example.com/?a=b" }, /invalid endpoint/, "endpoint"],
    [{ methods: ["TRACE"] }, /TRACE/, "methods.0"],
    [{ methods: [] }, /empty list/, "methods"],
    [{ paths: ["/a/../b"] }, /path pattern/, "paths.0"],
    [{ allow_addresses: ["everything"] }, /loopback/, "allow_addresses.0"],
    [{ injection: { type: "header", name: "Host" } }, /cannot hold a credential/, "injection.name"],
    [{ injection: { type: "header", name: "X-Bifrost-Key-ID" } }, /cannot hold a credential/, "injection.name"],
    [{ injection: { type: "header", name: "A B" } }, /not a header name/, "injection.name"],
    [{ injection: { type: "header", name: "A", template: "no place" } }, /\{secret\}/, "injection.template"],
    [{ injection: { type: "header", name: "A", prefix: "x\r\nB: c" } }, /printable/, "injection.prefix"],
    [{ injection: { type: "query", name: "a=b" } }, /1 to 64/, "injection.name"],
    [{ injection: { type: "basic", username: "a:b" } }, /colon/, "injection.username"],
    [{ injection: { type: "bearer" }, credential_header: "X" }, /not both/, "credential_header"],
    [{ timeouts: { connect_ms: -1 } }, /connect_ms/, "timeouts.connect_ms"],
    [{ unknown_setting: 1 }, /unknown_setting/, ""],
  ])("refuses %j and names the field", async (more, error, path) => {
    const answer = await create("refused", more);
    expect([answer.status, answer.body.code]).toEqual([400, "request.invalid"]);
    expect(answer.body.error).toMatch(error);
    expect(answer.body.fields[0].path).toBe(path);
    expect((await api.call("GET", "/v1/services/refused", { as })).status).toBe(404);
  });

  it("answers as older clients expect: unknown root key, taken id, mismatching id, unknown service", async () => {
    const noRootKey = await create("orphan", { root_key_id: "nope" });
    expect([noRootKey.status, noRootKey.body.error]).toEqual([404, "root key not found"]);
    await create("taken");
    const taken = await create("taken");
    expect([taken.status, taken.body.error]).toEqual([409, "service already exists"]);
    const body = { id: "other", endpoint: "https://api.example.com" };
    const mismatch = await api.call("PUT", "/v1/services/taken", { as, body });
    expect([mismatch.status, mismatch.body.error]).toEqual([400, "id mismatch"]);
    const unknown = await api.call("PUT", "/v1/services/nope", { as, body: { endpoint: body.endpoint } });
    expect([unknown.status, unknown.body.error]).toEqual([404, "not found"]);
    expect((await api.call("DELETE", "/v1/services/nope", { as })).status).toBe(404);
  });

  it("keeps a service that keys can reach, unless cascade revokes them with it", async () => {
    await create("in-use");
    const key = await api.call("POST", "/v1/keys", { as, body: { id: "holder", target: "in-use" } });
    expect(key.status).toBe(201);
    const refused = await api.call("DELETE", "/v1/services/in-use", { as });
    expect([refused.status, refused.body.error]).toEqual([409, "still in use by 1 key"]);
    expect((await api.call("GET", "/v1/keys/holder", { as })).body.status).toBe("active");

    const changes: unknown[] = [];
    const stop = api.changes.subscribe((change) => changes.push(change));
    expect((await api.call("DELETE", "/v1/services/in-use?cascade=true", { as })).status).toBe(204);
    stop();
    expect(changes).toContainEqual(expect.objectContaining({ kind: "key", revoked: true }));
    expect((await api.call("GET", "/v1/keys/holder", { as })).body).toMatchObject({ status: "revoked", grants: [] });
  });

  it("shows members the services but not their root keys, and lets them change nothing", async () => {
    await create("shown", { root_key_id: "root" });
    const { token } = await api.addUser(as, "member");
    const shown = await api.call("GET", "/v1/services/shown", { as: token });
    expect([shown.status, shown.body.root_key_id]).toEqual([200, ""]);
    expect((await api.call("GET", "/v1/services?root_key_id=root", { as: token })).body).toEqual([]);
    const body = { id: "mine", endpoint: "https://api.example.com" };
    expect((await api.call("POST", "/v1/services", { as: token, body })).status).toBe(403);
    expect((await api.call("PUT", "/v1/services/shown", { as: token, body })).status).toBe(403);
    expect((await api.call("DELETE", "/v1/services/shown", { as: token })).status).toBe(403);
  });

  it("shows service accounts only the services that they may use", async () => {
    await create("for-ci");
    await create("not-for-ci");
    const { apiKey } = await api.addServiceAccount({ allowed_services: ["for-ci"] });
    const listed = await api.call("GET", "/v1/services", { as: apiKey });
    expect(listed.body.map((service: { id: string }) => service.id)).toEqual(["for-ci"]);
    expect((await api.call("GET", "/v1/services/for-ci", { as: apiKey })).status).toBe(200);
    expect((await api.call("GET", "/v1/services/not-for-ci", { as: apiKey })).status).toBe(404);
  });

  it("shows strangers nothing, and lets them use the same id for their own", async () => {
    await create("same-name");
    const { token } = await api.addForeignOwner();
    expect((await api.call("GET", "/v1/services/same-name", { as: token })).status).toBe(404);
    expect((await api.call("DELETE", "/v1/services/same-name", { as: token })).status).toBe(404);
    const own = { id: "same-name", endpoint: "https://other.example" };
    expect((await api.call("POST", "/v1/services", { as: token, body: own })).status).toBe(201);
    expect((await api.call("GET", "/v1/services/same-name", { as })).body.endpoint).toBe("https://api.example.com/v1");
  });

  it("filters by text, root key and who manages it, and pages", async () => {
    const { token } = await api.addForeignOwner();
    const call = (path: string) => api.call("GET", path, { as: token });
    for (const id of ["alpha", "beta", "gamma"]) {
      const body = { id, endpoint: "https://api.example.com", description: id === "beta" ? "The SECOND" : "" };
      await api.call("POST", "/v1/services", { as: token, body });
    }
    const ids = (answer: { body: { id: string }[] }) => answer.body.map((service) => service.id).sort();
    expect(ids(await call("/v1/services?q=second"))).toEqual(["beta"]);
    expect(ids(await call("/v1/services?managed_by=config"))).toEqual([]);
    const first = await call("/v1/services?limit=2");
    const rest = await call(`/v1/services?limit=2&cursor=${first.headers.get("x-next-cursor")}`);
    expect(ids({ body: [...first.body, ...rest.body] })).toEqual(["alpha", "beta", "gamma"]);
  });

  it("refuses every write to what the configuration declares", async () => {
    await create("declared", { root_key_id: "root" });
    await api.db.updateTable("services").set({ managed_by: "config" }).where("id", "=", "declared").execute();
    const body = { endpoint: "https://api.example.com" };
    for (const answer of [
      await api.call("PUT", "/v1/services/declared", { as, body }),
      await api.call("DELETE", "/v1/services/declared?cascade=true", { as }),
    ]) {
      expect([answer.status, answer.body.code]).toEqual([409, "resource.read_only"]);
    }
    expect((await api.call("GET", "/v1/services/declared", { as })).body.managed_by).toBe("config");
  });
});
