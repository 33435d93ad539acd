import { ProtocolError } from "@modelcontextprotocol/client";
import { describe, expect, it } from "vitest";
import { connectMcp, type Era, ERAS } from "../support/mcp-client.ts";
import { startMcpEndpoint } from "../support/mcp-endpoint.ts";

const eras = Object.keys(ERAS) as Era[];

describe.each(eras)("the official client speaking %s", (era) => {
  it("is told which server answers, in which revision, and how to use it", async () => {
    await using gateway = await startMcpEndpoint();
    await using client = await connectMcp(gateway.url, gateway.secrets.alice, era);
    expect(client.getServerVersion()).toMatchObject({ name: "bifrost", version: "0.0.0-test" });
    expect(client.getNegotiatedProtocolVersion()).toBe(era === "2025-11-25" ? "2025-11-25" : "2026-07-28");
    expect(client.getInstructions()).toContain("request_key");
  });

  it("sees the four tools, each with an input and an output schema and with annotations", async () => {
    await using gateway = await startMcpEndpoint();
    await using client = await connectMcp(gateway.url, gateway.secrets.alice, era);
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toEqual(["list_services", "request_key", "list_my_keys", "revoke_key"]);
    for (const tool of tools) {
      expect(tool.inputSchema).toMatchObject({ type: "object", additionalProperties: false });
      expect(tool.outputSchema).toMatchObject({ type: "object" });
      expect(tool.annotations).toBeDefined();
    }
    expect(tools[1]?.inputSchema).toMatchObject({
      required: ["service_name"],
      properties: { ttl_seconds: { default: 3600 }, rate_limit: { default: 60 }, scope: { default: "read" } },
    });
  });

  it("finds a service, gets a key for it, sees the key among its own and revokes it", async () => {
    await using gateway = await startMcpEndpoint();
    await using client = await connectMcp(gateway.url, gateway.secrets.alice, era, { "x-agent-id": "builder" });
    // So that the client checks each structured result against its output schema.
    await client.listTools();
    const origin = new URL(gateway.url).origin;

    const services = await client.callTool({ name: "list_services", arguments: {} });
    expect(services.structuredContent).toEqual({
      services: [
        {
          name: "echo",
          base_url: `${origin}/v1/services/echo/proxy`,
          description: "Says what it hears",
          scopes: ["read", "write"],
        },
        { name: "vault", base_url: `${origin}/v1/services/vault/proxy`, description: "", scopes: ["read", "write"] },
      ],
    });

    const before = Date.now();
    const issued = await client.callTool({ name: "request_key", arguments: { service_name: "echo" } });
    const key = issued.structuredContent as Record<string, string>;
    expect(issued.isError ?? false).toBe(false);
    expect(key).toMatchObject({
      virtual_key: expect.stringMatching(/^bfk_/),
      key_id: expect.stringMatching(/^vk_/),
      services: ["echo"],
      scope: "read",
      rate_limit: 60,
      one_shot: false,
      max_uses: null,
      agent_id: "builder",
      proxy_base_url: `${origin}/v1/proxy`,
    });
    const ttlMs = Date.parse(key["expires_at"] ?? "") - before;
    expect(ttlMs).toBeGreaterThanOrEqual(3_600_000);
    expect(ttlMs).toBeLessThan(3_660_000);

    const revoked = await client.callTool({ name: "revoke_key", arguments: { key_id: key["key_id"] } });
    expect(revoked.structuredContent).toEqual({ key_id: key["key_id"], revoked: true });

    const mine = await client.callTool({ name: "list_my_keys", arguments: {} });
    expect(mine.structuredContent).toMatchObject({
      keys: [{ key_id: key["key_id"], status: "revoked", source: "mcp", agent_id: "builder" }],
      truncated: false,
    });
    expect(JSON.stringify(mine)).not.toContain("bfk_");
  });

  it("gets every structured result as text too, for agents that read only text", async () => {
    await using gateway = await startMcpEndpoint();
    await using client = await connectMcp(gateway.url, gateway.secrets.alice, era);
    for (const call of [
      { name: "list_services" },
      { name: "request_key", arguments: { service_name: "echo", one_shot: true } },
      { name: "list_my_keys" },
    ]) {
      const result = await client.callTool(call);
      const [text] = result.content as { type: string; text: string }[];
      expect(text?.type).toBe("text");
      expect(JSON.parse(text?.text ?? "")).toEqual(result.structuredContent);
    }
  });

  it.each([
    ["service_name", {}],
    ["service_name", { service_name: "nowhere" }],
    ["service_name", { service_name: "other" }],
    ["service_name", { service_name: 7 }],
    ["service_name", { service_name: "" }],
    ["ttl_seconds", { service_name: "echo", ttl_seconds: "60" }],
    ["ttl_seconds", { service_name: "echo", ttl_seconds: 0 }],
    ["ttl_seconds", { service_name: "echo", ttl_seconds: 1.5 }],
    ["ttl_seconds", { service_name: "echo", ttl_seconds: 1e300 }],
    ["ttl_seconds", { service_name: "echo", ttl_seconds: 86_401 }],
    ["ttl_seconds", { service_name: "echo", ttl_seconds: null }],
    ["rate_limit", { service_name: "echo", rate_limit: -1 }],
    ["scope", { service_name: "echo", scope: "admin" }],
    ["one_shot", { service_name: "echo", one_shot: "yes" }],
    ["max_uses", { service_name: "echo", max_uses: 0 }],
    ["max_uses", { service_name: "echo", one_shot: true, max_uses: 2 }],
    ["oneshot", { service_name: "echo", oneshot: true }],
  ])("gets -32602 naming %s for %j, and no key is made", async (argument, args) => {
    await using gateway = await startMcpEndpoint();
    await using client = await connectMcp(gateway.url, gateway.secrets.alice, era);
    const failure = await client.callTool({ name: "request_key", arguments: args }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ProtocolError);
    expect(failure).toMatchObject({ code: -32602, data: { arguments: [{ argument }] } });
    expect(String(failure)).toContain(argument);
    expect(await gateway.issuedKeys()).toEqual([]);
  });

  it("gets -32602 for a tool that does not exist, for an unknown key_id and for a foreign cursor", async () => {
    await using gateway = await startMcpEndpoint();
    await using client = await connectMcp(gateway.url, gateway.secrets.alice, era);
    await expect(client.callTool({ name: "drop_tables" })).rejects.toMatchObject({ code: -32602 });
    await expect(client.callTool({ name: "revoke_key", arguments: { key_id: "vk_x" } })).rejects.toMatchObject({
      code: -32602,
      message: expect.stringContaining("key_id"),
    });
    await expect(client.listTools({ cursor: "2" })).rejects.toMatchObject({
      code: -32602,
      message: expect.stringContaining("cursor"),
    });
  });
});
