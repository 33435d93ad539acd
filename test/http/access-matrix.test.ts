// Every management route, called as everyone. The expectations are written by hand, apart from the
// permissions they check, and a route without one fails: a new route cannot be forgotten here.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Route } from "../../src/http/route.ts";
import { newSecret } from "../../src/core/secret.ts";
import { addUser, type Answer, type Call, type TestUser } from "../support/management.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";

/** Who of owner, admin, member and service account (o, a, m, s) may; all others never. `public`: needs no credential. */
const EXPECTED: Record<string, string> = {
  isAlive: "public",
  isReady: "public",
  getVersion: "public",
  getSigningKeys: "public",
  getMetrics: "oas",
  setUp: "public",
  issueServiceToken: "public",
  logIn: "oam",
  refreshToken: "oam",
  logOut: "oam",
  getSelf: "oam",
  rotateOwnKey: "oam",
  createUser: "oa",
  listUsers: "oa",
  updateUser: "oa",
  deleteUser: "oa",
  rotateUserKey: "oa",
  listOrgs: "oam",
  createOrg: "o",
  getOrg: "oam",
  updateOrg: "o",
  deleteOrg: "o",
  listMembers: "oam",
  addMember: "oa",
  updateMember: "oa",
  removeMember: "oa",
  listServiceAccounts: "oa",
  createServiceAccount: "oa",
  getServiceAccount: "oa",
  updateServiceAccount: "oa",
  deleteServiceAccount: "oa",
  rotateServiceAccountKey: "oa",
  listAuditEntries: "oa",
  listRootKeys: "oa",
  getRootKey: "oa",
  createRootKey: "oa",
  createUserRootKey: "oa",
  replaceRootKey: "oa",
  rollbackRootKey: "oa",
  deleteRootKey: "oa",
  listServices: "oams",
  getService: "oams",
  createService: "oa",
  replaceService: "oa",
  deleteService: "oa",
  listMcpServers: "oams",
  // Members and service accounts: only keys of their own.
  listKeys: "oams",
  getKey: "oams",
  issueKey: "oams",
  updateKey: "oams",
  rotateKey: "oams",
  revokeKey: "oams",
};

/** Needs an API key instead of the session token that the others are called with. */
const WITH_API_KEY = new Set(["logIn"]);

describe("access to every management route", () => {
  let gateway: TestGateway;
  let owner: TestUser;
  let stranger: TestUser;
  let accountKey: string;
  let virtualKey: string;
  /** A real object of the org `default`, by the path before its id. */
  const objects: Record<string, string> = { "/v1/orgs": "default" };

  beforeAll(async () => {
    // This test guesses a lot; how guessing is slowed down is tested elsewhere.
    gateway = await startGateway({
      BIFROST_LIMITS_AUTH_FAILURES_PER_MINUTE: "100000",
      BIFROST_METRICS_ENABLED: "true",
    });
    owner = gateway.owner;
    stranger = await addUser(gateway.call, owner.token, "owner", { org_name: "Elsewhere" });
    const create = async (path: string, body: unknown) => {
      const answer = await gateway.call("POST", path, { as: owner.token, headers: { "x-org-id": "default" }, body });
      if (answer.status !== 201) throw new Error(`POST ${path} answered ${answer.status}: ${answer.body.error}`);
      objects[path] = answer.body.id;
      return answer.body;
    };
    await create("/v1/users", { name: "Vic", email: "vic@example.com" });
    await create("/v1/rootkeys", { id: "weather-key", api_key: "sk-0123456789abcdef0123" });
    await create("/v1/services", { id: "weather", endpoint: "https://api.example.com", root_key_id: "weather-key" });
    accountKey = (await create("/v1/serviceaccounts", { name: "CI", allowed_services: ["*"] })).api_key;
    virtualKey = (await create("/v1/keys", { target: "weather", scope: "read", ttl: "1h", rate_limit: 60 }))
      .virtual_key;
  });
  afterAll(() => gateway.close());

  /** With ids that name nothing, so that nobody's call changes what the next one meets. */
  const send = (route: Route, call: Call, ids: "real" | "unknown" = "unknown") =>
    gateway.call(route.method, pathOf(route, ids), {
      ...call,
      ...(route.body && !route.bodyOptional ? { body: {} } : {}),
    });

  function pathOf(route: Route, ids: "real" | "unknown"): string {
    return route.path.replaceAll(/\{(\w+)\}/g, (_all, name: string, at: number) => {
      const parent = route.path.slice(0, at - 1);
      if (name === "id" && route.access.kind === "permission" && route.access.org === "path") return "default";
      if (ids === "unknown") return "nothing-here";
      const id = objects[parent] ?? (parent === "/v1/orgs/{id}/members" ? objects["/v1/users"] : undefined);
      if (id === undefined) throw new Error(`no object for ${route.path}: add one in beforeAll`);
      return id;
    });
  }

  const protectedRoutes = () => gateway.app.routes.filter((route) => route.access.kind === "permission");

  it("is decided for each route by an expectation of this test, and no expectation is stale", () => {
    const expected = Object.entries(EXPECTED).map(([id, who]) => (who === "public" ? `${id} (public)` : id));
    const actual = gateway.app.routes.map(({ operationId, access }) =>
      access.kind === "public" ? `${operationId} (public)` : operationId,
    );
    expect(actual.toSorted()).toEqual(expected.toSorted());
  });

  it.each([
    ["owner", "o"],
    ["admin", "a"],
    ["member", "m"],
  ])("is as expected for the role %s", async (role, letter) => {
    for (const route of protectedRoutes()) {
      // A fresh user for each: some routes end the caller's session or replace their key.
      const user = await addUser(gateway.call, owner.token, role, { org_id: "default" });
      const answer = await send(route, { as: WITH_API_KEY.has(route.operationId) ? user.apiKey : user.token });
      expectAccess(route, answer, letter, role);
    }
  });

  it("is as expected for a service account", async () => {
    for (const route of protectedRoutes()) {
      expectAccess(route, await send(route, { headers: { "x-api-key": accountKey } }), "s", "service account");
    }
  });

  it("is refused to a virtual key, to nobody, to a typo, to an unknown and to a malformed credential", async () => {
    const known = newSecret("bfu");
    const typo = known.slice(0, -1) + (known.endsWith("0") ? "1" : "0");
    const callers: Record<string, Call> = {
      "a virtual key": { as: virtualKey },
      nobody: {},
      "an unknown API key": { as: newSecret("bfu") },
      "an unknown token": { as: newSecret("bft") },
      "a typo": { as: typo },
      "basic credentials": { headers: { authorization: "Basic b3duZXI6b3duZXI=" } },
      "a malformed credential": { headers: { "x-api-key": "' or 1=1 --" } },
    };
    for (const route of protectedRoutes()) {
      for (const [who, call] of Object.entries(callers)) {
        const { status, body, headers } = await send(route, call, "real");
        expect([status, body.code], `${route.operationId} as ${who}`).toEqual([401, "auth.required"]);
        expect(headers.get("www-authenticate")).toBe('Bearer realm="bifrost"');
      }
    }
  });

  it("shows a stranger nothing of another org: every object of it answers as if it did not exist", async () => {
    for (const route of protectedRoutes()) {
      const named = await send(route, { as: stranger.apiKey, headers: { "x-org-id": "default" } }, "real");
      expect([named.status, named.body.code], `${route.operationId} in the other org`).toEqual([
        404,
        "resource.not_found",
      ]);
      if (!route.path.includes("{")) continue;
      const own = await send(route, { as: stranger.apiKey }, "real");
      // 400 where the body is looked at before the object is: it says nothing about the object.
      expect([400, 404], `${route.operationId} from their own org`).toContain(own.status);
      const unknown = await send(route, { as: stranger.apiKey }, "unknown");
      if (route.access.kind === "permission" && route.access.org === "path") continue;
      const { request_id: _first, ...real } = own.body;
      const { request_id: _second, ...absent } = unknown.body;
      expect(real, route.operationId).toEqual(absent);
    }
  });

  it("leaves an audit entry for every refusal of a known caller", async () => {
    const member = await addUser(gateway.call, owner.token, "member", { org_id: "default" });
    await gateway.call("GET", "/v1/users", { as: member.token });
    const entries = async () => {
      const path = `/v1/audit?actor=${member.id}&outcome=denied`;
      return (await gateway.call("GET", path, { as: owner.token, headers: { "x-org-id": "default" } })).body;
    };
    // Written after the reply, so that refusing costs the caller's request nothing.
    await expect.poll(entries).toMatchObject([
      {
        action: "access.denied",
        target: { kind: "operation", id: "listUsers" },
        detail: { permission: "users:read" },
      },
    ]);
  });
});

function expectAccess(route: Route, answer: Answer, letter: string, who: string) {
  const label = `${route.operationId} as ${who}`;
  if (EXPECTED[route.operationId]?.includes(letter)) {
    expect([401, 403, 500], label).not.toContain(answer.status);
  } else {
    expect([answer.status, answer.body.code], label).toEqual([403, "auth.forbidden"]);
  }
}
