import { describe, expect, it } from "vitest";
import type { GatewayConfig } from "../../src/config/model.ts";
import { startGateway } from "../support/gateway.ts";
import { declareServer, loopback } from "./fixtures/declare.ts";

const INITIALIZE = {
  jsonrpc: "2.0",
  id: 0,
  method: "initialize",
  params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "raw", version: "1" } },
};

/** @param servers URLs by name */
async function startWith(servers: Readonly<Record<string, string>>, settings: Partial<GatewayConfig> = {}) {
  const gateway = await startGateway({}, {}, (config) => ({
    ...config,
    gateway: { ...config.gateway, ...settings },
    mcpServers: Object.entries(servers).map(([name, url]) => declareServer(name, loopback(url))),
  }));
  return { ...gateway, [Symbol.asyncDispose]: () => gateway.close() };
}

async function ask(url: string, method: string, path: string, headers: Record<string, string> = {}) {
  const reply = await fetch(url + path, { method, headers });
  return { status: reply.status, body: (await reply.json()) as unknown, headers: reply.headers };
}

describe("/health", () => {
  it("names each server and its state to anybody, and says so by status only where that is asked for", async () => {
    await using gateway = await startWith({ dead: "http://127.0.0.1:9/mcp" });
    await expect
      .poll(async () => (await ask(gateway.url, "GET", "/health")).body)
      .toMatchObject({
        status: "unhealthy",
        specVersion: "2025-11-25",
        servers: { dead: { status: "error", uptime: 0 } },
      });
    expect((await ask(gateway.url, "GET", "/health")).status).toBe(200);
    expect((await ask(gateway.url, "GET", "/health?strict=true")).status).toBe(503);
    expect((await ask(gateway.url, "DELETE", "/health")).status).toBe(405);
  });

  it("is healthy where there is no server", async () => {
    await using gateway = await startWith({});
    expect(await ask(gateway.url, "GET", "/health?strict=true")).toMatchObject({
      status: 200,
      body: { status: "healthy", servers: {} },
    });
  });
});

describe("/close", () => {
  it("is not for strangers, and not for members of another organization or keys", async () => {
    await using gateway = await startWith({});
    expect((await ask(gateway.url, "POST", "/close")).status).toBe(401);
    expect((await ask(gateway.url, "GET", "/close")).status).toBe(405);
    expect((await ask(gateway.url, "GET", "/health")).status).toBe(200);
  });

  it("stops the gateway for an owner, once", async () => {
    await using gateway = await startWith({});
    const authorization = `Bearer ${gateway.owner.apiKey}`;
    const closed = await ask(gateway.url, "POST", "/close", { authorization });
    expect(closed).toMatchObject({ status: 200, body: { status: "closed", serversTerminated: 0 } });
    await gateway.app.closed;
    await expect(fetch(`${gateway.url}/health`)).rejects.toThrow(TypeError);
  });

  it("stops it for its only configured agent, and for none of several", async () => {
    await using one = await startWith({}, { agents: [{ secret: "agent-one-secret-value", servers: null }] });
    expect((await ask(one.url, "POST", "/close", { authorization: "agent-one-secret-value" })).status).toBe(200);
    await one.app.closed;
    const agents = ["agent-one-secret-value", "agent-two-secret-value"].map((secret) => ({ secret, servers: [] }));
    await using two = await startWith({}, { agents });
    expect((await ask(two.url, "POST", "/close", { authorization: "agent-one-secret-value" })).status).toBe(403);
  });

  it("is not for a web page of another origin, also where nobody must authenticate", async () => {
    await using gateway = await startWith({}, { auth: "none" });
    expect((await ask(gateway.url, "POST", "/close", { origin: "https://evil.example" })).status).toBe(403);
  });
});

describe("/reflect", () => {
  it("shows an owner whose sessions are open, by public ids, and strangers nothing", async () => {
    const secret = "agent-one-secret-value";
    await using gateway = await startWith({}, { agents: [{ secret, servers: null }] });
    const headers = { "content-type": "application/json", authorization: secret, "x-agent-id": "bot" };
    await fetch(`${gateway.url}/mcp`, { method: "POST", headers, body: JSON.stringify(INITIALIZE) });
    expect((await ask(gateway.url, "GET", "/reflect")).status).toBe(401);
    const seen = await ask(gateway.url, "GET", "/reflect", { authorization: `Bearer ${gateway.owner.apiKey}` });
    expect(JSON.stringify(seen.body)).not.toContain(secret);
    expect(seen.body).toMatchObject({ mode: "off" });
    expect(Object.keys((seen.body as { agents: object }).agents)).toEqual([expect.stringMatching(/^agt_.+\/bot$/)]);
  });
});
