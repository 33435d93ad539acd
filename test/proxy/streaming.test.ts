import { Agent, request } from "node:http";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type ProxyGateway, startProxyGateway } from "../support/proxy-gateway.ts";
import { exchangeRaw, openRaw } from "../support/raw-sockets.ts";
import { startUpstream, type Upstream } from "../support/upstream.ts";

let gateway: ProxyGateway;
let upstream: Upstream;
let secret: string;
/** What the upstream writes next; each test that uses it sets it. */
let pushEvent: (text: string) => void = () => undefined;
let endEvents: () => void = () => undefined;

beforeAll(async () => {
  gateway = await startProxyGateway();
  upstream = await startUpstream({
    "/events": (_req, res) => {
      res.writeHead(200, { "content-type": "text/event-stream" });
      res.flushHeaders();
      pushEvent = (text) => void res.write(text);
      endEvents = () => void res.end();
    },
    "/trailers-of-nothing": (req) =>
      void req.socket.end("HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "/trailers-of-known-length": (req) =>
      void req.socket.end("HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nContent-Length: 4\r\n\r\nbody"),
    "/no-content": (_req, res) => void res.writeHead(204).end(),
    "/not-modified": (_req, res) => void res.writeHead(304, { etag: '"v1"', "content-length": "1234" }).end(),
    "/too-large": (req, res) => {
      res.writeHead(413, { "content-type": "text/plain", connection: "close" });
      res.end("too large", () => req.socket.destroySoon());
    },
  });
  secret = (await gateway.key(await gateway.service(upstream.origin))).secret;
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

const auth = () => ({ authorization: `Bearer ${secret}` });
const head = (line: string, ...more: string[]) =>
  [`${line} HTTP/1.1`, "Host: gateway", `Authorization: Bearer ${secret}`, ...more, "", ""].join("\r\n");

async function nextText(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<string> {
  const { value } = await reader.read();
  return Buffer.from(value ?? []).toString();
}

describe("a streamed response", () => {
  it("delivers each server-sent event before the upstream has made the next", async () => {
    const response = await fetch(`${gateway.url}/v1/proxy/events`, { headers: auth() });
    const reader = response.body?.getReader();
    if (!reader) throw new Error("no body");
    for (const event of ["data: one\n\n", "data: two\n\n", "data: three\n\n"]) {
      pushEvent(event); // only now does the upstream have anything to send
      expect(await nextText(reader)).toBe(event);
    }
    endEvents();
    expect((await reader.read()).done).toBe(true);
  });

  it("has its head delivered while the upstream is still silent", async () => {
    const response = await fetch(`${gateway.url}/v1/proxy/events`, { headers: auth() });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    endEvents();
    await response.text();
  });

  it("keeps an event whole that ends like the beginning of the credential", async () => {
    const response = await fetch(`${gateway.url}/v1/proxy/events`, { headers: auth() });
    pushEvent("data: sk-real");
    pushEvent("-ly?\n\n");
    endEvents();
    expect(await response.text()).toBe("data: sk-real-ly?\n\n");
  });

  it("carries trailers to the client", async () => {
    const answer = await exchangeRaw(gateway.url, head("GET /v1/proxy/trailers", "TE: trailers", "Connection: close"));
    expect(answer).toMatch(/\r\n4\r\nbody\r\n0\r\ngrpc-status: 0\r\nx-checksum: abc\r\n\r\n$/i);
  });

  it("that announces trailers where there can be none is delivered all the same", async () => {
    for (const line of ["HEAD /v1/proxy/trailers-of-nothing", "GET /v1/proxy/trailers-of-known-length"]) {
      const answer = await exchangeRaw(gateway.url, head(line, "Connection: close"));
      expect(answer).toMatch(/^HTTP\/1\.1 200 /);
      expect(answer).not.toMatch(/\r\ntrailer:/i);
    }
  });

  it("has no body for HEAD, 204 and 304, and leaves the connection in order", async () => {
    const client = await openRaw(gateway.url);
    client.send(head("HEAD /v1/proxy/x"));
    const first = await client.until("\r\n\r\n");
    expect(first).toMatch(/^HTTP\/1\.1 200 .*content-length: \d+\r\n/is);
    client.send(head("GET /v1/proxy/no-content"));
    expect(await client.until("HTTP/1.1 204")).toBeTruthy();
    client.send(head("GET /v1/proxy/not-modified", "Connection: close"));
    const all = await client.ended;
    expect(all).toMatch(/HTTP\/1\.1 304 [^]*etag: "v1"\r\n/i);
    expect(all.endsWith("\r\n\r\n")).toBe(true);
    expect(all.match(/HTTP\/1\.1 /g)).toHaveLength(3);
  });
});

describe("a streamed request", () => {
  it("reaches the upstream without a length when the client gave none", async () => {
    const client = await openRaw(gateway.url);
    client.send(head("POST /v1/proxy/x", "Transfer-Encoding: chunked", "Connection: close"));
    client.send("5\r\nhello\r\n");
    client.send("6\r\n world\r\n0\r\n\r\n");
    const answer = await client.ended;
    expect(answer).toContain('"body":"hello world"');
    const seen = upstream.received.at(-1);
    expect(seen?.headers["transfer-encoding"]).toBe("chunked");
    expect(seen?.headers["content-length"]).toBeUndefined();
  });

  it("has its first piece delivered before the client sends the second", async () => {
    const arrival = upstream.next();
    const client = await openRaw(gateway.url);
    client.send(head("POST /v1/proxy/x", "Transfer-Encoding: chunked", "Connection: close"));
    client.send("5\r\nfirst\r\n");
    await arrival;
    client.send("6\r\nsecond\r\n0\r\n\r\n");
    expect(await client.ended).toContain('"body":"firstsecond"');
  });

  it("carries trailers to the upstream, but not credentials or identity in them", async () => {
    const answer = await exchangeRaw(
      gateway.url,
      head("POST /v1/proxy/x", "Transfer-Encoding: chunked", "Trailer: X-Checksum", "Connection: close") +
        "4\r\nbody\r\n0\r\nX-Checksum: abc\r\nX-Bifrost-Key-ID: forged\r\nAuthorization: Bearer mine\r\n\r\n",
    );
    expect(answer).toContain('"trailers":{"x-checksum":"abc"}');
    expect(answer).toContain('"body":"body"');
  });

  it("is answered when it announces trailers that its framing cannot have", async () => {
    const answer = await exchangeRaw(
      gateway.url,
      head("POST /v1/proxy/x", "Content-Length: 4", "Trailer: X-Checksum", "Connection: close") + "body",
    );
    expect(answer).toContain('"body":"body"');
  });

  it("is told to continue when it asks before sending its body", async () => {
    const client = await openRaw(gateway.url);
    client.send(head("POST /v1/proxy/x", "Content-Length: 5", "Expect: 100-continue", "Connection: close"));
    await client.until("HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello");
    expect(await client.ended).toContain('"body":"hello"');
    expect(upstream.received.at(-1)?.headers.expect).toBeUndefined();
  });

  it("gets the upstream's early refusal while it is still uploading", async () => {
    const client = await openRaw(gateway.url);
    client.send(head("POST /v1/proxy/too-large", "Content-Length: 10000000", "Connection: close"));
    client.send("x".repeat(100_000));
    expect(await client.until("too large")).toMatch(/^HTTP\/1\.1 413 /);
    client.socket.destroy();
    await vi.waitUntil(() => gateway.openRequests() === 0);
  });

  it("gets the gateway's own refusal although its body was never read, and may use the connection again", async () => {
    const client = await openRaw(gateway.url);
    client.send("POST /v1/proxy/x HTTP/1.1\r\nHost: gateway\r\nContent-Length: 3000000\r\n\r\n");
    client.send("x".repeat(3_000_000));
    expect(await client.until("key.missing")).toMatch(/^HTTP\/1\.1 401 /);
    client.send(head("GET /v1/proxy/after", "Connection: close"));
    expect(await client.ended).toContain('"url":"/after"');
  });
});

describe("a connection", () => {
  it("answers pipelined requests in order", async () => {
    const answer = await exchangeRaw(
      gateway.url,
      head("GET /v1/proxy/1") + head("GET /v1/proxy/2") + head("GET /v1/proxy/3", "Connection: close"),
    );
    const urls = [...answer.matchAll(/"url":"([^"]+)"/g)].map((match) => match[1]);
    expect(urls).toEqual(["/1", "/2", "/3"]);
  });

  it("survives an error of one request for the next", async () => {
    const client = await openRaw(gateway.url);
    client.send(head("GET /v1/proxy/reset"));
    await client.until("upstream.reset");
    client.send(head("GET /v1/proxy/..%2fx"));
    await client.until("request.path_invalid");
    client.send(head("GET /v1/proxy/after", "Connection: close"));
    expect(await client.ended).toContain('"url":"/after"');
  });

  it("to the upstream is used again: 4000 calls, 50 at a time, open 50 at most", async () => {
    const before = upstream.connections();
    let started = 0;
    const clientAgent = new Agent({ keepAlive: true, maxSockets: 50 });
    const caller = async () => {
      while (started++ < 4_000) {
        await new Promise<void>((resolve, reject) => {
          const call = request(
            `${gateway.url}/v1/proxy/no-content`,
            { headers: auth(), agent: clientAgent },
            (answer) => {
              answer.resume().once("end", resolve);
            },
          );
          call.once("error", reject).end();
        });
      }
    };
    await Promise.all(Array.from({ length: 50 }, caller));
    clientAgent.destroy();
    expect(upstream.connections() - before).toBeLessThanOrEqual(50);
  });
});
