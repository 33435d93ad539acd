import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { DEFAULT_TIMEOUTS } from "../../src/services/model.ts";
import { selfSigned } from "../support/certificate.ts";
import { type ProxyGateway, startProxyGateway } from "../support/proxy-gateway.ts";
import { exchangeRaw, startRawUpstream } from "../support/raw-sockets.ts";

let gateway: ProxyGateway;
beforeAll(async () => {
  gateway = await startProxyGateway({
    resolve: ((host: string, _options: unknown, answer: (error: Error | null, found: unknown) => void) => {
      if (host === "upstream.test") answer(null, [{ address: "127.0.0.1", family: 4 }]);
      else answer(Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: "ENOTFOUND" }), []);
    }) as never,
  });
});
afterAll(() => gateway.close());

/** Stands for what an upstream may say and a client may not hear. */
const LEAK = "internal-detail-of-the-upstream";

async function callService(origin: string, timeouts: Partial<typeof DEFAULT_TIMEOUTS> = {}): Promise<string> {
  const service = await gateway.service(origin, { settings: { timeouts: { ...DEFAULT_TIMEOUTS, ...timeouts } } });
  const { secret } = await gateway.key(service, { maxConcurrency: 1 });
  const head = (more = "") =>
    `GET /v1/proxy/x HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer ${secret}\r\n${more}Connection: close\r\n\r\n`;
  gateway.exchanges.length = 0;
  const answer = await exchangeRaw(gateway.url, head("X-Request-ID: test-request-1\r\n"));
  await vi.waitUntil(() => gateway.exchanges.length === 1);
  expect(gateway.openRequests(), "nothing is left open").toBe(0);
  // Still alive, and the concurrency place is free: the refusal below is about the path, not about places.
  const after = await exchangeRaw(gateway.url, head().replace("/v1/proxy/x", "/v1/proxy/%2e%2e"));
  expect(after).toContain("request.path_invalid");
  return answer;
}

function expectRefusal(answer: string, status: number, code: string): void {
  expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  expect(answer).toContain(`"code":"${code}"`);
  expect(answer).toContain('"request_id":"test-request-1"');
  expect(answer).toMatch(/x-request-id: test-request-1\r\n/i);
  expect(answer).not.toContain(LEAK);
  expect(answer.match(/HTTP\/1\.1/g), "one response").toHaveLength(1);
}

type Answer = (socket: Socket) => void;
const says =
  (text: string): Answer =>
  (socket) =>
    void socket.end(text, "latin1");

/** Never ends by itself; stops when nobody listens any more. */
const forever =
  (first: string, again: string): Answer =>
  (socket) => {
    socket.write(first);
    const more = () => {
      while (!socket.destroyed && socket.write(again.repeat(100)));
    };
    socket.on("drain", more);
    more();
  };

describe("an upstream that", () => {
  it.each<[string, Answer, number, string]>([
    ["closes the connection without a word", (socket) => void socket.end(), 502, "upstream.reset"],
    ["resets the connection", (socket) => void socket.resetAndDestroy(), 502, "upstream.reset"],
    ["stops in the middle of its head", says(`HTTP/1.1 200 OK\r\nX-A: ${LEAK}`), 502, "upstream.reset"],
    ["does not speak HTTP", says(`220 ${LEAK} ESMTP\r\n\r\n`), 502, "upstream.protocol"],
    ["speaks HTTP/0.9", says(`<html>${LEAK}</html>`), 502, "upstream.protocol"],
    ["answers with status 000", says(`HTTP/1.1 000 ${LEAK}\r\n\r\n`), 502, "upstream.protocol"],
    ["answers with status 999", says(`HTTP/1.1 999 ${LEAK}\r\nContent-Length: 0\r\n\r\n`), 502, "upstream.protocol"],
    ["answers with status 20", says(`HTTP/1.1 20 ${LEAK}\r\n\r\n`), 502, "upstream.protocol"],
    [
      "switches protocols unasked",
      says(`HTTP/1.1 101 ${LEAK}\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n`),
      502,
      "upstream.reset",
    ],
    ["sends a header name with a space", says(`HTTP/1.1 200 OK\r\nX ${LEAK}: 1\r\n\r\n`), 502, "upstream.protocol"],
    [
      "sends a header value with a control character",
      says(`HTTP/1.1 200 OK\r\nX-A: a\x01${LEAK}\r\nContent-Length: 0\r\n\r\n`),
      502,
      "upstream.protocol",
    ],
    [
      "sends a header value with a NUL",
      says(`HTTP/1.1 200 OK\r\nX-A: a\0${LEAK}\r\nContent-Length: 0\r\n\r\n`),
      502,
      "upstream.protocol",
    ],
    [
      "says two different lengths",
      says(`HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 40\r\n\r\n${LEAK}`),
      502,
      "upstream.protocol",
    ],
    [
      "says a length and chunked",
      says(`HTTP/1.1 200 OK\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n`),
      502,
      "upstream.protocol",
    ],
    [
      "says a length that is no number",
      says(`HTTP/1.1 200 OK\r\nContent-Length: ${LEAK}\r\n\r\n`),
      502,
      "upstream.protocol",
    ],
    [
      "sends a head larger than 64 KiB",
      says(`HTTP/1.1 200 OK\r\nX-Big: ${LEAK.repeat(10_000)}\r\n\r\n`),
      502,
      "upstream.protocol",
    ],
    ["sends headers without end", forever("HTTP/1.1 200 OK\r\n", `X-A: ${LEAK}\r\n`), 502, "upstream.protocol"],
    [
      "sends informational responses without end",
      forever("", `HTTP/1.1 103 Early Hints\r\nLink: <${LEAK}>\r\n\r\n`),
      502,
      "upstream.protocol",
    ],
  ])("%s is answered for with a stable code and nothing of its own text", async (_name, answer, status, code) => {
    const upstream = await startRawUpstream(answer);
    try {
      expectRefusal(await callService(upstream.origin), status, code);
      await vi.waitUntil(() => upstream.open() === 0);
    } finally {
      await upstream.close();
    }
  });

  it("accepts the request and is silent is given up after headers_ms", async () => {
    const upstream = await startRawUpstream(() => undefined);
    expectRefusal(await callService(upstream.origin, { headersMs: 100 }), 504, "upstream.timeout");
    await vi.waitUntil(() => upstream.open() === 0);
    await upstream.close();
  });

  it("takes longer than total_ms is given up, however busy it is", async () => {
    const upstream = await startRawUpstream(forever("HTTP/1.1 200 OK\r\n\r\n", "x".repeat(1_000)));
    const answer = await callService(upstream.origin, { totalMs: 100 });
    expect(answer).not.toContain("\r\n0\r\n\r\n");
    expect(gateway.exchanges[0]?.error?.code).toBe("upstream.timeout");
    await vi.waitUntil(() => upstream.open() === 0);
    await upstream.close();
  });

  it.each<[string, Answer, string]>([
    [
      "falls silent in the middle of its body",
      (socket) => void socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
      "upstream.timeout",
    ],
    ["sends less than it promised", says("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc"), "upstream.reset"],
    [
      "ends a chunked body without its last chunk",
      says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
      "upstream.reset",
    ],
    [
      "sends a chunk size that is no number",
      says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n"),
      "upstream.protocol",
    ],
    [
      "resets the connection in the middle of its body",
      (socket) =>
        void socket.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", () =>
          setImmediate(() => socket.resetAndDestroy()),
        ),
      "upstream.reset",
    ],
  ])("%s has its response cut, so that it never looks complete", async (_name, answer, code) => {
    const upstream = await startRawUpstream(answer);
    const received = await callService(upstream.origin, { idleMs: 100 });
    expect(received).toMatch(/^(HTTP\/1\.1 200|$)/);
    expect(received.endsWith("0\r\n\r\n")).toBe(false);
    const body = received.split("\r\n\r\n")[1] ?? "";
    expect(body.length).toBeLessThan(20);
    expect(gateway.exchanges[0]?.error?.code).toBe(code);
    await vi.waitUntil(() => upstream.open() === 0);
    await upstream.close();
  });

  it("sends more than it promised keeps the surplus to itself", async () => {
    const upstream = await startRawUpstream(says(`HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc${LEAK}`));
    const answer = await callService(upstream.origin);
    expect(answer).toMatch(/^HTTP\/1\.1 200 [^]*\r\n\r\nabc$/);
    await upstream.close();
  });

  it("is not there is answered for with unreachable", async () => {
    const upstream = await startRawUpstream(() => undefined);
    await upstream.close();
    expectRefusal(await callService(upstream.origin), 502, "upstream.unreachable");
  });

  it("has a name that does not resolve is answered for with dns", async () => {
    expectRefusal(await callService("http://nowhere.test"), 502, "upstream.dns");
  });

  it("does not accept connections is given up after connect_ms", async () => {
    const blocked = await startBlockedListener();
    try {
      expectRefusal(await callService(blocked.origin, { connectMs: 100 }), 504, "upstream.timeout_connect");
    } finally {
      blocked.close();
    }
  });
});

describe("an upstream over TLS that", () => {
  it("does not speak TLS is answered for with tls", async () => {
    const upstream = await startRawUpstream(() => undefined);
    // Whatever it says first is no TLS record.
    const plain = await startPlainGreeter();
    expectRefusal(await callService(plain.origin), 502, "upstream.tls");
    plain.close();
    await upstream.close();
  });

  it("never answers the handshake is given up after connect_ms", async () => {
    const upstream = await startRawUpstream(() => undefined);
    const origin = upstream.origin.replace("http:", "https:");
    expectRefusal(await callService(origin, { connectMs: 100 }), 504, "upstream.timeout_connect");
    await vi.waitUntil(() => upstream.open() === 0);
    await upstream.close();
  });

  it.each([
    ["has a certificate that nobody vouches for", selfSigned(), "127.0.0.1"],
    ["has an expired certificate", selfSigned(new Date(Date.now() - 60_000)), "127.0.0.1"],
    ["has a certificate for another name", selfSigned(), "upstream.test"],
  ])("%s never sees the credential", async (_name, certificate, host) => {
    const seen: string[] = [];
    const server = createTlsServer(certificate, (socket) => {
      socket.on("data", (chunk: Buffer) => seen.push(chunk.toString()));
      socket.on("error", () => undefined);
    });
    server.on("tlsClientError", () => undefined);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const port = typeof address === "object" && address ? address.port : 0;
    expectRefusal(await callService(`https://${host}:${port}`), 502, "upstream.tls");
    expect(seen).toEqual([]);
    server.close();
  });
});

describe("a second response that an upstream appends to its first", () => {
  it("never reaches another client", async () => {
    const upstream = await startRawUpstream((socket, _head, nth) => {
      if (nth % 2 === 0) {
        socket.write(
          "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned",
        );
      } else socket.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhonest");
    });
    const service = await gateway.service(upstream.origin);
    const attacker = await gateway.key(service);
    const victim = await gateway.key(service);
    const call = async (secret: string) =>
      (await fetch(`${gateway.url}/v1/proxy/x`, { headers: { authorization: `Bearer ${secret}` } })).text();
    for (let round = 0; round < 20; round++) {
      expect(await call(attacker.secret)).toBe("ok");
      expect(await call(victim.secret)).toBe("honest");
    }
    await upstream.close();
  });
});

/** Speaks first, and not TLS. */
async function startPlainGreeter(): Promise<{ origin: string; close(): void }> {
  const { createServer } = await import("node:net");
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.end("220 mail.example ready, and this is not TLS at all\r\n");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  return { origin: `https://127.0.0.1:${port}`, close: () => void server.close() };
}

/** A listening port whose process never accepts: once its backlog is full, the kernel ignores further connections. */
async function startBlockedListener(): Promise<{ origin: string; close(): void }> {
  const script =
    'const s = require("net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {' +
    'require("fs").writeSync(1, s.address().port + "\\n"); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); });';
  const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  const port = Number(line.toString());
  const fillers = Array.from({ length: 8 }, () => connect(port, "127.0.0.1").on("error", () => undefined));
  await once(fillers[0] as Socket, "connect");
  return {
    origin: `http://127.0.0.1:${port}`,
    close() {
      for (const filler of fillers) filler.destroy();
      child.kill("SIGKILL");
    },
  };
}
