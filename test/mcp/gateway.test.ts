import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { connectMcp } from "../support/mcp-client.ts";
import { startUpstream, type Upstream } from "../support/upstream.ts";

let gateway: TestGateway;
let upstream: Upstream;

beforeAll(async () => {
  upstream = await startUpstream();
  gateway = await startGateway();
  const as = gateway.owner.token;
  const service = { id: "echo", endpoint: upstream.origin, allow_addresses: ["loopback"] };
  const rootKey = { id: "echo-key", api_key: "sk-real-0123456789" };
  for (const [path, body] of [
    ["/v1/rootkeys", rootKey],
    ["/v1/services", { ...service, root_key_id: rootKey.id }],
  ] as const) {
    const answer = await gateway.call("POST", path, { as, body });
    expect(answer.status, JSON.stringify(answer.body)).toBe(201);
  }
});

afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

const connect = (era: "2025-11-25" | "2026-07-28" = "2026-07-28", path = "/mcp") =>
  connectMcp(gateway.url + path, gateway.owner.apiKey, era);

interface IssuedKey {
  readonly virtual_key: string;
  readonly key_id: string;
  readonly proxy_base_url: string;
}

async function requestKey(more: Record<string, unknown> = {}): Promise<IssuedKey> {
  await using client = await connect();
  const result = await client.callTool({ name: "request_key", arguments: { service_name: "echo", ...more } });
  return result.structuredContent as IssuedKey;
}

async function statusOf(base: string, key: string, method = "GET"): Promise<number> {
  const reply = await fetch(`${base}/anything`, { method, headers: { authorization: `Bearer ${key}` } });
  await reply.arrayBuffer();
  return reply.status;
}

describe("the whole gateway", () => {
  it.each(["2025-11-25", "2026-07-28"] as const)(
    "serves the same tools on /mcp and /mcp/bifrost in %s",
    async (era) => {
      await using one = await connect(era, "/mcp");
      await using other = await connect(era, "/mcp/bifrost");
      const { tools } = await one.listTools();
      expect(tools).toHaveLength(4);
      expect((await other.listTools()).tools).toEqual(tools);
    },
  );

  it("takes calls at both base URLs that it gives to agents, and only in the key's scope", async () => {
    const { virtual_key, proxy_base_url } = await requestKey();
    await using client = await connect();
    const { structuredContent } = await client.callTool({ name: "list_services" });
    const [service] = (structuredContent as { services: { base_url: string }[] }).services;
    expect(await statusOf(proxy_base_url, virtual_key)).toBe(200);
    expect(await statusOf(service?.base_url ?? "", virtual_key)).toBe(200);
    expect(await statusOf(proxy_base_url, virtual_key, "POST")).toBe(403);
    const writer = await requestKey({ scope: "write" });
    expect(await statusOf(proxy_base_url, writer.virtual_key, "POST")).toBe(200);
  });

  it("admits one call with a one-shot key", async () => {
    const { virtual_key, proxy_base_url } = await requestKey({ one_shot: true });
    const answers = await Promise.all(Array.from({ length: 10 }, () => statusOf(proxy_base_url, virtual_key)));
    expect(answers.filter((status) => status === 200)).toHaveLength(1);
    expect(answers.filter((status) => status === 401)).toHaveLength(9);
  });

  it("refuses a key from the moment that revoke_key has answered", async () => {
    const { virtual_key, key_id, proxy_base_url } = await requestKey();
    expect(await statusOf(proxy_base_url, virtual_key)).toBe(200);
    await using client = await connect();
    await client.callTool({ name: "revoke_key", arguments: { key_id } });
    expect(await statusOf(proxy_base_url, virtual_key)).toBe(401);
  });
});
