import { createServer } from "node:http";
import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { SSEServerTransport } from "@modelcontextprotocol/sdk/server/sse.js";
import { afterEach, expect, it } from "vitest";
import { memberText } from "../../src/jsonrpc/json-slice.ts";
import type { ServerNotification } from "../../src/mcp-links/types.ts";
import { call, channelBench, silent } from "../support/mcp-http-channel.ts";
import { listen } from "./fixtures/fixture.ts";
import { startV1 } from "./fixtures/v1.ts";
import { startV2 } from "./fixtures/v2.ts";

// The official SDKs' servers as peers of the HTTP channel: what it believes of the transport is what they do.

const bench = channelBench();
afterEach(() => bench.end());

const INITIALIZE = JSON.stringify({
  protocolVersion: "2025-11-25",
  capabilities: { elicitation: {} },
  clientInfo: { name: "test", version: "1" },
});
const REVISION = { "mcp-protocol-version": "2025-11-25" };
const tool = (id: number, name: string, args: unknown = {}) =>
  call(id, "tools/call", { params: JSON.stringify({ name, arguments: args }), headers: REVISION });

it.each([
  ["v1", startV1],
  ["v2", () => startV2("2025")],
] as const)("a server on SDK %s serves the channel in the 2025 era, with sessions", async (_sdk, start) => {
  const server = await start();
  bench.onEnd(() => server.close());
  const channel = bench.channelTo(server.url, { transport: { protocol: "auto" } });
  const changed = Promise.withResolvers<ServerNotification>();
  channel.listen(
    {
      ...silent,
      onNotification: (notification) => {
        if (notification.method === "notifications/tools/list_changed") changed.resolve(notification);
      },
    },
    {},
  );
  await channel.request(call(0, "initialize", { params: INITIALIZE }), silent);
  expect(channel.sessionId).toMatch(/^[\da-f-]{36}$/);
  await channel.notify("notifications/initialized", undefined, REVISION);

  const text = async (reply: Promise<unknown>): Promise<string> => JSON.stringify(await reply);
  expect(await text(channel.request(tool(1, "test_simple_text"), silent))).toContain("simple text response");

  const progress: string[] = [];
  const withToken = { name: "test_tool_with_progress", arguments: {}, _meta: { progressToken: 7 } };
  await channel.request(call(2, "tools/call", { params: JSON.stringify(withToken), headers: REVISION }), {
    ...silent,
    onNotification: ({ method }) => progress.push(method),
  });
  expect(progress).toEqual(Array.from({ length: 3 }, () => "notifications/progress"));

  const asked: string[] = [];
  const elicited = channel.request(tool(3, "test_elicitation", { message: "Who?" }), {
    ...silent,
    onRequest({ method, params }) {
      asked.push(`${method} ${memberText(params ?? "{}", "message")}`);
      return Promise.resolve({ result: `{"action":"accept","content":{"username":"ada","email":"a@b.c"}}` });
    },
  });
  expect(await text(elicited)).toContain("ada");
  expect(asked).toEqual([`elicitation/create "Who?"`]);

  // The server ends the stream of this call, and the reply comes over the one that resumes it (SEP-1699).
  expect(await text(channel.request(tool(4, "test_reconnection"), silent))).toMatch(/content/);

  await channel.request(tool(5, "test_trigger_tool_change"), silent);
  expect((await changed.promise).method).toBe("notifications/tools/list_changed");

  const { sessionId } = channel;
  await channel.close();
  const stolen = await fetch(server.url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      "mcp-session-id": sessionId ?? "",
    },
    body: `{"jsonrpc":"2.0","id":1,"method":"ping"}`,
  });
  expect(stolen.status).toBe(404);
});

it("a server on SDK v2 serves the channel in the 2026 era, and its refusals are replies", async () => {
  const server = await startV2("2026");
  bench.onEnd(() => server.close());
  const channel = bench.channelTo(server.url, { transport: { protocol: "auto" } });
  const meta = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": { name: "test", version: "1" },
    "io.modelcontextprotocol/clientCapabilities": {},
  };
  const modern = (id: number, method: string, params: Record<string, unknown>, headers: Record<string, string> = {}) =>
    call(id, method, {
      params: JSON.stringify({ ...params, _meta: meta }),
      headers: { "mcp-protocol-version": "2026-07-28", "mcp-method": method, ...headers },
    });
  const discovered = await channel.request(modern(0, "server/discover", {}), silent);
  expect("result" in discovered && discovered.result).toContain("supportedVersions");
  const called = await channel.request(
    modern(1, "tools/call", { name: "test_simple_text", arguments: {} }, { "mcp-name": "test_simple_text" }),
    silent,
  );
  expect("result" in called && called.result).toContain("simple text response");

  const mismatch = await channel.request(
    modern(2, "tools/call", { name: "test_simple_text", arguments: {} }, { "mcp-name": "another" }),
    silent,
  );
  expect("error" in mismatch && memberText(mismatch.error, "code")).toBe("-32020");
  const unknown = await channel.request(modern(3, "no/such", {}), silent);
  expect("error" in unknown && memberText(unknown.error, "code")).toBe("-32601");
  const old = await channel.request(call(4, "initialize", { params: INITIALIZE }), silent);
  expect("error" in old && memberText(old.error, "code")).toBe("-32022");
  expect(channel.sessionId).toBeNull();
});

it("a server on the SDK's legacy SSE transport is found and served", async () => {
  const transports = new Map<string, SSEServerTransport>();
  const fixture = await listen(async (request, response) => {
    const url = new URL(request.url ?? "/", "http://localhost");
    if (request.method === "GET" && url.pathname === "/mcp") {
      const transport = new SSEServerTransport("/messages", response);
      transports.set(transport.sessionId, transport);
      const server = new Server({ name: "old", version: "1" }, { capabilities: {} });
      await server.connect(transport);
    } else if (request.method === "POST" && url.pathname === "/messages") {
      await transports.get(url.searchParams.get("sessionId") ?? "")?.handlePostMessage(request, response);
    } else response.writeHead(404).end("Cannot POST");
  });
  bench.onEnd(() => fixture.close());
  const channel = bench.channelTo(fixture.url, { transport: { protocol: "auto" } });
  const hello = await channel.request(call(0, "initialize", { params: INITIALIZE }), silent);
  expect("result" in hello && memberText(hello.result, "serverInfo")).toBe(`{"name":"old","version":"1"}`);
  expect(channel.kind).toBe("sse");
  await channel.notify("notifications/initialized", undefined, {});
  expect(await channel.request(call(1, "ping", { params: undefined }), silent)).toEqual({ result: "{}" });
});

it("a port of a server that is no MCP server is told apart from one that is down", async () => {
  const web = createServer((_request, response) => response.writeHead(200, { "content-type": "text/html" }).end("<p>"));
  await new Promise<void>((resolve) => web.listen(0, "127.0.0.1", resolve));
  const address = web.address();
  const url = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}/`;
  await expect(bench.channelTo(url).request(call(1), silent)).rejects.toMatchObject({ code: "upstream.protocol" });
  web.closeAllConnections();
  await new Promise((resolve) => web.close(resolve));
  await expect(bench.channelTo(url).request(call(1), silent)).rejects.toMatchObject({ code: "upstream.unreachable" });
});
