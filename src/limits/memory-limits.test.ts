import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createManualClock } from "../../test/support/manual-clock.ts";
import { createMemoryLimits } from "./memory-limits.ts";
import type { LimitVerdict } from "./types.ts";

const key = (rateLimit: number, maxConcurrency: number | null = null, keyUid = "vk_1") => ({
  keyUid,
  rateLimit,
  maxConcurrency,
});
const admitted = (verdict: LimitVerdict) => {
  if (!verdict.admitted) throw new Error(`refused: ${verdict.reason}`);
  return verdict;
};
const refused = (verdict: LimitVerdict) => {
  if (verdict.admitted) throw new Error("admitted");
  return verdict;
};
/** Pauses from none to over a minute, fractions of a millisecond included, many near the edges of a second. */
const pauses = fc.array(
  fc.oneof(
    fc.constantFrom(0, 0.25, 1, 499, 999, 1_000, 1_001, 58_999, 59_000, 59_999, 60_000, 60_001, 61_000),
    fc.double({ min: 0, max: 3_000, noNaN: true }),
  ),
  { minLength: 1, maxLength: 300 },
);

describe("rate", () => {
  it("admits at most the limit in any 60 seconds, whatever the arrival times", () => {
    fc.assert(
      fc.property(pauses, fc.integer({ min: 1, max: 30 }), fc.nat(999), (gaps, limit, start) => {
        const clock = createManualClock(start);
        const limits = createMemoryLimits(clock);
        const times: number[] = [];
        for (const gap of gaps) {
          clock.advance(gap);
          const verdict = limits.take(key(limit));
          if (!verdict.admitted) continue;
          verdict.release();
          times.push(clock.now());
        }
        // Any window holding too many has one that begins with an admitted request: check each of those.
        for (const from of times) {
          expect(times.filter((time) => time >= from && time <= from + 60_000).length).toBeLessThanOrEqual(limit);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("admits the full limit after 61 seconds of silence, whatever came before", () => {
    fc.assert(
      fc.property(pauses, fc.integer({ min: 1, max: 30 }), (gaps, limit) => {
        const clock = createManualClock(0);
        const limits = createMemoryLimits(clock);
        for (const gap of gaps) {
          clock.advance(gap);
          limits.take(key(limit));
        }
        clock.advance(61_000);
        for (let n = 0; n < limit; n++) admitted(limits.take(key(limit)));
        refused(limits.take(key(limit)));
      }),
    );
  });

  it("says exactly how long to wait: one tick before is refused, then admitted", () => {
    fc.assert(
      fc.property(pauses, fc.integer({ min: 1, max: 5 }), (gaps, limit) => {
        const clock = createManualClock(0);
        const limits = createMemoryLimits(clock);
        for (const gap of gaps) {
          clock.advance(Math.floor(gap));
          limits.take(key(limit));
        }
        const verdict = limits.take(key(limit));
        if (verdict.admitted) return;
        expect(verdict.retryAfterMs).toBeGreaterThan(0);
        clock.advance(verdict.retryAfterMs - 1);
        refused(limits.take(key(limit)));
        clock.advance(1);
        admitted(limits.take(key(limit)));
      }),
    );
  });

  it("takes nothing from a refused request", () => {
    const clock = createManualClock(0);
    const limits = createMemoryLimits(clock);
    admitted(limits.take(key(1)));
    for (let n = 0; n < 100; n++) {
      clock.advance(600);
      expect(refused(limits.take(key(1))).reason).toBe("rate");
    }
    clock.set(61_000);
    admitted(limits.take(key(1)));
  });

  it("counts down what remains and says when all is available again", () => {
    const clock = createManualClock(500);
    const limits = createMemoryLimits(clock);
    expect(admitted(limits.take(key(2)))).toMatchObject({ remaining: 1, resetMs: 60_500 });
    clock.advance(10_000);
    expect(admitted(limits.take(key(2)))).toMatchObject({ remaining: 0, resetMs: 60_500 });
    clock.advance(10_000);
    expect(refused(limits.take(key(2)))).toMatchObject({ remaining: 0, resetMs: 50_500, retryAfterMs: 40_500 });
  });

  it("gives an undone unit back once, and not after release", () => {
    const limits = createMemoryLimits(createManualClock());
    const first = admitted(limits.take(key(2)));
    const second = admitted(limits.take(key(2)));
    first.undo();
    first.undo();
    second.release();
    second.undo();
    admitted(limits.take(key(2)));
    refused(limits.take(key(2)));
  });

  it("applies a lowered limit to what was already counted", () => {
    const limits = createMemoryLimits(createManualClock());
    for (let n = 0; n < 10; n++) admitted(limits.take(key(10)));
    expect(refused(limits.take(key(5))).remaining).toBe(0);
    expect(refused(limits.take(key(0))).retryAfterMs).toBe(60_000);
  });

  it("keeps keys apart", () => {
    const limits = createMemoryLimits(createManualClock());
    admitted(limits.take(key(1, null, "vk_a")));
    admitted(limits.take(key(1, null, "vk_b")));
    refused(limits.take(key(1, null, "vk_a")));
  });

  it("forgets nothing and locks out for at most 61 seconds when the clock steps back", () => {
    const clock = createManualClock(10_000_000);
    const limits = createMemoryLimits(clock);
    admitted(limits.take(key(1)));
    clock.advance(-3_600_000);
    refused(limits.take(key(1)));
    clock.advance(59_999);
    refused(limits.take(key(1)));
    clock.advance(1_001);
    admitted(limits.take(key(1)));
  });
});

describe("concurrency", () => {
  it("admits at most the limit at once and hands each place on", () => {
    const limits = createMemoryLimits(createManualClock());
    const first = admitted(limits.take(key(100, 2)));
    admitted(limits.take(key(100, 2)));
    const verdict = refused(limits.take(key(100, 2)));
    expect(verdict).toMatchObject({ reason: "concurrency", remaining: 98 });
    first.release();
    first.release();
    admitted(limits.take(key(100, 2)));
    refused(limits.take(key(100, 2)));
  });

  it("remembers running requests for as long as they run", () => {
    const clock = createManualClock();
    const limits = createMemoryLimits(clock);
    const stream = admitted(limits.take(key(100, 1)));
    for (let minute = 0; minute < 10; minute++) {
      clock.advance(63_000);
      limits.take(key(1, null, "vk_other"));
    }
    refused(limits.take(key(100, 1)));
    stream.release();
    admitted(limits.take(key(100, 1)));
  });
});

describe("memory", () => {
  it("forgets idle keys, and none whose count matters", () => {
    const clock = createManualClock();
    const limits = createMemoryLimits(clock);
    for (let n = 0; n < 1_000; n++) admitted(limits.take(key(1, null, `vk_${n}`))).release();
    clock.advance(59_000);
    for (let n = 0; n < 1_000; n++) refused(limits.take(key(1, null, `vk_${n}`)));
    expect(limits.size).toBe(1_000);
    for (let turn = 0; turn < 3; turn++) {
      clock.advance(63_000);
      admitted(limits.take(key(1, null, "vk_busy"))).release();
    }
    expect(limits.size).toBe(1);
  });
});
