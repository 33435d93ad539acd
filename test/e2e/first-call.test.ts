import { Client } from "@modelcontextprotocol/client";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { startUpstream, type Upstream } from "../support/upstream.ts";

const REAL = "sk-the-real-credential-0001";

let gateway: TestGateway;
let upstream: Upstream;
beforeAll(async () => {
  gateway = await startGateway();
  upstream = await startUpstream();
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

it("takes an agent from nothing to its first call, and the API sees the real credential and who called", async () => {
  const as = gateway.owner.token;
  const rootkey = await gateway.call("POST", "/v1/rootkeys", { as, body: { id: "openai-key", api_key: REAL } });
  expect(rootkey.status, JSON.stringify(rootkey.body)).toBe(201);
  const service = await gateway.call("POST", "/v1/services", {
    as,
    body: {
      id: "openai",
      endpoint: `${upstream.origin}/v1`,
      root_key_id: "openai-key",
      credential_header: "Authorization",
      allow_addresses: ["loopback"],
    },
  });
  expect(service.status, JSON.stringify(service.body)).toBe(201);

  const client = new Client({ name: "agent", version: "1" });
  const headers = { authorization: `Bearer ${gateway.owner.apiKey}`, "x-agent-id": "researcher-1" };
  await client.connect(new StreamableHTTPClientTransport(new URL(`${gateway.url}/mcp`), { requestInit: { headers } }));
  const services = await client.callTool({ name: "list_services", arguments: {} });
  expect(services.structuredContent).toMatchObject({ services: [{ name: "openai" }] });
  const issued = await client.callTool({ name: "request_key", arguments: { service_name: "openai", scope: "write" } });
  const { virtual_key: key } = issued.structuredContent as { virtual_key: string };
  await client.close();

  const reply = await fetch(`${gateway.url}/v1/proxy/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "m" }),
  });
  const text = await reply.text();
  expect(reply.status, text).toBe(200);
  expect(text, "the agent never sees the credential, even from an upstream that echoes it").not.toContain(REAL);
  const seen = upstream.received.at(-1);
  expect(seen?.url).toBe("/v1/chat/completions");
  expect(seen?.headers.authorization).toBe(`Bearer ${REAL}`);
  expect(seen?.headers["x-bifrost-agent-id"]).toBe("researcher-1");
  const listed = await gateway.call("GET", "/v1/keys?source=mcp", { as });
  expect(listed.body).toMatchObject([
    { id: seen?.headers["x-bifrost-key-id"], source: "mcp", agent_id: "researcher-1" },
  ]);
});

it("shows its API as a page and as OpenAPI 3.1", async () => {
  const openapi = await gateway.call("GET", "/docs/openapi.json");
  expect(openapi.body.openapi).toBe("3.1.0");
  expect(Object.keys(openapi.body.paths).length).toBeGreaterThan(20);
  expect((await gateway.call("GET", "/docs/openapi.yaml")).body).toContain("openapi: 3.1.0");
  expect((await gateway.call("GET", "/docs")).status).toBe(200);
});

it("answers unknown paths and methods in its one error shape", async () => {
  expect((await gateway.call("GET", "/nope")).body).toMatchObject({ code: "request.not_found" });
  const wrong = await gateway.call("DELETE", "/v1/keys");
  expect(wrong.status).toBe(405);
  expect(wrong.headers.get("allow")).toContain("GET");
  expect((await gateway.call("GET", "/healthz")).body).toBe("ok");
  expect((await gateway.call("GET", "/readyz")).body).toBe("ready");
});
