import { describe, expect, it } from "vitest";
import { GatewayError } from "../../src/core/errors.ts";
import { newSecret } from "../../src/core/secret.ts";
import { connectMcp } from "../support/mcp-client.ts";
import { startMcpEndpoint, type TestMcpEndpoint } from "../support/mcp-endpoint.ts";

const ERA = "2026-07-28";

type Who = keyof TestMcpEndpoint["secrets"];

async function issue({ url, secrets }: TestMcpEndpoint, who: Who, service: string, agent?: string): Promise<string> {
  await using client = await connectMcp(url, secrets[who], ERA, agent ? { "x-agent-id": agent } : {});
  const result = await client.callTool({ name: "request_key", arguments: { service_name: service } });
  return String((result.structuredContent as { key_id: string }).key_id);
}

async function idsSeenBy({ url, secrets }: TestMcpEndpoint, who: Who, agent?: string): Promise<string[]> {
  await using client = await connectMcp(url, secrets[who], ERA, agent ? { "x-agent-id": agent } : {});
  const result = await client.callTool({ name: "list_my_keys" });
  return (result.structuredContent as { keys: { key_id: string }[] }).keys.map(({ key_id }) => key_id);
}

describe("the caller's identity", () => {
  it("bounds which keys are seen: others of the org and of other orgs see none, whatever agent they name", async () => {
    await using gateway = await startMcpEndpoint();
    const key = await issue(gateway, "alice", "echo", "builder");
    expect(await idsSeenBy(gateway, "alice")).toEqual([key, "vk_robot"]);
    expect(await idsSeenBy(gateway, "alice", "builder")).toEqual([key]);
    expect(await idsSeenBy(gateway, "alice", "other")).toEqual([]);
    expect(await idsSeenBy(gateway, "bob", "builder")).toEqual([]);
    expect(await idsSeenBy(gateway, "mallory", "builder")).toEqual([]);
  });

  it("makes somebody else's key answer exactly like an unknown one", async () => {
    await using gateway = await startMcpEndpoint();
    const key = await issue(gateway, "alice", "echo");
    await using mallory = await connectMcp(gateway.url, gateway.secrets.mallory, ERA);
    const refusalOf = (id: string) =>
      mallory.callTool({ name: "revoke_key", arguments: { key_id: id } }).catch((error: Error) => error.message);
    expect(await refusalOf(key)).toBe(await refusalOf("vk_never_was"));
    expect((await gateway.issuedKeys())[0]?.revoked_at_ms).toBeNull();
  });

  it("is kept with the key: source, owner and agent, and an entry in the audit trail under the same request", async () => {
    await using gateway = await startMcpEndpoint();
    const id = await issue(gateway, "pipeline", "echo", "nightly");
    await using client = await connectMcp(gateway.url, gateway.secrets.pipeline, ERA);
    await client.callTool({ name: "revoke_key", arguments: { key_id: id } });
    await client.callTool({ name: "revoke_key", arguments: { key_id: id } });
    const [key] = await gateway.issuedKeys();
    expect(key).toMatchObject({ id, source: "mcp", owner_kind: "service_account", agent_id: "nightly" });
    const entries = await gateway.db.selectFrom("audit_entries").selectAll().orderBy("seq").execute();
    expect(entries).toMatchObject([
      { action: "key.issue", target_id: id, actor_kind: "service_account", actor_id: "pipeline" },
      { action: "key.revoke", target_id: id, actor_kind: "service_account", actor_id: "pipeline" },
    ]);
    expect(entries.every(({ request_id }) => request_id?.startsWith("req_"))).toBe(true);
  });
});

describe("a service account", () => {
  it("sees the services and scopes that it was given, and gets no key for others", async () => {
    await using gateway = await startMcpEndpoint();
    await using client = await connectMcp(gateway.url, gateway.secrets.pipeline, ERA);
    const { structuredContent } = await client.callTool({ name: "list_services" });
    expect(structuredContent).toMatchObject({ services: [{ name: "echo", scopes: ["read"] }] });
    const forVault = client.callTool({ name: "request_key", arguments: { service_name: "vault" } });
    const forNobody = client.callTool({ name: "request_key", arguments: { service_name: "nowhere" } });
    const refusals = await Promise.all(
      [forVault, forNobody].map((call) => call.catch((error: Error) => error.message)),
    );
    expect(refusals[0]).toContain("service_name");
    expect(refusals[0]).toBe(refusals[1]);
  });

  it("gets its ceilings where it asks for nothing, and -32602 naming the argument where it asks for more", async () => {
    await using gateway = await startMcpEndpoint();
    await using client = await connectMcp(gateway.url, gateway.secrets.pipeline, ERA);
    const request = (more: Record<string, unknown>) =>
      client.callTool({ name: "request_key", arguments: { service_name: "echo", ...more } });
    const before = Date.now();
    const { structuredContent } = await request({});
    expect(structuredContent).toMatchObject({ rate_limit: 30, scope: "read" });
    const expiresAt = Date.parse((structuredContent as { expires_at: string }).expires_at);
    expect(expiresAt - before).toBeGreaterThanOrEqual(600_000);
    expect(expiresAt - before).toBeLessThan(660_000);
    for (const [argument, value] of [
      ["ttl_seconds", 601],
      ["rate_limit", 31],
      ["scope", "write"],
    ] as const) {
      await expect(request({ [argument]: value })).rejects.toMatchObject({
        code: -32602,
        data: { arguments: [{ argument }] },
      });
    }
    expect(await gateway.issuedKeys()).toHaveLength(1);
  });
});

describe("a virtual key", () => {
  it("looks but does not mint: request_key is neither listed for it nor run", async () => {
    await using gateway = await startMcpEndpoint();
    await using robot = await connectMcp(gateway.url, gateway.secrets.robot, ERA);
    const { tools } = await robot.listTools();
    expect(tools.map(({ name }) => name)).toEqual(["list_services", "list_my_keys", "revoke_key"]);
    const result = await robot.callTool({ name: "request_key", arguments: { service_name: "echo" } });
    expect(result).toMatchObject({
      isError: true,
      content: [{ type: "text", text: expect.stringContaining("this caller cannot issue keys (key.cannot_issue)") }],
    });
    expect(await gateway.issuedKeys()).toEqual([]);
  });

  it("sees itself and what it reaches, not its owner's other keys, and can end itself at once", async () => {
    await using gateway = await startMcpEndpoint();
    const others = await issue(gateway, "alice", "vault");
    expect(await idsSeenBy(gateway, "robot", "anyone")).toEqual(["vk_robot"]);
    await using robot = await connectMcp(gateway.url, gateway.secrets.robot, ERA);
    const { structuredContent } = await robot.callTool({ name: "list_services" });
    expect(structuredContent).toMatchObject({ services: [{ name: "echo", scopes: ["read", "write"] }] });
    await expect(robot.callTool({ name: "revoke_key", arguments: { key_id: others } })).rejects.toMatchObject({
      code: -32602,
    });
    await robot.callTool({ name: "revoke_key", arguments: { key_id: "vk_robot" } });
    await expect(robot.callTool({ name: "list_my_keys" })).rejects.toThrow(/401|key revoked/);
  });
});

describe("credentials", () => {
  const status = async ({ url }: TestMcpEndpoint, headers: Record<string, string>) => {
    const reply = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: '{"jsonrpc":"2.0","id":1,"method":"ping"}',
    });
    return [
      reply.status,
      reply.ok ? null : ((await reply.json()) as { error: { data: { code: string } } }).error.data.code,
    ];
  };

  it("count as Bearer and as X-API-Key, and two of them only when they are the same principal", async () => {
    await using gateway = await startMcpEndpoint();
    const { alice, bob, robot } = gateway.secrets;
    expect(await status(gateway, { authorization: `bearer ${alice}` })).toEqual([200, null]);
    expect(await status(gateway, { "x-api-key": alice })).toEqual([200, null]);
    expect(await status(gateway, { "x-api-key": robot })).toEqual([200, null]);
    expect(await status(gateway, { "x-api-key": alice, authorization: alice })).toEqual([200, null]);
    expect(await status(gateway, { "x-api-key": alice, authorization: bob })).toEqual([401, "auth.conflict"]);
    expect(await status(gateway, { "x-api-key": alice, authorization: robot })).toEqual([401, "auth.conflict"]);
    expect(await status(gateway, { authorization: alice, "x-org-id": "acme" })).toEqual([200, null]);
    expect(await status(gateway, { authorization: alice, "x-org-id": "rival" })).toEqual([404, "resource.not_found"]);
    expect(await status(gateway, { authorization: robot, "x-org-id": "rival" })).toEqual([404, "resource.not_found"]);
  });

  it("that are guessed are throttled by address, whichever kind is guessed, while those in use still pass", async () => {
    await using gateway = await startMcpEndpoint();
    const inUse = [gateway.secrets.alice, gateway.secrets.robot];
    for (const authorization of inUse) expect(await status(gateway, { authorization })).toEqual([200, null]);
    const guesses = Array.from({ length: 15 }, () => [newSecret("bfk"), newSecret("bfu")]).flat();
    const answers = [];
    for (const guess of guesses) answers.push(await status(gateway, { authorization: guess }));
    expect(answers[0]).toEqual([401, "key.invalid"]);
    expect(answers[1]).toEqual([401, "auth.required"]);
    expect(answers.at(-1)).toEqual([429, "auth.throttled"]);
    for (const authorization of inUse) expect(await status(gateway, { authorization })).toEqual([200, null]);
  });
});

describe("a failure while a tool runs", () => {
  it("that is a refusal reaches the model as a result with isError, its code and what to do", async () => {
    await using gateway = await startMcpEndpoint({
      beforeIssue: () => Promise.reject(new GatewayError("limit.unavailable", { detail: "redis://10.0.0.7 is down" })),
    });
    await using client = await connectMcp(gateway.url, gateway.secrets.alice, ERA);
    const result = await client.callTool({ name: "request_key", arguments: { service_name: "echo" } });
    expect(result.isError).toBe(true);
    expect(JSON.stringify(result)).toContain("limit.unavailable");
    expect(JSON.stringify(result)).not.toContain("redis");
  });

  it.each(["2025-11-25", ERA] as const)("that is ours is -32603 with a request id and no cause, in %s", async (era) => {
    await using gateway = await startMcpEndpoint({
      beforeIssue: () => Promise.reject(new Error("SQLITE_CORRUPT: table virtual_keys")),
    });
    await using client = await connectMcp(gateway.url, gateway.secrets.alice, era);
    const failure = await client
      .callTool({ name: "request_key", arguments: { service_name: "echo" } })
      .catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: -32603, data: { code: "internal", request_id: expect.any(String) } });
    expect(String(failure)).not.toContain("SQLITE");
    expect(gateway.lines.join()).toContain("SQLITE_CORRUPT");
  });
});
