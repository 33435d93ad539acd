import { createHash } from "node:crypto";
import fc from "fast-check";
import type { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { openRedis } from "../../src/cluster/redis-connection.ts";
import { steadyClock } from "../../src/core/clock.ts";
import { createLogger } from "../../src/core/log.ts";
import { createMemoryLimits } from "../../src/limits/memory-limits.ts";
import { createRedisLimits, type RedisLimitsOptions } from "../../src/limits/redis-limits.ts";
import { runScript, TAKE } from "../../src/limits/redis-scripts.ts";
import type { Limits, LimitVerdict } from "../../src/limits/types.ts";
import { createManualClock } from "../support/manual-clock.ts";
import { describeWithRedis, type RedisServer, startRedis } from "../support/redis-server.ts";

const log = createLogger("silent");

describeWithRedis("limits shared over Redis", () => {
  let server: RedisServer;
  const cleanup: (() => unknown)[] = [];
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server.stop());
  afterEach(async () => {
    for (const step of cleanup.splice(0).reverse()) await step();
  });

  let keys = 0;
  const newKey = () => `vk_test${keys++}`;
  async function connect(): Promise<Redis> {
    const redis = await openRedis(server.url, "test", log);
    cleanup.push(() => redis.disconnect());
    return redis;
  }
  async function instance(options: Partial<RedisLimitsOptions> = {}): Promise<Limits> {
    const redis = await connect();
    const limits = createRedisLimits({
      redis,
      clock: steadyClock,
      log,
      whenDown: "refuse",
      deadlineMs: 2_000,
      ...options,
    });
    cleanup.push(() => limits.close());
    return limits;
  }
  const admitted = (verdicts: LimitVerdict[]) => verdicts.filter((verdict) => verdict.admitted);

  it("two instances together admit exactly the limit of parallel requests", async () => {
    const [one, two] = [await instance(), await instance()];
    const request = { keyUid: newKey(), rateLimit: 50, maxConcurrency: null };
    const verdicts = await Promise.all(
      Array.from({ length: 400 }, async (_, n) => await (n % 2 === 0 ? one : two).take(request)),
    );
    expect(admitted(verdicts)).toHaveLength(50);
    const refusal = verdicts.find((verdict) => !verdict.admitted);
    expect(refusal).toMatchObject({ reason: "rate", remaining: 0 });
    if (refusal && !refusal.admitted) {
      expect(refusal.retryAfterMs).toBeGreaterThan(58_000);
      expect(refusal.retryAfterMs).toBeLessThanOrEqual(61_000);
    }
  });

  it("two instances together admit exactly the limit at once, and hand places on", async () => {
    const [one, two] = [await instance(), await instance()];
    const request = { keyUid: newKey(), rateLimit: 10_000, maxConcurrency: 7 };
    const verdicts = await Promise.all(
      Array.from({ length: 100 }, async (_, n) => await (n % 2 === 0 ? one : two).take(request)),
    );
    const running = admitted(verdicts);
    expect(running).toHaveLength(7);
    for (const verdict of running) if (verdict.admitted) verdict.release();
    await expect.poll(async () => (await two.take(request)).admitted).toBe(true);
  });

  it("takes nothing from a refused request and gives an undone unit back", async () => {
    const limits = await instance();
    const request = { keyUid: newKey(), rateLimit: 2, maxConcurrency: 1 };
    const first = await limits.take(request);
    for (let n = 0; n < 5; n++)
      expect(await limits.take(request)).toMatchObject({ reason: "concurrency", remaining: 1 });
    if (first.admitted) first.undo();
    const second = await limits.take(request);
    expect(second).toMatchObject({ admitted: true, remaining: 1 });
    if (second.admitted) second.release();
    expect(await limits.take(request)).toMatchObject({ admitted: true, remaining: 0 });
    expect(await limits.take(request)).toMatchObject({ admitted: false, reason: "rate" });
  });

  // The same script with a clock that the test owns: seconds and microseconds as further arguments.
  const lua = TAKE.lua.replace("redis.call('TIME')", "{ARGV[5], ARGV[6]}");
  const timed = { lua, sha: createHash("sha1").update(lua).digest("hex") };

  it("forgets nothing and locks out for at most 61 seconds when the server's clock steps back", async () => {
    const redis = await connect();
    const uid = newKey();
    const takeAt = async (second: number) =>
      (await runScript(redis, timed, [`{${uid}}r`, `{${uid}}c`], [1, -1, "lease", 1_000, second, 0]))[0];
    expect(await takeAt(1_800_000_000)).toBe(1);
    expect(await takeAt(1_799_996_400)).toBe(0);
    expect(await takeAt(1_799_996_460)).toBe(0);
    expect(await takeAt(1_799_996_461)).toBe(1);
  });

  it("gives the same verdicts as the memory limits, at any arrival times", async () => {
    const redis = await connect();
    const gap = fc.oneof(fc.constantFrom(0, 1, 999, 1_000, 59_999, 60_000, 60_999, 61_000), fc.nat(4_000));
    await fc.assert(
      fc.asyncProperty(
        fc.array(gap, { minLength: 1, maxLength: 80 }),
        fc.integer({ min: 0, max: 8 }),
        async (gaps, rate) => {
          const clock = createManualClock(1_800_000_000_000);
          const memory = createMemoryLimits(clock);
          const uid = newKey();
          for (const ms of gaps) {
            clock.advance(ms);
            const time = [Math.floor(clock.now() / 1_000), (clock.now() % 1_000) * 1_000];
            const reply = await runScript(
              redis,
              timed,
              [`{${uid}}r`, `{${uid}}c`],
              [rate, -1, "lease", 1_000, ...time],
            );
            const verdict = memory.take({ keyUid: uid, rateLimit: rate, maxConcurrency: null });
            expect(reply.slice(0, 4)).toEqual([
              verdict.admitted ? 1 : 0,
              verdict.remaining,
              verdict.admitted ? 0 : verdict.retryAfterMs,
              verdict.resetMs,
            ]);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it("frees the places of an instance that died, and keeps those of one that lives", async () => {
    const leaseMs = 400;
    const dying = await instance({ leaseMs });
    const living = await instance({ leaseMs });
    const [lost, kept] = [newKey(), newKey()].map((keyUid) => ({ keyUid, rateLimit: 10_000, maxConcurrency: 1 }));
    if (!lost || !kept) return;
    expect((await dying.take(lost)).admitted).toBe(true);
    expect((await living.take(kept)).admitted).toBe(true);
    await dying.close();
    await expect.poll(async () => (await living.take(lost)).admitted, { timeout: 5_000 }).toBe(true);
    // More than a lease has passed since, renewed all the while.
    expect((await living.take(kept)).admitted).toBe(false);
  });

  it("names keys by uid only and lets them expire", async () => {
    const limits = await instance();
    const redis = await connect();
    const keyUid = newKey();
    await limits.take({ keyUid, rateLimit: 5, maxConcurrency: 5 });
    const names = await redis.keys(`*${keyUid}*`);
    expect(names.toSorted((a, b) => a.localeCompare(b))).toEqual([
      `bifrost:{${keyUid}}:rate`,
      `bifrost:{${keyUid}}:running`,
    ]);
    for (const name of names) expect(await redis.pttl(name)).toBeGreaterThan(0);
  });

  it("refuses while Redis hangs, stops asking it, and goes on when it is back", async () => {
    const limits = await instance({ deadlineMs: 30 });
    const request = { keyUid: newKey(), rateLimit: 1_000, maxConcurrency: 2 };
    await limits.take(request);
    server.freeze();
    cleanup.push(() => server.thaw());
    const attempt = async () => await limits.take(request);
    for (let n = 0; n < 5; n++)
      await expect(attempt()).rejects.toMatchObject({ code: "limit.unavailable", status: 503 });
    // The breaker is open: far more refusals than there is time to wait for.
    const refusals = await Promise.allSettled(Array.from({ length: 2_000 }, attempt));
    expect(refusals.filter((result) => result.status === "rejected").length).toBeGreaterThanOrEqual(1_999);
    server.thaw();
    // The places that the late answers took are given back, too: two are to be had again.
    await expect
      .poll(
        () =>
          attempt().then(
            (verdict) => verdict.admitted && verdict.remaining,
            () => null,
          ),
        { timeout: 10_000 },
      )
      .toBeTypeOf("number");
  });

  it("refuses at once while Redis is gone, and goes on when it is back", async () => {
    const limits = await instance();
    const request = { keyUid: newKey(), rateLimit: 1_000, maxConcurrency: null };
    const attempt = async () => await limits.take(request);
    await server.kill();
    try {
      for (let n = 0; n < 20; n++) await expect(attempt()).rejects.toMatchObject({ code: "limit.unavailable" });
    } finally {
      await server.restart();
    }
    await expect
      .poll(
        () =>
          attempt().then(
            (verdict) => verdict.admitted,
            () => null,
          ),
        { timeout: 10_000 },
      )
      .toBe(true);
  });

  it("falls back to its own counts where the configuration says so, not to empty ones", async () => {
    const limits = await instance({ whenDown: "local" });
    const request = { keyUid: newKey(), rateLimit: 3, maxConcurrency: null };
    await limits.take(request);
    await limits.take(request);
    await server.kill();
    try {
      expect(await limits.take(request)).toMatchObject({ admitted: true, remaining: 0 });
      expect(await limits.take(request)).toMatchObject({ admitted: false, reason: "rate" });
    } finally {
      await server.restart();
    }
  });

  it("refuses to start without a server, names the setting and keeps the password to itself", async () => {
    const error: unknown = await openRedis("redis://:hunter2@127.0.0.1:1", "test", log).catch(
      (thrown: unknown) => thrown,
    );
    expect(String(error)).toMatch(/redis_url/);
    expect(JSON.stringify([String(error), error instanceof Error ? String(error.cause) : ""])).not.toContain("hunter2");
  });
});
