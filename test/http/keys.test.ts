import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { secretKind } from "../../src/core/secret.ts";
import { createKeyStore } from "../../src/keys/store.ts";
import { engines } from "../support/engines.ts";
import { type ResourceApi, startResourceApi } from "../support/resource-api.ts";

const HOUR = 3_600_000;

describe.each(Object.entries(engines))("virtual keys over HTTP on %s", (_engine, open) => {
  let api: ResourceApi;
  let as: string;
  beforeAll(async () => {
    api = await startResourceApi({ open });
    as = api.owner.token;
    for (const id of ["openai", "github"]) {
      const body = { id, endpoint: `https://${id}.example.com` };
      await api.call("POST", "/v1/services", { as, body });
    }
  });
  afterAll(() => api.close());

  const issue = (body: Record<string, unknown>, who = as) => api.call("POST", "/v1/keys", { as: who, body });
  const bySecret = (secret: string) =>
    createKeyStore(api.db).findBySecretHash(api.keyring.hashSecret(secret), api.clock.now());
  const ids = (answer: { body: { id: string }[] }) => answer.body.map((key) => key.id).sort();

  it("issues a key from a target alone: an hour, read, 60 a minute, secret shown once", async () => {
    const made = await issue({ target: "openai" });
    expect(made.status).toBe(201);
    const { virtual_key: secret, ...shown } = made.body;
    expect(secretKind(secret)).toBe("bfk");
    expect(shown).toMatchObject({
      target: "openai",
      grants: [{ service: "openai", methods: null, paths: null }],
      scope: "read",
      rate_limit: 60,
      max_uses: null,
      one_shot: false,
      status: "active",
      source: "api",
      owner: { kind: "user", id: api.owner.id },
      expires_at: new Date(api.clock.now() + HOUR).toISOString(),
      key_hint: secret.slice(-4),
    });
    expect((await bySecret(secret))?.id).toBe(shown.id);
    const again = await api.call("GET", `/v1/keys/${shown.id}`, { as });
    expect(again.body).toEqual(shown);
    expect(JSON.stringify(again.body)).not.toMatch(/hash/);
  });

  it("keeps all that it is asked for", async () => {
    const body = {
      id: "chosen",
      name: "Nightly",
      grants: [
        { service: "openai", methods: ["post"], paths: ["/v1/chat/*"] },
        { mcp_server: "github", tools: ["get_*"] },
      ],
      scope: "write",
      ttl: "1h30m",
      rate_limit: 5,
      max_concurrency: 2,
      max_uses: 10,
      agent_id: "coder@ci",
      metadata: { team: "search" },
    };
    const made = await issue(body);
    const { ttl: _ttl, ...same } = body;
    expect(made.body).toMatchObject({
      ...same,
      grants: [{ service: "openai", methods: ["POST"], paths: ["/v1/chat/*"] }, body.grants[1]],
      target: null,
      expires_at: new Date(api.clock.now() + 1.5 * HOUR).toISOString(),
    });
    const taken = await issue({ id: "chosen", target: "openai" });
    expect([taken.status, taken.body.error]).toEqual([409, "key already exists"]);
  });

  it.each([
    [{ ttl_seconds: 60 }, 60_000],
    [{ ttl: "7d" }, 7 * 24 * HOUR],
    [{ expires_at: new Date(1_700_000_000_000 + HOUR / 2).toISOString() }, HOUR / 2],
    [{ expires_at: "2023-11-15T00:00:00+01:00" }, Date.parse("2023-11-14T23:00:00Z") - 1_700_000_000_000],
  ])("reads an expiry as %j", async (expiry, ttlMs) => {
    const made = await issue({ target: "openai", ...expiry });
    expect(made.body.expires_at).toBe(new Date(api.clock.now() + ttlMs).toISOString());
  });

  it.each([
    [{}, /target is required/, "target"],
    [{ target: "" }, /target is required/, "target"],
    [{ target: "openai", grants: [{ service: "openai" }] }, /not both/, "grants"],
    [{ grants: [] }, /reach nothing/, "grants"],
    [{ grants: [{ service: "openai" }, { service: "openai" }] }, /granted twice/, "grants.1.service"],
    [{ target: "openai", scope: "admin" }, "invalid scope", "scope"],
    [{ target: "openai", rate_limit: 0 }, "invalid rate_limit", "rate_limit"],
    [{ target: "openai", rate_limit: -1 }, "invalid rate_limit", "rate_limit"],
    [{ target: "openai", ttl: "soon" }, /invalid ttl/, "ttl"],
    [{ target: "openai", ttl: "1h", ttl_seconds: 5 }, /give one of/, "expires_at"],
    [{ target: "openai", expires_at: "2001-01-01T00:00:00Z" }, "expires_at must be in the future", "expires_at"],
    [{ target: "openai", expires_at: "tomorrow" }, /RFC3339/, "expires_at"],
    [{ target: "openai", one_shot: true, max_uses: 3 }, /one_shot/, "max_uses"],
    [{ target: "openai", agent_id: "../../etc" }, /1 to 128/, "agent_id"],
    [{ target: "openai", id: "a b" }, /invalid id/, "id"],
    [{ target: "openai", metadata: { a: 1 } }, /metadata/, "metadata.a"],
  ])("refuses %j and names the field", async (body, error, path) => {
    const answer = await issue(body);
    expect([answer.status, answer.body.code]).toEqual([400, "request.invalid"]);
    expect(answer.body.error).toMatch(error);
    expect(answer.body.fields[0].path).toBe(path);
  });

  it("answers 404 for a service that does not exist, and writes nothing", async () => {
    const answer = await issue({ id: "no-service", target: "nope" });
    expect([answer.status, answer.body.error, answer.body.code]).toEqual([
      404,
      "service not found",
      "service.not_found",
    ]);
    expect(answer.body.fields[0].path).toBe("target");
    expect((await api.call("GET", "/v1/keys/no-service", { as })).status).toBe(404);
  });

  it("holds each caller to its ceilings and names the argument", async () => {
    const member = await api.addUser(as, "member");
    const account = await api.addServiceAccount({ max_ttl_seconds: 60, max_rate_limit: 5, max_scope: "read" });
    const refusals: [string, Record<string, unknown>, string, RegExp][] = [
      [as, { ttl: "91d" }, "ttl", /7776000 seconds/],
      [as, { rate_limit: 100_001 }, "rate_limit", /100000 per minute/],
      [member.token, { ttl_seconds: 86_401 }, "ttl_seconds", /86400 seconds/],
      [member.token, { rate_limit: 601 }, "rate_limit", /600 per minute/],
      [account.apiKey, { ttl_seconds: 61, rate_limit: 5 }, "ttl_seconds", /60 seconds/],
      [account.apiKey, { ttl_seconds: 60, rate_limit: 6 }, "rate_limit", /5 per minute/],
      [account.apiKey, { ttl_seconds: 60, rate_limit: 5, scope: "write" }, "scope", /at most read/],
    ];
    for (const [who, body, path, message] of refusals) {
      const answer = await issue({ target: "openai", ...body }, who);
      expect([answer.status, answer.body.code]).toEqual([403, "ceiling.exceeded"]);
      expect(answer.body.fields).toEqual([{ path, message: expect.stringMatching(message) }]);
    }
    const allowed = await issue({ target: "openai", ttl_seconds: 60, rate_limit: 5 }, account.apiKey);
    expect(allowed.body.owner).toEqual({ kind: "service_account", id: account.id });
  });

  it("lets a service account grant only the services that it may use, and only admins grant MCP servers", async () => {
    const account = await api.addServiceAccount({ allowed_services: ["github"] });
    const member = await api.addUser(as, "member");
    expect((await issue({ target: "github" }, account.apiKey)).status).toBe(201);
    expect((await issue({ target: "openai" }, account.apiKey)).body.code).toBe("service.not_found");
    const server = { grants: [{ mcp_server: "github" }] };
    expect((await issue(server, account.apiKey)).body.code).toBe("auth.forbidden");
    expect((await issue(server, member.token)).body.code).toBe("auth.forbidden");
  });

  it("keeps what a grant of an MCP server says, down to arguments, through change and look-up", async () => {
    const grant = {
      mcp_server: "git*",
      tools: ["get_*", "create_issue"],
      prompts: ["review"],
      resources: ["file:///docs/*"],
      arguments: [
        { tool: "create_issue", argument: "repo.owner", allow: ["octo", "acme-*", 7, 0.5, true] },
        { tool: "*", argument: "ünïcode", allow: ["**"] },
      ],
    };
    expect((await issue({ id: "mcp", grants: [grant] })).body.grants).toEqual([grant]);
    expect((await api.call("GET", "/v1/keys/mcp", { as })).body.grants).toEqual([grant]);
    const plain = { mcp_server: "files", tools: null, prompts: null, resources: null, arguments: [] };
    const changed = await api.call("PUT", "/v1/keys/mcp", { as, body: { grants: [{ mcp_server: "files" }] } });
    expect(changed.body).toMatchObject({ target: null, grants: [plain] });
  });

  it.each([
    ["an unknown member", { args: [] }],
    ["an empty list of tools", { tools: [] }],
    ["an empty list of prompts", { prompts: [] }],
    ["a rule that allows nothing", { arguments: [{ tool: "t", argument: "a", allow: [] }] }],
    ["null as a value", { arguments: [{ tool: "t", argument: "a", allow: [null] }] }],
    ["an object as a value", { arguments: [{ tool: "t", argument: "a", allow: [{ regex: "x" }] }] }],
    ["a path with an empty name", { arguments: [{ tool: "t", argument: "a..b", allow: ["x"] }] }],
    ["a path of nine names", { arguments: [{ tool: "t", argument: "a.a.a.a.a.a.a.a.a", allow: ["x"] }] }],
    ["nine stars", { arguments: [{ tool: "t", argument: "a", allow: ["*a*a*a*a*a*a*a*a*"] }] }],
    ["a tool with a blank", { arguments: [{ tool: "t t", argument: "a", allow: ["x"] }] }],
    ["65 rules", { arguments: Array.from({ length: 65 }, () => ({ tool: "t", argument: "a", allow: ["x"] })) }],
    ["a server with a slash", { mcp_server: "../x" }],
  ])("refuses a grant of an MCP server with %s, rather than guess what it means", async (_what, change) => {
    const refused = await issue({ grants: [{ mcp_server: "github", ...change }] });
    expect([refused.status, refused.body.code]).toEqual([400, "request.invalid"]);
  });

  it("shows and changes a key only for its owner and admins; for others it does not exist", async () => {
    const [first, second] = [await api.addUser(as, "member"), await api.addUser(as, "member")];
    const admin = await api.addUser(as, "admin");
    const stranger = await api.addForeignOwner();
    await issue({ id: "owned", target: "openai" }, first.token);
    for (const [who, status] of [
      [first.token, 200],
      [admin.token, 200],
      [second.token, 404],
      [stranger.token, 404],
    ] as const) {
      expect((await api.call("GET", "/v1/keys/owned", { as: who })).status).toBe(status);
      expect((await api.call("PUT", "/v1/keys/owned", { as: who, body: { name: "x" } })).status).toBe(status);
      expect((await api.call("POST", "/v1/keys/owned/rotate", { as: who })).status).toBe(status);
    }
    expect(ids(await api.call("GET", "/v1/keys", { as: first.token }))).toEqual(["owned"]);
    expect(ids(await api.call("GET", "/v1/keys", { as: second.token }))).toEqual([]);
    expect(ids(await api.call("GET", `/v1/keys?owner=${first.id}`, { as: admin.token }))).toEqual(["owned"]);
    expect(ids(await api.call("GET", `/v1/keys?owner=${first.id}`, { as: second.token }))).toEqual([]);
    expect((await api.call("DELETE", "/v1/keys/owned", { as: second.token })).status).toBe(404);
    expect((await api.call("DELETE", "/v1/keys/owned", { as: stranger.token })).status).toBe(404);
    expect((await api.call("GET", "/v1/keys/owned", { as: first.token })).body.status).toBe("active");
  });

  it("revokes for good, repeatably, and tells the caches", async () => {
    await issue({ id: "ending", target: "openai" });
    const changes: unknown[] = [];
    const stop = api.changes.subscribe((change) => changes.push(change));
    for (let i = 0; i < 2; i++) expect((await api.call("DELETE", "/v1/keys/ending", { as })).status).toBe(204);
    stop();
    expect(changes[0]).toMatchObject({ kind: "key", revoked: true });
    expect((await api.call("GET", "/v1/keys/ending", { as })).body.status).toBe("revoked");
    expect((await api.call("PUT", "/v1/keys/ending", { as, body: { ttl: "1h" } })).status).toBe(409);
    expect((await api.call("POST", "/v1/keys/ending/rotate", { as })).status).toBe(409);
    const unknown = await api.call("DELETE", "/v1/keys/nope", { as });
    expect([unknown.status, unknown.body.error]).toEqual([404, "not found"]);
  });

  it("rotates to a new secret, with the old one valid for the grace that was asked for", async () => {
    const made = await issue({ id: "rotating", target: "openai" });
    const rotated = await api.call("POST", "/v1/keys/rotating/rotate", { as, body: { grace_seconds: 60 } });
    expect(rotated.status).toBe(200);
    expect(rotated.body.virtual_key).not.toBe(made.body.virtual_key);
    expect(rotated.body.previous_secret_expires_at).toBe(new Date(api.clock.now() + 60_000).toISOString());
    expect((await bySecret(made.body.virtual_key))?.id).toBe("rotating");
    const last = await api.call("POST", "/v1/keys/rotating/rotate", { as, body: { grace_seconds: 0 } });
    expect(await bySecret(made.body.virtual_key)).toBeNull();
    expect(await bySecret(rotated.body.virtual_key)).toBeNull();
    expect((await bySecret(last.body.virtual_key))?.id).toBe("rotating");
    expect(last.body.previous_secret_expires_at).toBeNull();
    const tooLong = await api.call("POST", "/v1/keys/rotating/rotate", { as, body: { grace_seconds: 86_401 } });
    expect(tooLong.status).toBe(400);
  });

  it("changes what PUT names, within the caller's ceilings", async () => {
    const member = await api.addUser(as, "member");
    const made = await issue({ id: "changing", target: "openai", metadata: { a: "1" } }, member.token);
    const put = (body: Record<string, unknown>) => api.call("PUT", "/v1/keys/changing", { as: member.token, body });
    const changed = await put({ scope: "write", target: "github", one_shot: true });
    expect(changed.body).toMatchObject({ scope: "write", target: "github", max_uses: 1, metadata: { a: "1" } });
    expect(changed.body.expires_at).toBe(made.body.expires_at);
    expect((await put({ ttl: "25h" })).body.code).toBe("ceiling.exceeded");
    expect((await put({ rate_limit: 601 })).body.code).toBe("ceiling.exceeded");
    expect((await put({ target: "nope" })).body.code).toBe("service.not_found");
    expect((await put({ id: "other" })).body.error).toBe("id mismatch");
  });

  it("gives a repeated creation the first one's reply, secret included, and makes one key", async () => {
    const repeat = () =>
      api.call("POST", "/v1/keys", {
        as,
        headers: { "idempotency-key": "once" },
        body: { name: "once", target: "openai" },
      });
    const [first, second] = [await repeat(), await repeat()];
    expect(second.body).toEqual(first.body);
    expect((await api.call("GET", "/v1/keys?q=once", { as })).body).toHaveLength(1);
  });

  it("filters lists, and rejects a filter that it does not know", async () => {
    const { token } = await api.addForeignOwner();
    const body = { id: "svc", endpoint: "https://api.example.com" };
    await api.call("POST", "/v1/services", { as: token, body });
    await issue({ id: "one", target: "svc", agent_id: "a1" }, token);
    await issue({ id: "two", target: "svc", name: "Second" }, token);
    await api.call("DELETE", "/v1/keys/two", { as: token });
    const list = (query: string) => api.call("GET", `/v1/keys?${query}`, { as: token });
    expect(ids(await list("target=svc"))).toEqual(["one", "two"]);
    expect(ids(await list("agent_id=a1"))).toEqual(["one"]);
    expect(ids(await list("status=revoked"))).toEqual(["two"]);
    expect(ids(await list("status=active&source=api"))).toEqual(["one"]);
    expect(ids(await list("source=mcp"))).toEqual([]);
    expect(ids(await list("q=second"))).toEqual(["two"]);
    expect((await list("stauts=active")).status).toBe(400);
    const first = await list("limit=1");
    const rest = await list(`limit=1&cursor=${first.headers.get("x-next-cursor")}`);
    expect(ids({ body: [...first.body, ...rest.body] })).toEqual(["one", "two"]);
  });
});
