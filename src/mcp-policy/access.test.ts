import { describe, expect, it } from "vitest";
import type { Principal } from "../access/principal.ts";
import type { DeclaredMcpServer } from "../config/model.ts";
import { GatewayError } from "../core/errors.ts";
import type { LiveKey } from "../gate/key-cache.ts";
import type { McpServerGrant, Scope } from "../keys/model.ts";
import { type CallerFacts, createAccess, type ServerAccess } from "./access.ts";

const org = { orgUid: "org_1", orgId: "default" };
const accessTo = createAccess();

function server(name: string, change: Partial<DeclaredMcpServer> = {}): DeclaredMcpServer {
  return {
    name,
    org: null,
    transport: {
      kind: "http",
      url: "https://mcp.example",
      protocol: "auto",
      headers: {},
      connectTimeoutMs: 1,
      allowAddresses: [],
      auth: { kind: "none" },
    },
    tools: null,
    startupTimeoutMs: 1,
    toolTimeoutMs: 0,
    toolTimeoutsMs: {},
    responseFilters: {},
    toolCallLimits: {},
    breaker: { threshold: 1, cooldownMs: 1 },
    ...change,
  };
}

const user: CallerFacts = {
  principal: { kind: "user", uid: "usr_1", id: "usr_1", name: "U", role: "member", sessionUid: null, ...org },
  live: null,
};
const local: CallerFacts = { principal: { kind: "local", uid: "local", id: "local", ...org }, live: null };

function account(services: "all" | readonly string[], maxScope: Scope): CallerFacts {
  const ceilings = { maxTtlSeconds: null, maxRateLimit: null, maxScope };
  return {
    principal: { kind: "service_account", uid: "sa_1", id: "sa", name: "", services, ...ceilings, ...org },
    live: null,
  };
}

function agent(servers: Extract<Principal, { kind: "gateway_agent" }>["servers"]): CallerFacts {
  return { principal: { kind: "gateway_agent", uid: "agt_1", id: "agt_1", servers, ...org }, live: null };
}

function key(grants: readonly Partial<McpServerGrant>[], scope: Scope = "write"): CallerFacts {
  const full = grants.map((grant) => ({
    kind: "mcp_server" as const,
    mcpServer: "github",
    tools: null,
    prompts: null,
    resources: null,
    arguments: [],
    ...grant,
  }));
  const live: LiveKey = {
    key: {
      uid: "vk_1",
      orgUid: org.orgUid,
      id: "vk_1",
      name: "",
      secretHash: "h",
      hint: "",
      previousSecretHash: null,
      previousExpiresAtMs: null,
      scope,
      expiresAtMs: 1,
      rateLimit: 1,
      maxConcurrency: null,
      maxUses: null,
      uses: 0,
      agentId: null,
      source: "api",
      ownerKind: "user",
      ownerUid: "usr_1",
      metadata: {},
      grants: full,
      createdAtMs: 0,
      updatedAtMs: 0,
      revokedAtMs: null,
    },
    target: null,
    services: new Map(),
    presentedHash: "h",
    secretExpiresAtMs: 1,
  };
  return { principal: { kind: "virtual_key", uid: "vk_1", id: "vk_1", services: [], ...org }, live };
}

const may = (access: ServerAccess | null, tool: string, readOnly = false) => access?.allowsTool(tool, { readOnly });
const mayCall = (access: ServerAccess | null, tool: string, args?: unknown) => {
  if (!access?.allowsTool(tool, { readOnly: false })) return false;
  try {
    access.checkArguments(tool, args === undefined ? undefined : JSON.stringify(args));
    return true;
  } catch (refusal) {
    expect(refusal).toMatchObject({ code: "mcp.arguments_not_allowed" });
    return false;
  }
};

describe("access to MCP servers", () => {
  it.each([
    ["a user", user],
    ["auth none", local],
    ["a service account of all services", account("all", "write")],
    ["an agent without a policy", agent("all")],
    ["a key that is granted every server", key([{ mcpServer: "*" }])],
  ])("gives %s everything that the server offers, and nothing of another organization", (_who, caller) => {
    const access = accessTo(caller, server("github"));
    expect([may(access, "t"), access?.allowsPrompt("p"), access?.allowsResource("r:1")]).toEqual([true, true, true]);
    expect(mayCall(access, "t")).toBe(true);
    expect(accessTo(caller, server("github", { org: "default" }))).not.toBeNull();
    expect(accessTo(caller, server("github", { org: "other" }))).toBeNull();
  });

  it("hides every server from a service account that may use only some services", () => {
    expect(accessTo(account([], "write"), server("github"))).toBeNull();
    expect(accessTo(account(["svc_1"], "write"), server("github"))).toBeNull();
  });

  it("hides what a key's grants and an agent's policy do not name", () => {
    expect(accessTo(key([]), server("github"))).toBeNull();
    expect(accessTo(key([{ mcpServer: "git" }]), server("github"))).toBeNull();
    expect(accessTo(key([{ mcpServer: "git*" }]), server("github"))).not.toBeNull();
    expect(accessTo(agent([]), server("github"))).toBeNull();
    expect(accessTo(agent([{ server: "Github", tools: null }]), server("github"))).toBeNull();
  });

  it("hides every server from a key principal without its key, or with another's", () => {
    const { principal, live } = key([{ mcpServer: "*" }]);
    expect(accessTo({ principal, live: null }, server("github"))).toBeNull();
    expect(accessTo({ principal: { ...principal, uid: "vk_2" } as Principal, live }, server("github"))).toBeNull();
  });

  it("allows a tool only where the server's own list and the caller's rights both do", () => {
    const declared = server("github", { tools: ["get_*", "create_issue"] });
    for (const caller of [user, local, agent("all")]) {
      expect(["get_x", "create_issue", "delete"].map((name) => may(accessTo(caller, declared), name))).toEqual([
        true,
        true,
        false,
      ]);
    }
    for (const caller of [
      key([{ tools: ["get_a", "delete"] }]),
      agent([{ server: "github", tools: ["get_a", "delete"] }]),
    ]) {
      expect(["get_a", "get_b", "delete"].map((name) => may(accessTo(caller, declared), name))).toEqual([
        true,
        false,
        false,
      ]);
    }
    expect(may(accessTo(user, server("github", { tools: ["x", "*"] })), "anything")).toBe(true);
    expect(may(accessTo(user, server("github", { tools: [] })), "anything")).toBe(false);
  });

  it("holds a key of scope read, and an account held to it, to tools that say that they are read-only", () => {
    for (const caller of [key([{}], "read"), account("all", "read")]) {
      const access = accessTo(caller, server("github"));
      expect([may(access, "t", true), may(access, "t", false)]).toEqual([true, false]);
    }
  });

  it("allows prompts and resources of a restricted grant only where it names them", () => {
    const some = accessTo(key([{ tools: ["get_*"] }]), server("github"));
    expect([some?.allowsPrompt("p"), some?.allowsResource("r:1")]).toEqual([false, false]);
    const named = accessTo(key([{ tools: ["get_*"], prompts: ["p*"], resources: ["r:*"] }]), server("github"));
    expect([named?.allowsPrompt("p1"), named?.allowsPrompt("q"), named?.allowsResource("r:1")]).toEqual([
      true,
      false,
      true,
    ]);
    const narrowed = accessTo(key([{ resources: ["r:*"] }]), server("github"));
    expect([narrowed?.allowsPrompt("p"), narrowed?.allowsResource("s:1"), may(narrowed, "t")]).toEqual([
      true,
      false,
      true,
    ]);
    const policy = accessTo(agent([{ server: "github", tools: ["get_*"] }]), server("github"));
    expect([policy?.allowsPrompt("p"), policy?.allowsResource("r:1")]).toEqual([false, false]);
  });

  it("does not let a resource pattern be left by climbing out of it", () => {
    const access = accessTo(key([{ resources: ["file:///docs/*"] }]), server("github"));
    expect(access?.allowsResource("file:///docs/a/b.txt")).toBe(true);
    for (const uri of ["file:///docs/../etc", "file:///docs/%2E%2e/etc", "file:///docs/a/..\\..\\etc"]) {
      expect(access?.allowsResource(uri), uri).toBe(false);
    }
  });

  it("checks arguments against every rule about the tool, and reads none where no rule is", () => {
    const access = accessTo(
      key([
        {
          arguments: [
            { tool: "create_*", argument: "owner", allow: ["octo"] },
            { tool: "create_issue", argument: "private", allow: [true] },
          ],
        },
      ]),
      server("github"),
    );
    expect(mayCall(access, "create_issue", { owner: "octo", private: true })).toBe(true);
    expect(mayCall(access, "create_issue", { owner: "octo" })).toBe(false);
    expect(mayCall(access, "create_pr", { owner: "octo" })).toBe(true);
    expect(mayCall(access, "create_pr", { owner: "evil" })).toBe(false);
    expect(mayCall(access, "create_pr")).toBe(false);
    expect(() => access?.checkArguments("get_issue", "not even JSON")).not.toThrow();
  });

  it("adds grants up: a call passes when one grant allows the tool and its arguments together", () => {
    const access = accessTo(
      key([
        { tools: ["a", "b"], arguments: [{ tool: "*", argument: "x", allow: [1] }] },
        { mcpServer: "git*", tools: ["b"], arguments: [{ tool: "b", argument: "x", allow: [2] }] },
      ]),
      server("github"),
    );
    expect(mayCall(access, "a", { x: 1 })).toBe(true);
    expect(mayCall(access, "a", { x: 2 })).toBe(false);
    expect(mayCall(access, "b", { x: 2 })).toBe(true);
    expect(mayCall(access, "b", { x: 3 })).toBe(false);
  });

  it("names the argument that was refused, and none of the values", () => {
    const access = accessTo(
      key([{ arguments: [{ tool: "t", argument: "owner.name", allow: ["allowed-value"] }] }]),
      server("github"),
    );
    let refusal: unknown;
    try {
      access?.checkArguments("t", '{"owner":{"name":"sent-value"}}');
    } catch (thrown) {
      refusal = thrown;
    }
    expect(refusal).toBeInstanceOf(GatewayError);
    expect(refusal).toMatchObject({ fields: [{ path: "arguments.owner.name" }] });
    expect(JSON.stringify(refusal)).not.toMatch(/allowed-value|sent-value/);
  });

  it("decides anew for a key that was loaded anew, and once for each", () => {
    const declared = server("github");
    const before = key([{ tools: ["a"] }]);
    expect(accessTo(before, declared)).toBe(accessTo(before, declared));
    expect(may(accessTo(before, declared), "b")).toBe(false);
    expect(may(accessTo(key([{ tools: ["b"] }]), declared), "b")).toBe(true);
  });
});
