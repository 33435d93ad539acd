import { once } from "node:events";
import { createSecureServer, createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { ServiceSettings } from "../../src/services/model.ts";
import { selfSigned } from "../support/certificate.ts";
import { type ProxyGateway, REAL_SECRET, startProxyGateway } from "../support/proxy-gateway.ts";
import { exchangeRaw } from "../support/raw-sockets.ts";

const certificate = selfSigned();
const systemRoots = getCACertificates("default");
let gateway: ProxyGateway;
/** Streams that the upstream saw closed before it had ended them. */
let cut = 0;
let sessions = 0;
let holdEvents: ServerHttp2Stream | null = null;

beforeAll(async () => {
  setDefaultCACertificates([...systemRoots, certificate.cert]);
  gateway = await startProxyGateway();
});
afterAll(async () => {
  setDefaultCACertificates(systemRoots);
  await gateway.close();
});

function behave(server: Http2Server): void {
  server.on("session", () => (sessions += 1));
  server.on("stream", (stream, headers) => {
    stream.on("error", () => undefined);
    stream.on("close", () => {
      if (stream.aborted) cut += 1;
    });
    const path = headers[":path"] ?? "";
    if (path === "/events") {
      stream.respond({ ":status": 200, "content-type": "text/event-stream" });
      holdEvents = stream;
    } else if (path === "/trailers") {
      stream.respond({ ":status": 200 }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.end("body");
    } else if (path === "/reset") {
      stream.close(0x2);
    } else if (path !== "/hang") {
      const chunks: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("end", () => {
        stream.respond({ ":status": 200, "set-cookie": "a=b", "x-bifrost-key-id": "forged", "x-echo": REAL_SECRET });
        stream.end(JSON.stringify({ headers, body: Buffer.concat(chunks).toString("latin1") }));
      });
    }
  });
}

describe.each<[string, () => Http2Server, string, Partial<ServiceSettings>]>([
  ["with prior knowledge", () => createServer(), "http", { http2: "prior_knowledge" }],
  ["negotiated over TLS", () => createSecureServer(certificate), "https", { http2: "auto" }],
])("an HTTP/2 upstream %s", (_name, create, scheme, settings) => {
  let server: Http2Server;
  let secret: string;
  let keyUid: string;
  beforeAll(async () => {
    server = create();
    behave(server);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const origin = `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const key = await gateway.key(await gateway.service(origin, { settings }));
    secret = key.secret;
    keyUid = key.uid;
  });
  afterAll(() => void server.close());

  const call = (path: string, init: RequestInit = {}) =>
    fetch(`${gateway.url}/v1/proxy${path}`, { ...init, headers: { authorization: `Bearer ${secret}` } });

  it("gets the same request and has its answer filtered by the same rules", async () => {
    const response = await call("/x?a=1", { method: "POST", body: "hello" });
    const { headers, body } = (await response.json()) as { headers: Record<string, string>; body: string };
    expect(headers[":method"]).toBe("POST");
    expect(headers[":path"]).toBe("/x?a=1");
    expect(headers["authorization"]).toBe(`Bearer ${"*".repeat(REAL_SECRET.length)}`);
    expect(body).toBe("hello");
    expect(response.headers.get("set-cookie")).toBeNull();
    expect(response.headers.get("x-bifrost-key-id")).toBeNull();
    expect(response.headers.get("x-echo")).toBe("*".repeat(REAL_SECRET.length));
  });

  it("streams large bodies both ways", async () => {
    const sent = "x".repeat(3_000_000);
    const { body } = (await (await call("/x", { method: "POST", body: sent })).json()) as { body: string };
    expect(body.length).toBe(sent.length);
  });

  it("delivers each event before the next is made", async () => {
    const response = await call("/events");
    const reader = response.body?.getReader();
    for (const event of ["data: 1\n\n", "data: 2\n\n"]) {
      holdEvents?.write(event);
      const { value } = (await reader?.read()) ?? {};
      expect(Buffer.from(value ?? []).toString()).toBe(event);
    }
    holdEvents?.end();
  });

  it("has its trailers carried to the client", async () => {
    const answer = await exchangeRaw(
      gateway.url,
      `GET /v1/proxy/trailers HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer ${secret}\r\nConnection: close\r\n\r\n`,
    );
    expect(answer).toMatch(/4\r\nbody\r\n0\r\ngrpc-status: 0\r\n\r\n$/);
  });

  it("that resets a stream is answered for with a code of the gateway", async () => {
    const response = await call("/reset");
    expect(response.status).toBe(502);
    expect(((await response.json()) as { code: string }).code).toMatch(/^upstream\.(protocol|reset)$/);
  });

  it("has its stream ended when the client goes away", async () => {
    const before = cut;
    const abort = new AbortController();
    const response = await call("/events", { signal: abort.signal });
    expect(response.status).toBe(200);
    abort.abort();
    await vi.waitUntil(() => cut > before && gateway.openRequests() === 0);
  });

  it("serves 50 parallel requests over the connection that is open", async () => {
    const before = sessions;
    const answers = await Promise.all(Array.from({ length: 50 }, async () => (await call("/x")).status));
    expect(new Set(answers)).toEqual(new Set([200]));
    expect(sessions).toBe(before);
  });

  it("has its streams ended by a revocation", async () => {
    const before = cut;
    const waiting = call("/hang");
    await vi.waitUntil(() => gateway.openRequests() === 1);
    await gateway.revoke(keyUid);
    expect(((await (await waiting).json()) as { code: string }).code).toBe("key.revoked");
    await vi.waitUntil(() => cut > before);
  });
});
