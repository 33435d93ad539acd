import { expect, it } from "vitest";
import { createManualClock } from "../../test/support/manual-clock.ts";
import { createCircuitBreaker } from "./circuit-breaker.ts";

it("opens after failures in a row, lets one probe through per pause, and closes with a success", () => {
  const clock = createManualClock();
  const breaker = createCircuitBreaker(clock, { failures: 2, pauseMs: 1_000 });
  breaker.failed();
  breaker.succeeded();
  breaker.failed();
  expect(breaker.allows()).toBe(true);
  breaker.failed();
  expect([breaker.isOpen(), breaker.allows()]).toEqual([true, false]);
  clock.advance(1_000);
  expect([breaker.allows(), breaker.allows()]).toEqual([true, false]);
  breaker.failed();
  clock.advance(999);
  expect(breaker.allows()).toBe(false);
  clock.advance(1);
  expect(breaker.allows()).toBe(true);
  breaker.succeeded();
  expect([breaker.isOpen(), breaker.allows()]).toEqual([false, true]);
});
