import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { Service } from "../../src/services/model.ts";
import { type ProxyGateway, startProxyGateway } from "../support/proxy-gateway.ts";
import { openRaw } from "../support/raw-sockets.ts";
import { startUpstream, type Upstream } from "../support/upstream.ts";

let gateway: ProxyGateway;
let upstream: Upstream;
let service: Service;
let secret: string;
/** Lets a look-up of a use go on; set while one waits. */
let letAdmissionPass: (() => void) | null = null;
let letCredentialOpen: (() => void) | null = null;
let holdCredentials = false;

beforeAll(async () => {
  gateway = await startProxyGateway({
    keyStore: (store) => ({
      ...store,
      async claimUse(uid) {
        await new Promise<void>((resolve) => (letAdmissionPass = resolve));
        return store.claimUse(uid);
      },
    }),
    credentials: (store) => ({
      ...store,
      async findByUid(uid) {
        if (holdCredentials) await new Promise<void>((resolve) => (letCredentialOpen = resolve));
        return store.findByUid(uid);
      },
    }),
  });
  upstream = await startUpstream({ "/swallow": (req) => void req.resume() });
  service = await gateway.service(upstream.origin);
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});
beforeEach(async () => {
  secret = (await gateway.key(service, { maxConcurrency: 1 })).secret;
  gateway.exchanges.length = 0;
});

const head = (line: string, ...more: string[]) =>
  [`${line} HTTP/1.1`, "Host: gateway", `Authorization: Bearer ${secret}`, ...more, "", ""].join("\r\n");

/** Everything that the request held is given back, and it was settled once. */
async function expectSettledOnce(outcome: { status: number | null }): Promise<void> {
  await vi.waitUntil(() => gateway.exchanges.length > 0 && gateway.openRequests() === 0);
  const next = await fetch(`${gateway.url}/v1/proxy/x`, { headers: { authorization: `Bearer ${secret}` } });
  expect(next.status, "the concurrency place is free again").toBe(200);
  await next.text();
  expect(gateway.exchanges).toHaveLength(2);
  expect(gateway.exchanges[0]).toMatchObject({ ...outcome, error: null });
}

describe("a client that goes away", () => {
  it("before the upstream has answered ends the upstream's request, and no status is made up", async () => {
    const arrival = upstream.next();
    const client = await openRaw(gateway.url);
    client.send(head("GET /v1/proxy/hang"));
    const seen = await arrival;
    client.socket.destroy();
    expect(await seen.aborted).toBe(true);
    await expectSettledOnce({ status: null });
  });

  it("in the middle of the body ends the upstream's response, under the status that was sent", async () => {
    const arrival = upstream.next();
    const client = await openRaw(gateway.url);
    client.send(head("GET /v1/proxy/endless"));
    await client.until("xxxx");
    client.socket.destroy();
    expect(await (await arrival).aborted).toBe(true);
    await expectSettledOnce({ status: 200 });
  });

  it("while it uploads ends the upstream's request", async () => {
    const arrival = upstream.next();
    const client = await openRaw(gateway.url);
    client.send(head("POST /v1/proxy/swallow", "Content-Length: 1000000") + "the beginning".repeat(2_000));
    const seen = await arrival;
    client.socket.destroy();
    expect(await seen.aborted).toBe(true);
    await expectSettledOnce({ status: null });
  });

  it("while it uploads in chunks, with trailers announced, ends the upstream's request", async () => {
    const arrival = upstream.next();
    const client = await openRaw(gateway.url);
    client.send(head("POST /v1/proxy/swallow", "Transfer-Encoding: chunked", "Trailer: X-Sum") + "5\r\nhello\r\n");
    const seen = await arrival;
    client.socket.destroy();
    expect(await seen.aborted).toBe(true);
    await expectSettledOnce({ status: null });
  });

  it("in the middle of a small body never reaches the upstream", async () => {
    const calls = upstream.received.length;
    const client = await openRaw(gateway.url);
    client.send(head("POST /v1/proxy/x", "Content-Length: 10", "Expect: 100-continue"));
    await client.until("100 Continue");
    client.send("half");
    client.socket.destroy();
    await vi.waitUntil(() => gateway.exchanges.length > 0);
    expect(upstream.received.length).toBe(calls);
    await expectSettledOnce({ status: null });
  });

  it.each([
    ["without a body", "", ""],
    ["with a small body that is complete", "Content-Length: 4", "body"],
    ["with a small body that is not complete", "Content-Length: 4", "bo"],
    ["with a large body", "Content-Length: 1000000", "body"],
    ["with a chunked body", "Transfer-Encoding: chunked", "4\r\nbody\r\n"],
  ])("while its admission waits, %s, costs the upstream nothing and holds nothing", async (_name, framing, body) => {
    const limited = await gateway.key(service, { maxUses: 5, maxConcurrency: 1 });
    const calls = upstream.received.length;
    secret = limited.secret;
    letAdmissionPass = null;
    const client = await openRaw(gateway.url);
    client.send(head("POST /v1/proxy/x", ...(framing === "" ? [] : [framing])) + body);
    await vi.waitUntil(() => letAdmissionPass !== null);
    const pass = letAdmissionPass as unknown as () => void;
    client.socket.destroy();
    // The gateway has seen the end of this connection once it has served one that began later.
    await (await fetch(`${gateway.url}/elsewhere`)).text();
    pass();
    await vi.waitUntil(() => gateway.exchanges.length === 1);
    expect(upstream.received.length).toBe(calls);
    expect(gateway.exchanges[0]).toMatchObject({ status: null, error: null });
    letAdmissionPass = null;
    const again = fetch(`${gateway.url}/v1/proxy/x`, { headers: { authorization: `Bearer ${secret}` } });
    await vi.waitUntil(() => letAdmissionPass !== null);
    (letAdmissionPass as unknown as () => void)();
    expect((await again).status).toBe(200);
    await (await again).text();
    expect(gateway.openRequests()).toBe(0);
  });

  it("while the credential opens never has it sent", async () => {
    const fresh = await gateway.service(upstream.origin);
    secret = (await gateway.key(fresh, { maxConcurrency: 1 })).secret;
    const calls = upstream.received.length;
    holdCredentials = true;
    const client = await openRaw(gateway.url);
    client.send(head("POST /v1/proxy/x", "Content-Length: 4") + "body");
    await vi.waitUntil(() => letCredentialOpen !== null);
    client.socket.destroy();
    await (await fetch(`${gateway.url}/elsewhere`)).text();
    holdCredentials = false;
    letCredentialOpen?.();
    await vi.waitUntil(() => gateway.exchanges.length === 1);
    expect(upstream.received.length).toBe(calls);
    await expectSettledOnce({ status: null });
  });

  it("with requests waiting behind one another ends them all", async () => {
    const many = await gateway.key(service, { maxConcurrency: 2 });
    secret = many.secret;
    const arrivals = [upstream.next(), upstream.next()];
    const client = await openRaw(gateway.url);
    client.send(head("GET /v1/proxy/hang") + head("GET /v1/proxy/hang"));
    const seen = await Promise.all(arrivals);
    client.socket.destroy();
    expect(await Promise.all(seen.map(({ aborted }) => aborted))).toEqual([true, true]);
    await vi.waitUntil(() => gateway.exchanges.length === 2 && gateway.openRequests() === 0);
    expect(gateway.exchanges.map(({ status, error }) => ({ status, error }))).toEqual([
      { status: null, error: null },
      { status: null, error: null },
    ]);
  });
});

describe("a client that stays but stops", () => {
  it("reading its response is cut off after the service's idle time, and the upstream with it", async () => {
    const idle = await gateway.service(upstream.origin, {
      settings: { timeouts: { connectMs: 1_000, headersMs: 60_000, idleMs: 100, totalMs: 0 } },
    });
    secret = (await gateway.key(idle)).secret;
    const arrival = upstream.next();
    const client = await openRaw(gateway.url);
    client.socket.pause();
    client.send(head("GET /v1/proxy/endless"));
    expect(await (await arrival).aborted).toBe(true);
    await vi.waitUntil(() => gateway.exchanges.length === 1 && gateway.openRequests() === 0);
    expect(gateway.exchanges[0]).toMatchObject({ status: 200, error: null });
    client.socket.destroy();
  });

  it("sending its body is cut off after the service's idle time, small body or large", async () => {
    const idle = await gateway.service(upstream.origin, {
      settings: { timeouts: { connectMs: 1_000, headersMs: 60_000, idleMs: 50, totalMs: 0 } },
    });
    secret = (await gateway.key(idle, { maxConcurrency: 1 })).secret;
    for (const length of ["Content-Length: 10", "Content-Length: 1000000"]) {
      gateway.exchanges.length = 0;
      const client = await openRaw(gateway.url);
      client.send(head("POST /v1/proxy/swallow", length) + "half");
      await client.ended;
      await vi.waitUntil(() => gateway.exchanges.length === 1 && gateway.openRequests() === 0);
    }
  });
});
