import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { Service } from "../../src/services/model.ts";
import { createManualClock } from "../support/manual-clock.ts";
import { type ProxyGateway, startProxyGateway } from "../support/proxy-gateway.ts";
import { openRaw } from "../support/raw-sockets.ts";
import { startUpstream, type Upstream } from "../support/upstream.ts";

let gateway: ProxyGateway;
let upstream: Upstream;
let service: Service;
const clock = createManualClock();
/** While set, what it names waits until the test lets it go on. */
let hold: "read" | "claim" | "credential" | null = null;
let go: (() => void) | null = null;

async function gate(at: typeof hold): Promise<void> {
  if (hold !== at) return;
  hold = null;
  await new Promise<void>((resolve) => (go = resolve));
}

beforeAll(async () => {
  gateway = await startProxyGateway({
    clock,
    keyStore: (store) => ({
      ...store,
      async findBySecretHash(hash, nowMs) {
        const found = await store.findBySecretHash(hash, nowMs);
        await gate("read"); // the answer is on its way, and may be out of date when it arrives
        return found;
      },
      async claimUse(uid) {
        const claimed = await store.claimUse(uid);
        await gate("claim");
        return claimed;
      },
    }),
    credentials: (store) => ({
      ...store,
      async findByUid(uid) {
        await gate("credential");
        return store.findByUid(uid);
      },
    }),
  });
  upstream = await startUpstream();
  service = await gateway.service(upstream.origin);
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});
beforeEach(() => {
  hold = null;
  go = null;
  upstream.received.length = 0;
});

async function call(
  secret: string,
  path = "/v1/proxy/x",
  init: RequestInit = {},
): Promise<{ status: number; code: string }> {
  const response = await fetch(gateway.url + path, { ...init, headers: { authorization: `Bearer ${secret}` } });
  const { code = "" } = (await response.json()) as { code?: string };
  return { status: response.status, code };
}

async function whileHeld(at: NonNullable<typeof hold>, secret: string, then: () => Promise<void> | void) {
  hold = at;
  const pending = call(secret);
  await vi.waitUntil(() => go !== null);
  await then();
  go?.();
  return pending;
}

describe("a revocation", () => {
  it("ends a stream that is open: the client sees a cut, the upstream an end", async () => {
    const key = await gateway.key(service);
    const arrival = upstream.next();
    const client = await openRaw(gateway.url);
    client.send(`GET /v1/proxy/endless HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer ${key.secret}\r\n\r\n`);
    await client.until("xxxx");
    await gateway.revoke(key.uid);
    expect(gateway.openRequests()).toBe(0);
    expect((await client.ended).endsWith("\r\n0\r\n\r\n")).toBe(false);
    expect(await (await arrival).aborted).toBe(true);
  });

  it("answers a request that still waits for its upstream, and ends the upstream's side", async () => {
    const key = await gateway.key(service);
    const arrival = upstream.next();
    const pending = call(key.secret, "/v1/proxy/hang");
    const seen = await arrival;
    await gateway.revoke(key.uid);
    expect(await pending).toEqual({ status: 401, code: "key.revoked" });
    expect(await seen.aborted).toBe(true);
  });

  it("ends an upload that is under way", async () => {
    const key = await gateway.key(service);
    const arrival = upstream.next();
    const client = await openRaw(gateway.url);
    client.send(
      `POST /v1/proxy/hang HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer ${key.secret}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`,
    );
    const seen = await arrival;
    await gateway.revoke(key.uid);
    await client.until("key.revoked");
    expect(await seen.aborted).toBe(true);
    expect(gateway.openRequests()).toBe(0);
    client.socket.destroy();
  });

  it("ends an upload with trailers announced, whatever the client sends afterwards", async () => {
    const key = await gateway.key(service);
    const arrival = upstream.next();
    const client = await openRaw(gateway.url);
    client.send(
      `POST /v1/proxy/hang HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer ${key.secret}\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n`,
    );
    const seen = await arrival;
    await gateway.revoke(key.uid);
    await client.until("key.revoked");
    client.send("5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n");
    expect(await seen.aborted).toBe(true);
    expect((await call((await gateway.key(service)).secret)).status).toBe(200);
    client.socket.destroy();
  });

  it("leaves the streams of other keys alone", async () => {
    const [revoked, other] = [await gateway.key(service), await gateway.key(service)];
    const arrivals = [upstream.next(), upstream.next()];
    const pending = call(revoked.secret, "/v1/proxy/hang");
    const abort = new AbortController();
    const unharmed = call(other.secret, "/v1/proxy/hang", { signal: abort.signal }).catch(() => "cut by the test");
    await Promise.all(arrivals);
    await gateway.revoke(revoked.uid);
    await pending;
    expect(gateway.openRequests()).toBe(1);
    abort.abort();
    expect(await unharmed).toBe("cut by the test");
    await vi.waitUntil(() => gateway.openRequests() === 0);
  });

  it.each(["read", "claim", "credential"] as const)(
    "that happens while the request waits for the %s refuses it, and the upstream is never called",
    async (at) => {
      const fresh = await gateway.service(upstream.origin); // its credential was never opened
      const key = await gateway.key(fresh, { maxUses: 5, maxConcurrency: 1 });
      expect(await whileHeld(at, key.secret, () => gateway.revoke(key.uid))).toEqual({
        status: 401,
        code: "key.revoked",
      });
      expect(upstream.received).toEqual([]);
      expect(gateway.openRequests()).toBe(0);
    },
  );
});

describe("an expiry", () => {
  it("refuses the key from that very millisecond on", async () => {
    const key = await gateway.key(service, { expiresAtMs: clock.now() + 1_000 });
    clock.advance(999);
    expect((await call(key.secret)).status).toBe(200);
    clock.advance(1);
    expect(await call(key.secret)).toEqual({ status: 401, code: "key.expired" });
  });

  it.each(["read", "claim", "credential"] as const)(
    "that comes while the request waits for the %s refuses it",
    async (at) => {
      const fresh = await gateway.service(upstream.origin);
      const key = await gateway.key(fresh, { maxUses: 5, expiresAtMs: clock.now() + 1_000 });
      expect(await whileHeld(at, key.secret, () => clock.advance(1_000))).toEqual({ status: 401, code: "key.expired" });
      expect(upstream.received).toEqual([]);
    },
  );
});

describe("a rotation", () => {
  it("leaves the old secret valid for its grace period, then it is as unknown as any other", async () => {
    const key = await gateway.key(service);
    expect((await call(key.secret)).status).toBe(200);
    const next = await gateway.rotate(key.uid, 1_000);
    expect((await call(key.secret)).status).toBe(200);
    expect((await call(next)).status).toBe(200);
    clock.advance(1_000);
    expect(await call(key.secret)).toEqual({ status: 401, code: "key.invalid" });
    expect((await call(next)).status).toBe(200);
  });

  it("without grace ends the old secret at once", async () => {
    const key = await gateway.key(service);
    expect((await call(key.secret)).status).toBe(200);
    await gateway.rotate(key.uid, 0);
    expect(await call(key.secret)).toEqual({ status: 401, code: "key.invalid" });
  });

  it("does not outlive a revocation: both secrets end", async () => {
    const key = await gateway.key(service);
    const next = await gateway.rotate(key.uid, 60_000);
    expect((await call(key.secret)).status).toBe(200);
    expect((await call(next)).status).toBe(200);
    await gateway.revoke(key.uid);
    expect((await call(key.secret)).code).toBe("key.revoked");
    expect((await call(next)).code).toBe("key.revoked");
  });

  it("counts both secrets against one set of limits", async () => {
    const key = await gateway.key(service, { rateLimit: 2 });
    expect((await call(key.secret)).status).toBe(200);
    const next = await gateway.rotate(key.uid, 60_000);
    expect((await call(next)).status).toBe(200);
    expect((await call(key.secret)).code).toBe("limit.rate");
    expect((await call(next)).code).toBe("limit.rate");
  });
});
