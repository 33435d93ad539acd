import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { type ClientOptions, WebSocket, WebSocketServer } from "ws";
import type { Service } from "../../src/services/model.ts";
import { type ProxyGateway, REAL_SECRET, startProxyGateway } from "../support/proxy-gateway.ts";
import { exchangeRaw, openRaw, startRawUpstream } from "../support/raw-sockets.ts";

let gateway: ProxyGateway;
let server: Server;
let sockets: WebSocketServer;
let service: Service;
let origin: string;
/** The latest connection as the upstream has it. */
let latest: { socket: WebSocket; request: IncomingMessage };

beforeAll(async () => {
  gateway = await startProxyGateway();
  server = createServer((req, res) => {
    res.writeHead(200, { "content-type": "text/plain" });
    res.end(`plain ${req.method} ${req.headers.upgrade ?? "without upgrade"}`);
  });
  sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => (offered.has("chat.v2") ? "chat.v2" : false),
  });
  server.on("upgrade", (req, socket, head) => {
    if (req.url === "/refused") {
      const body = `{"error":"no rooms","echo":"${REAL_SECRET}"}`;
      socket.end(
        `HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nSet-Cookie: a=b\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
      return;
    }
    sockets.handleUpgrade(req, socket, head, (socketOfClient) => {
      latest = { socket: socketOfClient, request: req };
      socketOfClient.on("message", (data, isBinary) => socketOfClient.send(data, { binary: isBinary }));
    });
  });
  sockets.on("headers", (headers) => headers.push("Set-Cookie: session=upstream", "X-Bifrost-Key-ID: forged"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  service = await gateway.service(origin);
});
afterAll(async () => {
  for (const client of sockets.clients) client.terminate();
  await gateway.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});
beforeEach(async () => {
  await vi.waitUntil(() => gateway.openRequests() === 0);
  gateway.exchanges.length = 0;
});

function dial(
  secret: string,
  path = "/v1/proxy/chat",
  protocols: string[] = [],
  options: ClientOptions = {},
): WebSocket {
  const socket = new WebSocket(gateway.url.replace("http", "ws") + path, protocols, {
    ...options,
    headers: { authorization: `Bearer ${secret}`, ...options.headers },
  });
  socket.on("error", () => undefined);
  return socket;
}

async function open(secret: string, path?: string, protocols?: string[], options?: ClientOptions): Promise<WebSocket> {
  const socket = dial(secret, path, protocols, options);
  await once(socket, "open");
  return socket;
}

async function echoed(socket: WebSocket, message: string | Buffer): Promise<{ data: Buffer; isBinary: boolean }> {
  const answer = once(socket, "message") as Promise<[Buffer, boolean]>;
  socket.send(message);
  const [data, isBinary] = await answer;
  return { data, isBinary };
}

/** What the gateway answers to an upgrade that it, or the upstream, refuses. */
async function refusal(
  socket: WebSocket,
): Promise<{ status: number; headers: IncomingMessage["headers"]; body: string }> {
  const [, response] = (await once(socket, "unexpected-response")) as [unknown, IncomingMessage];
  let body = "";
  for await (const chunk of response) body += String(chunk);
  return { status: response.statusCode ?? 0, headers: response.headers, body };
}

describe("a WebSocket through the gateway", () => {
  it("carries text and binary messages of any size both ways", async () => {
    const { secret } = await gateway.key(service);
    const socket = await open(secret);
    expect(await echoed(socket, "hello, wörld")).toEqual({ data: Buffer.from("hello, wörld"), isBinary: false });
    const large = Buffer.alloc(3_000_000, 7);
    const answer = await echoed(socket, large);
    expect(answer.isBinary).toBe(true);
    expect(answer.data.equals(large)).toBe(true);
    socket.terminate();
    await vi.waitUntil(() => gateway.openRequests() === 0);
  });

  it("injects the credential and who calls, and passes nothing of the virtual key", async () => {
    const { secret, id } = await gateway.key(service, { source: "mcp", agentId: "agent-7" });
    const socket = await open(secret, "/v1/proxy/chat?room=1%202", [], {
      headers: { cookie: "session=mine", "x-bifrost-key-id": "forged", origin: "https://app.test" },
    });
    const { headers, url, rawHeaders } = latest.request;
    expect(url).toBe("/chat?room=1%202");
    expect(headers.authorization).toBe(`Bearer ${REAL_SECRET}`);
    expect(headers["x-bifrost-key-id"]).toBe(id);
    expect(headers["x-bifrost-agent-id"]).toBe("agent-7");
    expect(headers.cookie).toBeUndefined();
    expect(rawHeaders.join("\n")).not.toContain(secret);
    socket.terminate();
  });

  it("negotiates the subprotocol end to end", async () => {
    const { secret } = await gateway.key(service);
    const socket = await open(secret, undefined, ["chat.v1", "chat.v2"]);
    expect(socket.protocol).toBe("chat.v2");
    socket.terminate();
  });

  it("passes close codes and reasons both ways", async () => {
    const { secret } = await gateway.key(service);
    const first = await open(secret);
    const upstreamClosed = once(latest.socket, "close") as Promise<[number, Buffer]>;
    first.close(4001, "client says bye");
    const [code, reason] = await upstreamClosed;
    expect([code, reason.toString()]).toEqual([4001, "client says bye"]);
    const second = await open(secret);
    const clientClosed = once(second, "close") as Promise<[number, Buffer]>;
    latest.socket.close(4002, "server says bye");
    const [code2, reason2] = await clientClosed;
    expect([code2, reason2.toString()]).toEqual([4002, "server says bye"]);
    await vi.waitUntil(() => gateway.openRequests() === 0);
    expect(gateway.exchanges.map(({ status, error }) => [status, error])).toEqual([
      [101, null],
      [101, null],
    ]);
  });

  it("does not pass the upstream's cookies or forged identity with the 101, and adds the request id", async () => {
    const { secret } = await gateway.key(service);
    const socket = dial(secret, undefined, undefined, { headers: { "x-request-id": "ws-request-1" } });
    const [response] = (await once(socket, "upgrade")) as [IncomingMessage];
    expect(response.headers).not.toHaveProperty("set-cookie");
    expect(response.headers).not.toHaveProperty("x-bifrost-key-id");
    expect(response.headers["x-request-id"]).toBe("ws-request-1");
    socket.terminate();
  });

  it("delivers what the client sent together with its upgrade request", async () => {
    const { secret } = await gateway.key(service);
    const client = await openRaw(gateway.url);
    const frame = "\x81\x82\x00\x00\x00\x00hi"; // masked with zeroes
    client.send(
      `GET /v1/proxy/chat HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer ${secret}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n${frame}`,
    );
    await client.until("\r\n\r\n\x81\x02hi");
    client.socket.destroy();
    await vi.waitUntil(() => gateway.openRequests() === 0);
  });
});

describe("an upgrade that the upstream refuses", () => {
  it("has its plain answer relayed, without cookies and with the credential masked, and closes the connection", async () => {
    const { secret } = await gateway.key(service, { maxConcurrency: 1 });
    const { status, headers, body } = await refusal(dial(secret, "/v1/proxy/refused"));
    expect(status).toBe(403);
    expect(headers).not.toHaveProperty("set-cookie");
    expect(headers["connection"]).toBe("close");
    expect(body).toBe(`{"error":"no rooms","echo":"${"*".repeat(REAL_SECRET.length)}"}`);
    await vi.waitUntil(() => gateway.openRequests() === 0);
    expect(gateway.exchanges).toMatchObject([{ status: 403, error: null }]);
  });

  it("holds nothing of the gateway though the client keeps its side open", async () => {
    const { secret } = await gateway.key(service);
    const client = await openRaw(gateway.url);
    client.send(
      `GET /v1/proxy/refused HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer ${secret}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
    );
    expect(await client.ended).toMatch(/^HTTP\/1\.1 403 /);
    // Our half stays open: allowHalfOpen.
    await vi.waitUntil(() => gateway.openRequests() === 0 && gateway.exchanges.length === 1);
    client.socket.destroy();
  });

  it.each([
    ["closes at once", (socket: import("node:net").Socket) => void socket.end(), 502, "upstream.reset"],
    [
      "does not speak HTTP",
      (socket: import("node:net").Socket) => void socket.end("hello\r\n\r\n"),
      502,
      "upstream.protocol",
    ],
    ["is silent", () => undefined, 504, "upstream.timeout"],
  ])("because it %s is answered for with a stable code", async (_name, behave, status, code) => {
    const upstream = await startRawUpstream(behave);
    const timeouts = { connectMs: 1_000, headersMs: 50, idleMs: 0, totalMs: 0 };
    const { secret } = await gateway.key(await gateway.service(upstream.origin, { settings: { timeouts } }));
    const answer = await refusal(dial(secret));
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.body)).toMatchObject({ code, request_id: answer.headers["x-request-id"] });
    await vi.waitUntil(() => gateway.openRequests() === 0 && upstream.open() === 0);
    await upstream.close();
  });
});

describe("an upgrade with a key", () => {
  it("that is revoked, expired or unknown is refused and never reaches the upstream", async () => {
    const before = latest;
    const revoked = await gateway.key(service);
    await gateway.revoke(revoked.uid);
    expect(JSON.parse((await refusal(dial(revoked.secret))).body)).toMatchObject({ code: "key.revoked" });
    const expired = await gateway.key(service, { expiresAtMs: Date.now() - 1 });
    expect(JSON.parse((await refusal(dial(expired.secret))).body)).toMatchObject({ code: "key.expired" });
    const unknown = await refusal(dial("nonsense"));
    expect(unknown.status).toBe(401);
    expect(JSON.parse(unknown.body)).toMatchObject({ code: "key.invalid" });
    expect(latest).toBe(before);
  });

  it("whose scope is read passes, since the method is GET, and a path it is not granted does not", async () => {
    const read = await gateway.key(service, { scope: "read" });
    (await open(read.secret)).terminate();
    const narrow = await gateway.service(origin, { settings: { paths: ["/only"] } });
    const { secret } = await gateway.key(narrow);
    expect(JSON.parse((await refusal(dial(secret, "/v1/proxy/chat"))).body)).toMatchObject({ code: "key.not_granted" });
  });

  it("that is revoked while the socket is open ends both sides at once", async () => {
    const key = await gateway.key(service);
    const socket = await open(key.secret);
    const ends = Promise.all([once(socket, "close"), once(latest.socket, "close")]);
    await gateway.revoke(key.uid);
    await ends;
    expect(gateway.openRequests()).toBe(0);
  });

  it("that expires while the socket is open ends both sides", async () => {
    const key = await gateway.key(service, { expiresAtMs: Date.now() + 300 });
    const socket = await open(key.secret);
    await Promise.all([once(socket, "close"), once(latest.socket, "close")]);
    expect(gateway.openRequests()).toBe(0);
  });

  it("holds a place of the key's concurrency for as long as the socket is open", async () => {
    const { secret } = await gateway.key(service, { maxConcurrency: 1 });
    const socket = await open(secret);
    expect(JSON.parse((await refusal(dial(secret))).body)).toMatchObject({ code: "limit.concurrency" });
    socket.terminate();
    await vi.waitUntil(() => gateway.openRequests() === 0);
    (await open(secret)).terminate();
  });
});

describe("an Upgrade that is no WebSocket", () => {
  const ask = (secret: string, line: string, upgrade: string, ...more: string[]) =>
    exchangeRaw(
      gateway.url,
      [
        `${line} HTTP/1.1`,
        "Host: g",
        `Authorization: Bearer ${secret}`,
        "Connection: close, Upgrade, HTTP2-Settings",
        `Upgrade: ${upgrade}`,
        "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
        ...more,
        "",
        "",
      ].join("\r\n") + "body",
    );

  it.each(["h2c", "TLS/1.0", "HTTP/2.0", "tcp", "websocket, h2c"])(
    "%s is ignored: no tunnel past the policy",
    async (upgrade) => {
      const { secret } = await gateway.key(service);
      const answer = await ask(secret, "POST /v1/proxy/x", upgrade, "Content-Length: 4");
      expect(answer).toMatch(/^HTTP\/1\.1 200 /);
      expect(answer).toContain("plain POST without upgrade");
    },
  );

  it("a WebSocket upgrade with a body is served as the plain request that it is", async () => {
    const { secret } = await gateway.key(service);
    expect(await ask(secret, "GET /v1/proxy/x", "websocket", "Content-Length: 4")).toContain(
      "plain GET without upgrade",
    );
  });
});
