import { describe, expect, it } from "vitest";
import { GatewayError } from "../../src/core/errors.ts";
import { connectMcp } from "../support/mcp-client.ts";
import { startMcpEndpoint } from "../support/mcp-endpoint.ts";

const ERA = "2026-07-28";

async function issue(url: string, token: string, service: string, agent?: string): Promise<string> {
  await using client = await connectMcp(url, token, ERA, agent ? { "x-agent-id": agent } : {});
  const result = await client.callTool({ name: "request_key", arguments: { service_name: service } });
  return String((result.structuredContent as { key_id: string }).key_id);
}

async function idsSeenBy(url: string, token: string, agent?: string): Promise<string[]> {
  await using client = await connectMcp(url, token, ERA, agent ? { "x-agent-id": agent } : {});
  const result = await client.callTool({ name: "list_my_keys" });
  return (result.structuredContent as { keys: { key_id: string }[] }).keys.map(({ key_id }) => key_id);
}

describe("the caller's identity", () => {
  it("bounds which keys are seen: others of the org and of other orgs see none, whatever agent they name", async () => {
    await using gateway = await startMcpEndpoint();
    const key = await issue(gateway.url, "alice", "echo", "builder");
    expect(await idsSeenBy(gateway.url, "alice")).toEqual([key]);
    expect(await idsSeenBy(gateway.url, "alice", "builder")).toEqual([key]);
    expect(await idsSeenBy(gateway.url, "alice", "other")).toEqual([]);
    expect(await idsSeenBy(gateway.url, "bob", "builder")).toEqual([]);
    expect(await idsSeenBy(gateway.url, "mallory", "builder")).toEqual([]);
  });

  it("makes somebody else's key answer exactly like an unknown one", async () => {
    await using gateway = await startMcpEndpoint();
    const key = await issue(gateway.url, "alice", "echo");
    await using mallory = await connectMcp(gateway.url, "mallory", ERA);
    const refusalOf = (id: string) =>
      mallory.callTool({ name: "revoke_key", arguments: { key_id: id } }).catch((error: Error) => error.message);
    expect(await refusalOf(key)).toBe(await refusalOf("vk_never_was"));
    expect(gateway.keys[0]?.revokedAtMs).toBeNull();
  });

  it("lets a virtual key look but not mint: request_key is neither listed for it nor run", async () => {
    await using gateway = await startMcpEndpoint();
    await using robot = await connectMcp(gateway.url, "robot", ERA);
    const { tools } = await robot.listTools();
    expect(tools.map(({ name }) => name)).toEqual(["list_services", "list_my_keys", "revoke_key"]);
    const result = await robot.callTool({ name: "request_key", arguments: { service_name: "echo" } });
    expect(result).toMatchObject({
      isError: true,
      content: [{ type: "text", text: expect.stringContaining("a virtual key cannot issue keys (key.cannot_issue)") }],
    });
    expect(gateway.keys).toEqual([]);
  });
});

describe("a failure while a tool runs", () => {
  it("that is a refusal reaches the model as a result with isError, its code and what to do", async () => {
    await using gateway = await startMcpEndpoint({
      issueKey: () => Promise.reject(new GatewayError("limit.unavailable", { detail: "redis://10.0.0.7 is down" })),
    });
    await using client = await connectMcp(gateway.url, "alice", ERA);
    const result = await client.callTool({ name: "request_key", arguments: { service_name: "echo" } });
    expect(result.isError).toBe(true);
    expect(JSON.stringify(result)).toContain("limit.unavailable");
    expect(JSON.stringify(result)).not.toContain("redis");
  });

  it.each(["2025-11-25", ERA] as const)("that is ours is -32603 with a request id and no cause, in %s", async (era) => {
    await using gateway = await startMcpEndpoint({
      issueKey: () => Promise.reject(new Error("SQLITE_CORRUPT: table virtual_keys")),
    });
    await using client = await connectMcp(gateway.url, "alice", era);
    const failure = await client
      .callTool({ name: "request_key", arguments: { service_name: "echo" } })
      .catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: -32603, data: { code: "internal", request_id: expect.any(String) } });
    expect(String(failure)).not.toContain("SQLITE");
    expect(gateway.lines.join()).toContain("SQLITE_CORRUPT");
  });
});
