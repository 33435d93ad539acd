import { expect, it } from "vitest";
import { limitError, rateHeaders, retryAfter } from "./rate-headers.ts";

it("writes the fields as structured items with integer parameters", () => {
  expect(rateHeaders(60, { remaining: 59, resetMs: 60_001 })).toEqual({
    ratelimit: '"bifrost";r=59;t=61',
    "ratelimit-policy": '"bifrost";q=60;w=60',
  });
});

it.each([
  [0, "1"],
  [1, "1"],
  [1_000, "1"],
  [1_001, "2"],
  [60_999.5, "61"],
])("rounds Retry-After for %s ms up to %s s", (ms, seconds) => {
  expect(retryAfter(ms)).toBe(seconds);
});

it("makes the refusal that a client can act on", () => {
  const error = limitError(5, { admitted: false, reason: "rate", retryAfterMs: 1_500, remaining: 0, resetMs: 9_000 });
  expect(error).toMatchObject({ code: "limit.rate", status: 429 });
  expect(error.headers).toEqual({
    ratelimit: '"bifrost";r=0;t=9',
    "ratelimit-policy": '"bifrost";q=5;w=60',
    "retry-after": "2",
  });
  expect(
    limitError(5, { admitted: false, reason: "concurrency", retryAfterMs: 1_000, remaining: 3, resetMs: 0 }).code,
  ).toBe("limit.concurrency");
});
