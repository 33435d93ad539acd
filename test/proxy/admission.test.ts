import { setImmediate as nextTurn } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { Service } from "../../src/services/model.ts";
import { type ProxyGateway, startProxyGateway } from "../support/proxy-gateway.ts";
import { startUpstream, type Upstream } from "../support/upstream.ts";

/** Races in admission show only when the store takes time: every answer of it is late by some turns of the loop. */
async function latency(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await nextTurn();
}

let gateway: ProxyGateway;
let upstream: Upstream;
let service: Service;
const waiting: (() => void)[] = [];

beforeAll(async () => {
  gateway = await startProxyGateway({
    keyStore: (store) => ({
      ...store,
      async findBySecretHash(hash, nowMs) {
        await latency();
        const found = await store.findBySecretHash(hash, nowMs);
        await latency();
        return found;
      },
      async claimUse(uid) {
        await latency();
        const claimed = await store.claimUse(uid);
        await latency();
        return claimed;
      },
    }),
  });
  upstream = await startUpstream({ "/wait": (_req, res) => void waiting.push(() => res.end("{}")) });
  service = await gateway.service(upstream.origin);
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});
beforeEach(() => void (upstream.received.length = 0));

async function call(secret: string, path = "/v1/proxy/x"): Promise<string> {
  const response = await fetch(gateway.url + path, { headers: { authorization: `Bearer ${secret}` } });
  const { code } = (await response.json()) as { code?: string };
  return response.status === 200 ? "ok" : (code ?? String(response.status));
}

async function tally(calls: Promise<string>[]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const outcome of await Promise.all(calls)) counts[outcome] = (counts[outcome] ?? 0) + 1;
  return counts;
}

const times = (count: number, make: () => Promise<string>) => Array.from({ length: count }, make);

describe("of 200 parallel calls", () => {
  it("a one-shot key admits exactly one, and the upstream is called exactly once", async () => {
    const { secret } = await gateway.key(service, { maxUses: 1 });
    expect(await tally(times(200, () => call(secret)))).toEqual({ ok: 1, "key.used": 199 });
    expect(upstream.received).toHaveLength(1);
    expect(await call(secret)).toBe("key.used");
  });

  it("a key with seven uses admits exactly seven", async () => {
    const { secret } = await gateway.key(service, { maxUses: 7 });
    expect(await tally(times(200, () => call(secret)))).toEqual({ ok: 7, "key.used": 193 });
    expect(upstream.received).toHaveLength(7);
  });

  it("a rate limit of 13 admits exactly 13", async () => {
    const { secret } = await gateway.key(service, { rateLimit: 13 });
    expect(await tally(times(200, () => call(secret)))).toEqual({ ok: 13, "limit.rate": 187 });
    expect(upstream.received).toHaveLength(13);
  });

  it("a rate limit and uses together admit exactly the smaller number, and the larger is not spent for nothing", async () => {
    const { secret } = await gateway.key(service, { rateLimit: 50, maxUses: 5 });
    const counts = await tally(times(200, () => call(secret)));
    expect(counts["ok"]).toBe(5);
    expect(upstream.received).toHaveLength(5);
    // Requests refused for want of uses gave their rate unit back.
    expect(await call(secret)).toBe("key.used");
  });

  it("a concurrency of three admits exactly three, and three more when those have ended", async () => {
    const { secret } = await gateway.key(service, { maxConcurrency: 3 });
    const calls = times(200, () => call(secret, "/v1/proxy/wait"));
    await vi.waitUntil(() => waiting.length === 3);
    const refused = await Promise.race([Promise.all(calls), nextRefusals(calls, 197)]);
    expect(refused).toBe(197);
    for (const end of waiting.splice(0)) end();
    expect(await tally(calls)).toEqual({ ok: 3, "limit.concurrency": 197 });
    const more = times(3, () => call(secret, "/v1/proxy/wait"));
    await vi.waitUntil(() => waiting.length === 3);
    for (const end of waiting.splice(0)) end();
    expect(await tally(more)).toEqual({ ok: 3 });
  });
});

/** Resolves when so many of the calls have been refused. */
function nextRefusals(calls: readonly Promise<string>[], wanted: number): Promise<number> {
  return new Promise((resolve) => {
    let refused = 0;
    for (const pending of calls) {
      void pending.then((outcome) => {
        if (outcome !== "ok" && ++refused === wanted) resolve(refused);
      });
    }
  });
}

describe("a use", () => {
  it("is spent though the upstream fails, and not by a request that another rule refuses", async () => {
    const { secret } = await gateway.key(service, { maxUses: 1, scope: "read" });
    const response = await fetch(`${gateway.url}/v1/proxy/x`, {
      method: "POST",
      headers: { authorization: `Bearer ${secret}` },
    });
    expect(await response.json()).toMatchObject({ code: "key.scope" });
    expect(await call(secret, "/v1/proxy/..%2fx")).toBe("request.path_invalid");
    expect(await call(secret, "/v1/proxy/reset")).toBe("upstream.reset");
    expect(await call(secret)).toBe("key.used");
  });
});

it("an admission whose use cannot be recorded is refused, and gives back what it took", async () => {
  let fails = true;
  const broken = await startProxyGateway({
    keyStore: (store) => ({
      ...store,
      async claimUse(uid) {
        if (fails) throw new Error("disk full");
        return store.claimUse(uid);
      },
    }),
  });
  const { secret } = await broken.key(await broken.service(upstream.origin), {
    maxUses: 1,
    maxConcurrency: 1,
    rateLimit: 1,
  });
  const ask = async () => {
    const response = await fetch(`${broken.url}/v1/proxy/x`, { headers: { authorization: `Bearer ${secret}` } });
    return { status: response.status, body: await response.text() };
  };
  const refused = await ask();
  expect(refused.status).toBe(500);
  expect(refused.body).toContain('"code":"internal"');
  expect(refused.body).not.toContain("disk full");
  expect(upstream.received).toEqual([]);
  fails = false;
  expect((await ask()).status).toBe(200);
  await broken.close();
});
