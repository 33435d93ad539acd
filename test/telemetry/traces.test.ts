/** Traces of the real gateway, as a collector gets them, and what servers are told of them. */
import { createServer } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { connectMcp } from "../support/mcp-client.ts";
import { httpTransport, type ScriptedServer, scriptedServer, sendJson } from "../support/mcp-http-server.ts";
import { declareServer } from "../mcp/fixtures/declare.ts";

interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly attributes: readonly { key: string; value: Record<string, unknown> }[];
  readonly status?: { code: number; message: string };
}

const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";
const CLIENT_SPAN = "b7ad6b7169203331";
const SAMPLED = `00-${TRACE_ID}-${CLIENT_SPAN}-01`;

async function startCollector() {
  const spans: Span[] = [];
  const server = createServer((request, response) => {
    let text = "";
    request.setEncoding("utf8").on("data", (part: string) => (text += part));
    request.on("end", () => {
      const body = JSON.parse(text) as { resourceSpans: { scopeSpans: { spans: Span[] }[] }[] };
      spans.push(...body.resourceSpans.flatMap((one) => one.scopeSpans.flatMap((scope) => scope.spans)));
      response.end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return {
    spans,
    endpoint: `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`,
    close: () => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve))),
  };
}

function startServer(): Promise<ScriptedServer> {
  return scriptedServer(({ message }, response) => {
    if (message.id === undefined) return response.writeHead(202).end();
    const results: Record<string, unknown> = {
      initialize: {
        protocolVersion: "2025-11-25",
        capabilities: { tools: {} },
        serverInfo: { name: "remote", version: "1" },
      },
      "tools/list": { tools: [{ name: "tell", inputSchema: { type: "object" } }] },
      "tools/call": { content: [{ type: "text", text: "told" }] },
    };
    const result = results[message.method ?? ""];
    const answer = result ? { result } : { error: { code: -32601, message: "unknown" } };
    return sendJson(response, { jsonrpc: "2.0", id: message.id, ...answer });
  });
}

async function start(telemetry: Record<string, unknown> | null) {
  const collector = await startCollector();
  const server = await startServer();
  const gateway: TestGateway = await startGateway({}, {}, (config) => ({
    ...config,
    mcpServers: [declareServer("remote", httpTransport(server.url, { allowAddresses: ["loopback"] }))],
    gateway: {
      ...config.gateway,
      telemetry: telemetry && {
        endpoint: collector.endpoint,
        headers: {},
        serviceName: "bifrost",
        sampleRate: 1,
        signalPath: "/v1/traces",
        exporterTimeoutMs: 5_000,
        traceId: null,
        spanId: null,
        ...telemetry,
      },
    },
  }));
  /** One message without session, as the client of a trace sends it. */
  async function call(meta: object | undefined, headers: Record<string, string>, tool = "tell") {
    const body = {
      jsonrpc: "2.0",
      id: 1,
      method: "tools/call",
      params: { name: tool, arguments: {}, ...(meta && { _meta: meta }) },
    };
    const reply = await fetch(`${gateway.url}/mcp/remote`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${gateway.owner.apiKey}`,
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
        "x-agent-id": "agent-7",
        ...headers,
      },
      body: JSON.stringify(body),
    });
    await reply.text();
    return server.received.findLast(({ message }) => message.method === "tools/call");
  }
  return {
    gateway,
    server,
    collector,
    call,
    async stop() {
      await gateway.close();
      await server.close();
      await collector.close();
      return collector.spans;
    },
  };
}

const attributesOf = (span: Span | undefined) =>
  Object.fromEntries((span?.attributes ?? []).map(({ key, value }) => [key, Object.values(value)[0]]));
const metaOf = (received: { message: { params?: unknown } } | undefined) =>
  (received?.message.params as { _meta?: Record<string, string> } | undefined)?._meta;

describe("a traced call", () => {
  let spans: readonly Span[];
  let heard: Awaited<ReturnType<Awaited<ReturnType<typeof start>>["call"]>>[];

  beforeAll(async () => {
    const traced = await start({});
    heard = [
      await traced.call(undefined, { traceparent: SAMPLED, tracestate: "vendor=1" }),
      await traced.call({ traceparent: SAMPLED, tracestate: "vendor=2", baggage: "a=b", progressToken: 7 }, {}),
    ];
    {
      await using client = await connectMcp(`${traced.gateway.url}/mcp`, traced.gateway.owner.apiKey, "2025-11-25");
      await client.callTool({ name: "remote___tell", arguments: {} });
    }
    spans = await traced.stop();
  });

  const inTrace = (name: string) => spans.filter((span) => span.name === name && span.traceId === TRACE_ID);

  it("is a tree of request, tool call and hop to the server, below the client's own span", () => {
    const roots = inTrace("gateway.request");
    expect(roots.map(({ parentSpanId, kind }) => [parentSpanId, kind])).toEqual([
      [CLIENT_SPAN, 2],
      [CLIENT_SPAN, 2],
    ]);
    for (const root of roots) {
      const calls = inTrace("mcp.tool_call").filter(({ parentSpanId }) => parentSpanId === root.spanId);
      expect(calls).toHaveLength(1);
      const hops = inTrace("gateway.backend.execute").filter(({ parentSpanId }) => parentSpanId === calls[0]?.spanId);
      expect(hops.map(({ kind }) => kind)).toEqual([3]);
    }
  });

  it("has the attributes of the reference, and public ids only", () => {
    expect(attributesOf(inTrace("gateway.request")[0])).toMatchObject({
      "gateway.tag": "bifrost",
      "mcp.server": "remote",
      "mcp.method": "tools/call",
      "http.status_code": "200",
    });
    const expected = {
      "gen_ai.system": "mcp",
      "gen_ai.operation.name": "execute_tool",
      "gen_ai.tool.name": "tell",
      "mcp.method": "tools/call",
      "mcp.server": "remote",
      "mcp.response.status": "ok",
    };
    expect(attributesOf(inTrace("gateway.backend.execute")[0])).toMatchObject(expected);
    expect(attributesOf(inTrace("mcp.tool_call")[0])).toMatchObject({ ...expected, "bifrost.agent.id": "agent-7" });
    expect(JSON.stringify(spans)).not.toMatch(/bf[kustx]_/);
  });

  it("tells the server of the hop's own span, as a header and in _meta, with what the client sent along", () => {
    const hops = inTrace("gateway.backend.execute").map(({ spanId }) => `00-${TRACE_ID}-${spanId}-01`);
    expect(heard.map((one) => one?.headers["traceparent"])).toEqual(hops);
    expect(heard.map((one) => metaOf(one)?.["traceparent"])).toEqual(hops);
    expect(heard.map((one) => metaOf(one)?.["tracestate"])).toEqual(["vendor=1", "vendor=2"]);
    expect(metaOf(heard[1])?.["baggage"]).toBe("a=b");
    expect(heard[0]?.headers["tracestate"]).toBe("vendor=1");
  });

  it("through the unified address names the server and the server's own tool", () => {
    const other = spans.filter(({ name, traceId }) => name === "mcp.tool_call" && traceId !== TRACE_ID);
    expect(attributesOf(other[0])).toMatchObject({ "mcp.server": "remote", "gen_ai.tool.name": "tell" });
  });
});

describe("what a client says of its trace passes unchanged", () => {
  it.each([
    ["without telemetry", null, SAMPLED],
    ["where the client does not sample", {}, SAMPLED.replace(/01$/, "00")],
  ])("%s", async (_, telemetry, traceparent) => {
    const gateway = await start(telemetry);
    const received = await gateway.call({ traceparent: "not-even-one", tracestate: "x=y" }, { traceparent });
    const spans = await gateway.stop();
    expect(received?.headers["traceparent"]).toBe(traceparent);
    expect(metaOf(received)).toMatchObject({ traceparent: "not-even-one", tracestate: "x=y" });
    expect(spans.filter(({ traceId }) => traceId === TRACE_ID)).toEqual([]);
  });
});

describe("a trace that the configuration names", () => {
  let named: Awaited<ReturnType<typeof start>>;
  beforeAll(async () => {
    named = await start({ traceId: TRACE_ID, spanId: CLIENT_SPAN });
  });
  afterAll(() => named.stop());

  it("has every request that no client gave another", async () => {
    await named.call(undefined, {});
    await named.call(undefined, {}, "no-such-tool");
    const spans = await named.stop();
    const roots = spans.filter(({ name }) => name === "gateway.request");
    expect(roots.length).toBeGreaterThanOrEqual(2);
    for (const { traceId, parentSpanId } of roots) expect([traceId, parentSpanId]).toEqual([TRACE_ID, CLIENT_SPAN]);
  });
});

it("a collector that is not there costs no request", async () => {
  const gateway = await start({ endpoint: "http://127.0.0.1:9" });
  expect((await gateway.call(undefined, {}))?.message.method).toBe("tools/call");
  expect(await gateway.stop()).toEqual([]);
});
