// A changed configuration of MCP servers while the gateway runs: nobody's running call ends, and clients keep their session.
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, it } from "vitest";
import type { Config, DeclaredMcpServer } from "../../src/config/model.ts";
import { startGateway } from "../support/gateway.ts";
import { declareServer, loopback } from "./fixtures/declare.ts";

/** A server of the 2025 era with one tool, whose calls are answered when told to. */
async function startUpstream(tool: string) {
  const waiting: (() => void)[] = [];
  const server = createServer((request, response) => {
    let text = "";
    request.setEncoding("utf8").on("data", (piece: string) => (text += piece));
    request.on("end", () => {
      if (request.method !== "POST") return void response.writeHead(405).end();
      const { id, method, params } = JSON.parse(text) as { id?: unknown; method: string; params?: { name?: string } };
      if (id === undefined) return void response.writeHead(202).end();
      const answer = (outcome: object) =>
        response
          .writeHead(200, { "content-type": "application/json" })
          .end(JSON.stringify({ jsonrpc: "2.0", id, ...outcome }));
      if (method === "initialize") {
        const info = {
          protocolVersion: "2025-11-25",
          capabilities: { tools: {} },
          serverInfo: { name: tool, version: "1" },
        };
        return void answer({ result: info });
      }
      if (method === "tools/list")
        return void answer({ result: { tools: [{ name: tool, inputSchema: { type: "object" } }] } });
      if (method !== "tools/call") return void answer({ error: { code: -32601, message: "no" } });
      const done = () => answer({ result: { content: [{ type: "text", text: params?.name }] } });
      if (params?.name === "slow") waiting.push(done);
      else done();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    /** The calls of `slow` that wait. */
    waiting,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

it("a reload adds, changes and removes servers; sessions live on, running calls end as they would have", async () => {
  await using kept = await startUpstream("keeps");
  await using old = await startUpstream("old");
  await using fresh = await startUpstream("fresh");
  let config: Config | undefined;
  const gateway = await startGateway({}, {}, (loaded) => {
    config = {
      ...loaded,
      mcpServers: [declareServer("kept", loopback(kept.url)), declareServer("other", loopback(old.url))],
    };
    return config;
  });
  const reload = async (mcpServers: readonly DeclaredMcpServer[]) => {
    if (!config) throw new Error("no configuration");
    config = { ...config, mcpServers };
    await gateway.app.reload(config);
  };
  try {
    const post = async (path: string, body: object, session?: string) => {
      const reply = await fetch(gateway.url + path, {
        method: "POST",
        headers: {
          authorization: `Bearer ${gateway.owner.apiKey}`,
          "content-type": "application/json",
          accept: "application/json, text/event-stream",
          ...(session !== undefined && { "mcp-session-id": session }),
        },
        body: JSON.stringify({ jsonrpc: "2.0", id: 1, ...body }),
      });
      return { status: reply.status, session: reply.headers.get("mcp-session-id") ?? "", text: await reply.text() };
    };
    const initialize = {
      method: "initialize",
      params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "raw", version: "1" } },
    };
    const { session } = await post("/mcp", initialize);
    expect((await post("/mcp", { method: "tools/list" }, session)).text).toContain('"other___old"');
    const running = ["kept___slow", "other___slow"].map((name, id) =>
      post("/mcp", { id: `s${id}`, method: "tools/call", params: { name } }, session),
    );
    await expect.poll(() => kept.waiting.length + old.waiting.length).toBe(2);

    await reload([
      declareServer("kept", loopback(kept.url)),
      declareServer("other", loopback(fresh.url)),
      declareServer("third", loopback(fresh.url), { tools: [] }),
    ]);
    const listed = (await post("/mcp", { method: "tools/list" }, session)).text;
    expect(listed).toContain('"other___fresh"');
    expect(listed).not.toMatch(/"other___old"|"third___/);
    expect((await post("/mcp/third", initialize)).status).toBe(200);
    for (const done of [...kept.waiting, ...old.waiting]) done();
    expect((await Promise.all(running)).map(({ text }) => text)).toEqual([
      expect.stringContaining('"text":"slow"'),
      expect.stringContaining('"text":"slow"'),
    ]);

    await reload([declareServer("kept", loopback(kept.url))]);
    expect((await post("/mcp/other", initialize)).status).toBe(404);
    expect((await post("/mcp", { method: "tools/list" }, session)).text).not.toContain("other___");
    expect((await fetch(`${gateway.url}/health`).then((reply) => reply.json())) as object).toMatchObject({
      servers: { kept: { status: "running" } },
    });
  } finally {
    await gateway.close();
  }
});
