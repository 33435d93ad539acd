import { expect, it } from "vitest";
import { createBackOff } from "./back-off.ts";
import { createHealth } from "./health.ts";
import { createManualClock } from "../../test/support/manual-clock.ts";
import { GatewayError } from "../core/errors.ts";

it("waits 1 s after the first failure, twice as long after each further one, never longer than a minute", () => {
  const clock = createManualClock();
  const backOff = createBackOff(clock, () => 0);
  const waits = Array.from({ length: 8 }, () => backOff.failed());
  expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
  clock.advance(59_000);
  expect(backOff.waitMs()).toBe(1_000);
  backOff.succeeded();
  expect([backOff.waitMs(), backOff.failed()]).toEqual([0, 1_000]);
});

it("spreads the tries by up to a quarter, and forgets failures that are long past", () => {
  const clock = createManualClock();
  const backOff = createBackOff(clock, () => 0.999);
  expect(backOff.failed()).toBeCloseTo(750, -1);
  backOff.failed();
  clock.advance(400_000);
  expect(backOff.failed()).toBeCloseTo(750, -1);
});

it("refuses in back-off, saying when the next try is, and keeps the last error when the server is back", () => {
  const clock = createManualClock();
  const health = createHealth("files", clock, () => 0);
  health.refuse();
  health.failed(new GatewayError("upstream.unreachable", { detail: "files: connect 127.0.0.1:9" }));
  health.failed(new Error("secret-ish text of something unexpected"));
  expect(health).toMatchObject({ state: "error", lastError: { code: "internal", message: "unexpected throw" } });
  expect(() => health.refuse()).toThrow(
    expect.objectContaining({ code: "upstream.unavailable", headers: { "retry-after": "2" } }),
  );
  health.succeeded();
  health.refuse();
  expect(health).toMatchObject({ state: "running", lastError: { code: "internal" } });
  expect(health.nextTryAtMs()).toBeNull();
});

it("bounds what it keeps of an error", () => {
  const health = createHealth("files", createManualClock(), () => 0);
  health.note(new GatewayError("upstream.protocol", { detail: "x".repeat(10_000) }));
  expect(health.lastError?.message).toHaveLength(500);
});
