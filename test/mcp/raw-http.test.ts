import { request } from "node:http";
import { connect } from "node:net";
import { describe, expect, it } from "vitest";
import { startMcpEndpoint, type TestMcpEndpoint } from "../support/mcp-endpoint.ts";

const MODERN_META = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientInfo": { name: "raw", version: "1" },
  "io.modelcontextprotocol/clientCapabilities": {},
};

interface Sent {
  readonly body?: string | Uint8Array | Record<string, unknown> | unknown[];
  readonly method?: string;
  /** Null removes a header that is sent otherwise. */
  readonly headers?: Record<string, string | null>;
}

/** One request as a client that is not the SDK would send it. node:http, since fetch sets Host itself. */
async function send(gateway: TestMcpEndpoint, { body, method = "POST", headers = {} }: Sent) {
  const all = { authorization: `Bearer ${gateway.secrets.alice}`, "content-type": "application/json", ...headers };
  const kept = Object.fromEntries(Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== null));
  const bytes = typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body ?? "");
  return new Promise<{ status: number; headers: NodeJS.Dict<string | string[]>; text: string; json: unknown }>(
    (resolve, reject) => {
      const outgoing = request(gateway.url, { method, headers: kept }, (reply) => {
        let text = "";
        reply.setEncoding("utf8").on("data", (piece: string) => (text += piece));
        reply.on("end", () => {
          const json: unknown = text.startsWith("{") || text.startsWith("[") ? JSON.parse(text) : null;
          resolve({ status: reply.statusCode ?? 0, headers: reply.headers, text, json });
        });
      });
      outgoing.on("error", reject);
      outgoing.end(bytes);
    },
  );
}

const ping = (id: unknown = 1) => ({ jsonrpc: "2.0", id, method: "ping" });

describe("before the body is looked at", () => {
  it("answers 401 with WWW-Authenticate to no credential and to a wrong one, and says which of the two", async () => {
    await using gateway = await startMcpEndpoint();
    const cases = [
      [null, "unauthorized: missing Authorization header"],
      ["Bearer nobody", "unauthorized: no key and no agent id of this gateway"],
    ] as const;
    for (const [authorization, message] of cases) {
      const reply = await send(gateway, { body: ping(), headers: { authorization } });
      expect(reply.status).toBe(401);
      expect(reply.headers["www-authenticate"]).toMatch(/^Bearer /);
      expect(reply.json).toMatchObject({
        jsonrpc: "2.0",
        id: null,
        error: { message, data: { code: "auth.required" } },
      });
    }
  });

  it("answers a name or web origin that is not ours with 403, before authentication", async () => {
    await using gateway = await startMcpEndpoint();
    for (const headers of [
      { host: "evil.example.com" },
      { host: "127.0.0.1.evil.example.com" },
      { origin: "http://evil.example.com" },
      { origin: "null" },
      { origin: "garbage" },
    ]) {
      const reply = await send(gateway, { body: ping(), headers: { authorization: null, ...headers } });
      expect(reply.status).toBe(403);
      expect(reply.text).not.toContain("evil");
    }
    const local = await send(gateway, { body: ping(), headers: { origin: "http://localhost:5173" } });
    expect(local.status).toBe(200);
  });

  it("serves every Host where the operator set no list, also one that no URL can be built from", async () => {
    await using gateway = await startMcpEndpoint({ door: { allowedHosts: null, allowedOrigins: [] } });
    const body = { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "list_services" } };
    for (const [host, shown] of [
      ["gw.internal:8080", "gw.internal:8080"],
      ["[::1]:8080", "[::1]:8080"],
      ["a b%zz^", "localhost"],
      ["[::1", "localhost"],
      ["gw.internal/evil?", "localhost"],
      ["user@gw.internal", "localhost"],
    ] as const) {
      const reply = await send(gateway, { body, headers: { host } });
      expect(reply.status).toBe(200);
      expect(reply.text).toContain(`"http://${shown}/v1/services/echo/proxy"`);
    }
  });

  it.each(["GET", "DELETE", "PUT", "OPTIONS"])("answers %s without a session with 405", async (method) => {
    await using gateway = await startMcpEndpoint();
    const reply = await send(gateway, { method, body: "" });
    expect(reply.status).toBe(405);
    expect(reply.headers.allow).toBe("POST");
  });

  it("answers a malformed X-Agent-ID with 400, and two of them too", async () => {
    await using gateway = await startMcpEndpoint();
    for (const agent of ["", ".", "..", "a b", "a/b", "../etc", "x".repeat(129), "ä", "one, two", "%2e%2e"]) {
      const reply = await send(gateway, { body: ping(), headers: { "x-agent-id": encodeHeader(agent) } });
      expect(reply.status, agent).toBe(400);
      expect(reply.json).toMatchObject({ error: { data: { code: "request.agent_id_invalid" } } });
    }
    for (const agent of ["a", "x".repeat(128), "team:bot@host-1._"])
      expect((await send(gateway, { body: ping(), headers: { "x-agent-id": agent } })).status).toBe(200);
  });

  it("answers a body that is not JSON by its type with 415, a client that cannot read JSON with 406", async () => {
    await using gateway = await startMcpEndpoint();
    for (const type of [null, "text/plain", "application/jsonp", "multipart/form-data"])
      expect((await send(gateway, { body: ping(), headers: { "content-type": type } })).status).toBe(415);
    expect((await send(gateway, { body: ping(), headers: { "content-encoding": "gzip" } })).status).toBe(415);
    for (const accept of ["text/html", "text/event-stream", "application/json;q=0"])
      expect((await send(gateway, { body: ping(), headers: { accept } })).status).toBe(406);
    for (const accept of ["*/*", "application/json", "text/event-stream, application/json;q=0.9"])
      expect((await send(gateway, { body: ping(), headers: { accept } })).status).toBe(200);
  });

  it("answers a body over 4 MiB with 413, whether its length is declared or not", async () => {
    await using gateway = await startMcpEndpoint();
    const body = new Uint8Array(4 * 1024 * 1024 + 1).fill(0x20);
    expect((await send(gateway, { body })).status).toBe(413);
    const chunked = await send(gateway, { body, headers: { "transfer-encoding": "chunked" } });
    expect(chunked.status).toBe(413);
    const largest = `{"jsonrpc":"2.0","id":1,"method":"ping"${" ".repeat(4 * 1024 * 1024 - 40)}}`;
    expect(largest).toHaveLength(4 * 1024 * 1024);
    expect((await send(gateway, { body: largest })).status).toBe(200);
  });

  it("carries the client's request id where it is well formed, makes one otherwise, and forbids caching", async () => {
    await using gateway = await startMcpEndpoint();
    const kept = await send(gateway, { body: ping(), headers: { "x-request-id": "trace-12345678" } });
    expect(kept.headers).toMatchObject({ "x-request-id": "trace-12345678", "cache-control": "no-store" });
    const made = await send(gateway, { body: ping(), headers: { "x-request-id": "a b" } });
    expect(made.headers["x-request-id"]).toMatch(/^req_/);
  });
});

/** node:http refuses to send what is not Latin-1; the wire carries the bytes. */
function encodeHeader(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

describe("malformed messages", () => {
  it.each([
    ["nothing", ""],
    ["half a message", '{"jsonrpc":"2.0",'],
    ["two messages in a row", `${JSON.stringify(ping())}${JSON.stringify(ping())}`],
    ["a comment", `${JSON.stringify(ping())} // hi`],
    ["invalid UTF-8", Buffer.from([0x22, 0xff, 0xfe, 0x22])],
    ["a method named twice", '{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}'],
    ["a method named twice, once in escapes", '{"jsonrpc":"2.0","id":1,"method":"ping","m\\u0065thod":"tools/list"}'],
    ["nesting without end", `${"[".repeat(100_000)}${"]".repeat(100_000)}`],
  ])("that are %s are answered with -32700 and 400", async (_what, body) => {
    await using gateway = await startMcpEndpoint();
    const reply = await send(gateway, { body });
    expect(reply.status).toBe(400);
    expect(reply.json).toMatchObject({ jsonrpc: "2.0", id: null, error: { code: -32700 } });
  });

  it("with an argument named twice issue no key, in both eras", async () => {
    await using gateway = await startMcpEndpoint();
    const call = (params: string) => `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":${params}}`;
    const args = '"arguments":{"service_name":"echo","scope":"read","scope":"write"}';
    const legacy = await send(gateway, { body: call(`{"name":"request_key",${args}}`) });
    const modern = await send(gateway, {
      body: call(`{"name":"request_key",${args},"_meta":${JSON.stringify(MODERN_META)}}`),
      headers: { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "request_key" },
    });
    for (const reply of [legacy, modern]) expect(reply.json).toMatchObject({ error: { code: -32700 } });
    expect(await gateway.issuedKeys()).toEqual([]);
  });

  it.each([
    ["a number", 7],
    ["null", null],
    ["no jsonrpc member", { id: 1, method: "ping" }],
    ["jsonrpc 1.0", { jsonrpc: "1.0", id: 1, method: "ping" }],
    ["a method that is no text", { jsonrpc: "2.0", id: 1, method: 5 }],
    ["an id that is an object", ping({})],
    ["a fractional id", ping(1.5)],
    ["params that are text", { jsonrpc: "2.0", id: 1, method: "tools/list", params: "x" }],
  ])("that are JSON but no JSON-RPC (%s) are answered with -32600 and 400", async (_what, body) => {
    await using gateway = await startMcpEndpoint();
    const reply = await send(gateway, { body: JSON.stringify(body) });
    expect(reply.status).toBe(400);
    expect(reply.json).toMatchObject({ error: { code: -32600 } });
  });

  it("are answered under the id they have, also one that no double can hold", async () => {
    await using gateway = await startMcpEndpoint();
    const reply = await send(gateway, { body: '{"jsonrpc":"2.0","id":9007199254740993,"method":"ping"}' });
    expect(reply.text).toContain('"id":9007199254740993,');
    const text = await send(gateway, { body: ping("9007199254740993") });
    expect(text.json).toMatchObject({ id: "9007199254740993", result: {} });
  });
});

describe("clients of 2025-11-25 and before", () => {
  const initialize = {
    jsonrpc: "2.0",
    id: 0,
    method: "initialize",
    params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "raw", version: "1" } },
  };

  it("get a session, which is theirs: nobody else's credential or agent, and no other path, finds it", async () => {
    await using gateway = await startMcpEndpoint();
    const opened = await send(gateway, { body: initialize });
    expect(opened.json).toMatchObject({ id: 0, result: { protocolVersion: "2025-11-25" } });
    const session = String(opened.headers["mcp-session-id"]);
    const own = { "mcp-session-id": session };
    const ready = await send(gateway, { body: { jsonrpc: "2.0", method: "notifications/initialized" }, headers: own });
    expect(ready).toMatchObject({ status: 202, text: "" });
    expect((await send(gateway, { body: ping(), headers: own })).json).toMatchObject({ result: {} });
    for (const other of [
      { authorization: `Bearer ${gateway.secrets.mallory}` },
      { authorization: `Bearer ${gateway.secrets.bob}` },
      { "x-agent-id": "another" },
      { "mcp-session-id": `${session}x` },
      { "mcp-session-id": "abc" },
    ]) {
      const stolen = await send(gateway, { body: ping(), headers: { ...own, ...other } });
      expect(stolen).toMatchObject({ status: 404, json: { error: { code: -32001, message: "Session not found" } } });
    }
  });

  it("end their session with DELETE, and it is unknown from then on", async () => {
    await using gateway = await startMcpEndpoint();
    const headers = { "mcp-session-id": String((await send(gateway, { body: initialize })).headers["mcp-session-id"]) };
    expect((await send(gateway, { method: "DELETE", body: "", headers })).status).toBe(204);
    expect((await send(gateway, { body: ping(), headers })).status).toBe(404);
    expect((await send(gateway, { method: "DELETE", body: "", headers })).status).toBe(404);
  });

  it.each([
    ["2024-11-05", "2024-11-05"],
    ["2025-03-26", "2025-03-26"],
    ["2025-06-18", "2025-06-18"],
    ["2025-11-25", "2025-11-25"],
    ["2023-01-01", "2025-11-25"],
  ])("asking for %s are offered %s", async (asked, offered) => {
    await using gateway = await startMcpEndpoint();
    const params = { protocolVersion: asked, capabilities: {}, clientInfo: { name: "raw", version: "1" } };
    const reply = await send(gateway, { body: { jsonrpc: "2.0", id: 1, method: "initialize", params } });
    expect(reply.json).toMatchObject({ result: { protocolVersion: offered } });
  });

  it("get -32602 for a malformed initialize, 400 for a revision that does not exist, -32601 for a method", async () => {
    await using gateway = await startMcpEndpoint();
    const malformed = await send(gateway, { body: { jsonrpc: "2.0", id: 3, method: "initialize", params: {} } });
    expect(malformed.json).toMatchObject({ id: 3, error: { code: -32602 } });
    const strange = await send(gateway, { body: ping(), headers: { "mcp-protocol-version": "1999-01-01" } });
    expect(strange.status).toBe(400);
    const missing = await send(gateway, { body: { jsonrpc: "2.0", id: 4, method: "resources/list" } });
    expect(missing.json).toMatchObject({ id: 4, error: { code: -32601 } });
  });

  it("may send a batch in 2025-03-26 and are answered with one array", async () => {
    await using gateway = await startMcpEndpoint();
    const batch = [ping("a"), { jsonrpc: "2.0", method: "notifications/initialized" }, ping("b")];
    for (const version of [null, "2025-03-26"]) {
      const reply = await send(gateway, { body: batch, headers: { "mcp-protocol-version": version } });
      expect(reply.json).toEqual([
        { jsonrpc: "2.0", id: "a", result: {} },
        { jsonrpc: "2.0", id: "b", result: {} },
      ]);
    }
    expect((await send(gateway, { body: [ping()] })).json).toEqual([{ jsonrpc: "2.0", id: 1, result: {} }]);
  });

  it.each([
    ["in a revision without batches", [ping()], "2025-06-18"],
    ["in 2025-11-25", [ping()], "2025-11-25"],
    ["in 2026-07-28", [ping()], "2026-07-28"],
    ["that is empty", [], null],
    ["with the same id twice", [ping(1), ping(1)], null],
    ["of more than 20 messages", Array.from({ length: 21 }, (_, id) => ping(id)), null],
    ["that smuggles in a 2026 message", [{ ...ping(), params: { _meta: MODERN_META } }], null],
    ["of something else", [7], null],
  ])("get -32600 for a batch %s", async (_what, body, version) => {
    await using gateway = await startMcpEndpoint();
    const reply = await send(gateway, { body, headers: { "mcp-protocol-version": version } });
    expect(reply).toMatchObject({ status: 400, json: { error: { code: -32600 } } });
  });
});

describe("clients of 2026-07-28", () => {
  const call = (over: Partial<Record<"version" | "method" | "name", string | null>> = {}): Sent => ({
    body: {
      jsonrpc: "2.0",
      id: 1,
      method: "tools/call",
      params: { name: "list_services", arguments: {}, _meta: MODERN_META },
    },
    headers: {
      "mcp-protocol-version": over.version === undefined ? "2026-07-28" : over.version,
      "mcp-method": over.method === undefined ? "tools/call" : over.method,
      "mcp-name": over.name === undefined ? "list_services" : over.name,
    },
  });

  it("are served without initialize, and their results say when they may be cached", async () => {
    await using gateway = await startMcpEndpoint();
    expect((await send(gateway, call())).json).toMatchObject({ result: { structuredContent: {} } });
    const list = await send(gateway, {
      body: { jsonrpc: "2.0", id: 1, method: "tools/list", params: { _meta: MODERN_META } },
      headers: { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/list" },
    });
    expect(list.json).toMatchObject({ result: { ttlMs: 3_600_000, cacheScope: "private" } });
  });

  it.each([
    ["no Mcp-Method", { method: null }],
    ["a Mcp-Method that the body contradicts", { method: "tools/list" }],
    ["no Mcp-Name", { name: null }],
    ["a Mcp-Name that the body contradicts", { name: "request_key" }],
    ["no MCP-Protocol-Version", { version: null }],
  ])("get -32020 and 400 for %s", async (_what, over) => {
    await using gateway = await startMcpEndpoint();
    expect(await send(gateway, call(over))).toMatchObject({
      status: 400,
      json: { id: 1, error: { code: -32020 } },
    });
  });
});

describe("the life of the endpoint", () => {
  it("answers 503 to everything once it is closed", async () => {
    await using gateway = await startMcpEndpoint();
    gateway.endpoint.close();
    expect((await send(gateway, { body: ping() })).status).toBe(503);
  });

  it("answers 408 and hangs up on a client that starts a body and does not end it", async () => {
    await using gateway = await startMcpEndpoint({ limits: { maxBodyMs: 50 } });
    const { port } = new URL(gateway.url);
    const answer = await new Promise<string>((resolve) => {
      let text = "";
      const socket = connect(Number(port), "127.0.0.1", () => {
        socket.write(`POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${gateway.secrets.alice}\r\n`);
        socket.write("Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{");
      });
      socket.setEncoding("utf8").on("data", (piece: string) => (text += piece));
      socket.on("end", () => resolve(text));
    });
    expect(answer).toMatch(/^HTTP\/1\.1 408 /);
    expect(answer).toContain("request.timeout");
  });

  it("survives a client that leaves in the middle of its body", async () => {
    await using gateway = await startMcpEndpoint();
    const { port } = new URL(gateway.url);
    await new Promise<void>((resolve) => {
      const socket = connect(Number(port), "127.0.0.1", () => {
        socket.write(`POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${gateway.secrets.alice}\r\n`);
        socket.write("Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{", () => socket.destroy());
      });
      socket.on("close", () => resolve());
    });
    expect((await send(gateway, { body: ping() })).status).toBe(200);
    expect(gateway.lines).toEqual([]);
  });
});
