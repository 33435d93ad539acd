import { once } from "node:events";
import { describe, expect, it } from "vitest";
import {
  heldRequest,
  HELLO_2025,
  HELLO_2026,
  openPost,
  post,
  postText,
  readStream,
  result,
  type ScriptedBackend,
  startModernClients,
} from "../../../test/support/modern-clients.ts";
import { GatewayError } from "../../core/errors.ts";
import type { BackendRequest } from "../backend.ts";

const answering = (value: unknown): ScriptedBackend & { readonly seen: BackendRequest[] } => {
  const seen: BackendRequest[] = [];
  return { seen, request: async (request) => (seen.push(request), result(value)) };
};

describe("a request", () => {
  it("reaches the backend as it was sent, and its result comes back with what the revision adds, and nothing else changed", async () => {
    const seen: BackendRequest[] = [];
    const upstream = '{ "content": [], "big": 12345678901234567890, "\\u0065": 1e400 }';
    await using gateway = await startModernClients({
      request: async (request) => (seen.push(request), { result: upstream }),
    });
    const reply = await post(
      gateway.port,
      "tools/call",
      { name: "echo", arguments: { n: 1 } },
      { headers: { "mcp-param-region": "eu" } },
    );
    expect(reply.status).toBe(200);
    expect(reply.text).toBe(`{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete", ${upstream.slice(2)}}`);
    expect(seen[0]).toMatchObject({
      method: "tools/call",
      passInputRequired: true,
      headers: { "x-bifrost-key-id": "vk_1", "mcp-param-region": "eu" },
    });
    expect(JSON.parse(seen[0]?.params ?? "")).toMatchObject({ name: "echo", arguments: { n: 1 } });
  });

  it.each([0, "", "0", "ünï", 9_007_199_254_740_991])("is answered under its own id: %j", async (id) => {
    await using gateway = await startModernClients(answering({}));
    expect((await post(gateway.port, "x/custom", {}, { id })).messages[0]?.id).toBe(id);
  });

  it.each(["tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read"])(
    "gets cache hints where the server gave none, and keeps those it gave: %s",
    async (method) => {
      await using bare = await startModernClients(answering({}));
      expect((await post(bare.port, method, { uri: "a://b" })).messages[0]?.result).toEqual({
        resultType: "complete",
        ttlMs: 0,
        cacheScope: "private",
      });
      await using hinted = await startModernClients(answering({ ttlMs: 7, cacheScope: "public" }));
      expect((await post(hinted.port, method, { uri: "a://b" })).messages[0]?.result).toEqual({
        resultType: "complete",
        ttlMs: 7,
        cacheScope: "public",
      });
    },
  );

  it("that a server of its own era asks back for is answered as it is", async () => {
    const asked = {
      resultType: "input_required",
      inputRequests: { user_name: { method: "roots/list" } },
      requestState: "theirs",
    };
    const script = answering(asked);
    await using gateway = await startModernClients({ ...script, hello: async () => HELLO_2026 });
    const first = await post(gateway.port, "tools/call", { name: "ask" });
    expect(first.messages[0]?.result).toEqual(asked);
    await post(gateway.port, "tools/call", {
      name: "ask",
      inputResponses: { user_name: { roots: [] } },
      requestState: "theirs",
    });
    expect(JSON.parse(script.seen[1]?.params ?? "")).toMatchObject({
      requestState: "theirs",
      inputResponses: { user_name: {} },
    });
  });

  it.each([
    "initialize",
    "ping",
    "logging/setLevel",
    "resources/subscribe",
    "resources/unsubscribe",
    "tasks/list",
    "roots/list",
  ])("of an earlier revision is unknown here, whatever the server has: %s", async (method) => {
    await using gateway = await startModernClients({});
    const { status, messages } = await post(gateway.port, method);
    expect({ status, code: messages[0]?.error?.code, id: messages[0]?.id }).toEqual({
      status: 404,
      code: -32601,
      id: 1,
    });
  });

  it.each([
    [-32601, 404],
    [-32020, 400],
    [-32021, 400],
    [-32022, 400],
    [-32602, 200],
    [-32603, 200],
    [4242, 200],
  ])("that the server answers with error %i has status %i", async (code, status) => {
    await using gateway = await startModernClients({
      request: async () => ({ error: `{"code":${code},"message":"no","data":{"a":1}}` }),
    });
    const reply = await post(gateway.port, "x/custom");
    expect(reply.status).toBe(status);
    expect(reply.messages[0]?.error).toEqual({ code, message: "no", data: { a: 1 } });
  });

  it("for a resource that an older server has not is -32602, as this revision says", async () => {
    await using gateway = await startModernClients({
      request: async () => ({ error: '{"code":-32002,"message":"no","data":{"uri":"a://b"}}' }),
    });
    expect((await post(gateway.port, "resources/read", { uri: "a://b" })).messages[0]?.error).toEqual({
      code: -32602,
      message: "no",
      data: { uri: "a://b" },
    });
  });

  it("that the gateway refuses says so with a stable code, and a tool call so that the model reads it", async () => {
    await using gateway = await startModernClients({
      request: async () => Promise.reject(new GatewayError("mcp.call_limit", { detail: "secret" })),
    });
    const tool = await post(gateway.port, "tools/call", { name: "echo" });
    expect(tool.messages[0]?.result).toMatchObject({ resultType: "complete", isError: true });
    const prompt = await post(gateway.port, "prompts/get", { name: "p" });
    expect(prompt.messages[0]?.error).toMatchObject({
      code: 4290,
      data: { code: "mcp.call_limit", request_id: "req_1" },
    });
    expect(tool.text + prompt.text).not.toContain("secret");
  });

  it("for a server that is not there is 404, also where the backend says so before it is asked", async () => {
    await using gateway = await startModernClients(
      {},
      {
        shared: () => {
          throw new GatewayError("mcp.server_not_found");
        },
      },
    );
    for (const method of ["tools/call", "server/discover", "subscriptions/listen"])
      expect((await post(gateway.port, method, { notifications: {} })).status).toBe(404);
  });

  it("that fails unexpectedly is -32603 and says nothing of the cause", async () => {
    await using gateway = await startModernClients({
      request: async () => Promise.reject(new Error("password=hunter2")),
    });
    const { text, messages } = await post(gateway.port, "tools/call", { name: "x" });
    expect(messages[0]?.error?.code).toBe(-32603);
    expect(text).not.toContain("hunter2");
    expect(gateway.logged).toHaveLength(1);
  });

  it("that is malformed is refused with 400 under its id, and the backend is not asked", async () => {
    await using gateway = await startModernClients({});
    const response = await postText(gateway.port, '{"jsonrpc":"2.0","id":"a","method":"tools/list"}', {
      "mcp-protocol-version": "2026-07-28",
    });
    expect(response.statusCode).toBe(400);
    const [body] = await response.toArray();
    expect(JSON.parse(String(body))).toMatchObject({ id: "a", error: { code: -32602 } });
  });
});

describe("an argument that a tool wants in a header", () => {
  const tool = (name: string, properties: unknown) => ({ name, inputSchema: { type: "object", properties } });
  const tools = [
    tool("plain", { a: { type: "string" } }),
    tool("routed", {
      region: { type: "string", "x-mcp-header": "Region" },
      n: { type: "integer", "x-mcp-header": "N" },
    }),
  ];
  const script: ScriptedBackend = {
    request: async ({ method }) => result(method === "tools/list" ? { tools } : { content: [] }),
  };
  const base64 = (text: string) => `=?base64?${Buffer.from(text).toString("base64")}?=`;

  it.each([
    ["says the same", { "mcp-param-region": "eu", "mcp-param-n": "42" }, 200],
    ["says the same in Base64", { "mcp-param-region": base64("eu"), "mcp-param-n": "42" }, 200],
    ["writes an integer otherwise", { "mcp-param-region": "eu", "mcp-param-n": "42.0" }, 200],
    ["says something else", { "mcp-param-region": "us", "mcp-param-n": "42" }, 400],
    ["is malformed", { "mcp-param-region": "=?base64?SGVsbG8?=", "mcp-param-n": "42" }, 400],
    ["is missing", { "mcp-param-n": "42" }, 400],
  ])("is checked for a client that listed the tool: one that %s", async (_case, headers, status) => {
    await using gateway = await startModernClients(script);
    const params = { name: "routed", arguments: { region: "eu", n: 42 } };
    await post(gateway.port, "tools/list");
    const reply = await post(gateway.port, "tools/call", params, { headers });
    expect(reply.status).toBe(status);
    if (status === 400) expect(reply.messages[0]?.error?.code).toBe(-32020);
  });

  it("is not missed where the body has no such argument, the tool wants none, or another caller listed it", async () => {
    await using gateway = await startModernClients(script);
    await post(gateway.port, "tools/list");
    for (const params of [
      { name: "routed", arguments: { n: null } },
      { name: "plain", arguments: { a: "x" } },
      { name: "new", arguments: { region: "eu" } },
    ])
      expect((await post(gateway.port, "tools/call", params)).status).toBe(200);
    const other = { headers: { "x-test-principal": "usr_2" } };
    expect(
      (await post(gateway.port, "tools/call", { name: "routed", arguments: { region: "eu" } }, other)).status,
    ).toBe(200);
  });
});

describe("notifications of a request", () => {
  const noisy = (notifications: readonly (readonly [string, unknown])[]): ScriptedBackend => ({
    hello: async () => HELLO_2026,
    async request({ onNotification }) {
      for (const [method, params] of notifications) onNotification({ method, params: JSON.stringify(params) });
      return result({ content: [] });
    },
  });
  const methodsOf = (messages: readonly { method?: string }[]) => messages.map(({ method }) => method ?? "answer");

  it("make the answer an event stream that ends with the result", async () => {
    await using gateway = await startModernClients(
      noisy([["notifications/progress", { progressToken: "t", progress: 1 }]]),
    );
    const reply = await post(gateway.port, "tools/call", { name: "x" }, { meta: { progressToken: "t" } });
    expect(reply.headers["content-type"]).toBe("text/event-stream");
    expect(reply.messages).toEqual([
      { jsonrpc: "2.0", method: "notifications/progress", params: { progressToken: "t", progress: 1 } },
      { jsonrpc: "2.0", id: 1, result: { resultType: "complete", content: [] } },
    ]);
  });

  it("are left out where the request did not ask for them, or they concern no request", async () => {
    const all = [
      ["notifications/progress", { progressToken: "t", progress: 1 }],
      ["notifications/message", { level: "emergency", data: "x" }],
      ["notifications/tools/list_changed", {}],
      ["notifications/resources/updated", { uri: "a://b" }],
    ] as const;
    await using gateway = await startModernClients(noisy(all));
    const reply = await post(gateway.port, "tools/call", { name: "x" });
    expect(reply.headers["content-type"]).toBe("application/json");
  });

  it("that are log messages come from the request's own level on", async () => {
    const levels = ["debug", "info", "warning", "critical", "nonsense"];
    await using gateway = await startModernClients(
      noisy(levels.map((level) => ["notifications/message", { level, data: 1 }])),
    );
    const { messages } = await post(
      gateway.port,
      "tools/call",
      { name: "x" },
      { meta: { "io.modelcontextprotocol/logLevel": "warning" } },
    );
    expect(messages.slice(0, -1).map(({ params }) => params?.["level"])).toEqual(["warning", "critical"]);
  });

  it("of methods that nobody here knows pass, with line breaks in their text", async () => {
    await using gateway = await startModernClients({
      async request({ onNotification }) {
        onNotification({ method: "notifications/x", params: '{\n  "a": 1\r\n}' });
        return { result: '{\n "content": []\n}' };
      },
    });
    const { messages } = await post(gateway.port, "tools/call", { name: "x" });
    expect(methodsOf(messages)).toEqual(["notifications/x", "answer"]);
    expect(messages[0]?.params).toEqual({ a: 1 });
  });
});

describe("server/discover", () => {
  it("says what the backend says of itself, and only revisions that a request may name", async () => {
    await using gateway = await startModernClients({
      hello: async () => ({ ...HELLO_2025, capabilities: '{"tools":{},"tasks":{}}' }),
    });
    expect((await post(gateway.port, "server/discover")).messages[0]?.result).toEqual({
      resultType: "complete",
      ttlMs: 0,
      cacheScope: "private",
      supportedVersions: ["2026-07-28"],
      capabilities: { tools: {} },
      instructions: "Be brief.",
      _meta: { "io.modelcontextprotocol/serverInfo": { name: "fixture", version: "1.2.3" } },
    });
  });

  it("fails like any request where the server cannot be reached", async () => {
    await using gateway = await startModernClients({
      hello: async () => Promise.reject(new GatewayError("upstream.unreachable")),
    });
    const { status, messages } = await post(gateway.port, "server/discover");
    expect(status).toBe(200);
    expect(messages[0]?.error).toMatchObject({ data: { code: "upstream.unreachable" } });
  });
});

describe("a client's notification", () => {
  const headers = { "mcp-protocol-version": "2026-07-28" };

  it("is accepted, and none of the core's goes further: no request is named by it here", async () => {
    await using gateway = await startModernClients({});
    const body = '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}';
    const response = await postText(gateway.port, body, headers);
    expect(response.statusCode).toBe(202);
    expect(await response.toArray()).toEqual([]);
  });

  it("of an extension is handed on", async () => {
    const told = Promise.withResolvers<unknown>();
    await using gateway = await startModernClients({
      notify: async (method, params) => told.resolve([method, params]),
    });
    const params =
      '{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}';
    const response = await postText(
      gateway.port,
      `{"jsonrpc":"2.0","method":"notifications/x","params":${params}}`,
      headers,
    );
    expect(response.statusCode).toBe(202);
    expect(await told.promise).toEqual(["notifications/x", params]);
  });
});

describe("a client that goes away", () => {
  it("cancels its request upstream, before and after the answer became a stream", async () => {
    for (const streaming of [false, true]) {
      const held = heldRequest();
      await using gateway = await startModernClients({ request: held.request });
      const leave = new AbortController();
      const answer = openPost(
        gateway.port,
        "tools/call",
        { name: "x" },
        { signal: leave.signal, meta: { progressToken: 1 } },
      );
      const { signal, onNotification } = await held.started;
      if (streaming) {
        onNotification({ method: "notifications/progress", params: '{"progressToken":1,"progress":1}' });
        const response = await answer;
        response.on("error", () => {});
        await readStream(response).next();
      }
      leave.abort();
      await answer.catch(() => {});
      if (signal?.aborted === false) await once(signal, "abort");
      expect(signal?.aborted).toBe(true);
    }
  });

  it("by not reading its stream is cut off, and what waits for it stays bounded", async () => {
    const held = heldRequest();
    await using gateway = await startModernClients(
      { request: held.request },
      { limits: { maxBufferedBytes: 64 * 1024 } },
    );
    const answer = openPost(gateway.port, "tools/call", { name: "x" }, { meta: { progressToken: 1 } });
    const { signal, onNotification } = await held.started;
    const message = "x".repeat(32 * 1024);
    let sent = 0;
    while (signal?.aborted === false && sent++ < 10_000) {
      onNotification({
        method: "notifications/progress",
        params: `{"progressToken":1,"progress":${sent},"message":"${message}"}`,
      });
      await new Promise(setImmediate);
    }
    expect(signal?.aborted).toBe(true);
    (await answer).on("error", () => {}).destroy();
  });
});
