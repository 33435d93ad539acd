import { describe, expect, it } from "vitest";
import type { GatewayError } from "../core/errors.ts";
import type { Reply } from "../jsonrpc/message.ts";
import { createBreaker, rateLimitOf } from "./breaker.ts";

const failing = (text: string): Reply => ({
  result: JSON.stringify({ content: [{ type: "text", text }], isError: true }),
});
const limited = failing("API rate limit exceeded");
const fine: Reply = { result: '{"content":[{"type":"text","text":"rate limit exceeded"}]}' };
const rpcError: Reply = { error: '{"code":-32603,"message":"rate limit exceeded"}' };

function setUp(threshold = 3) {
  const time = { nowMs: 0 };
  const breaker = createBreaker({ server: "github", threshold, cooldownMs: 60_000, clock: { now: () => time.nowMs } });
  const call = (reply: Reply) => breaker.admit().answered(reply);
  return { breaker, call, time };
}

describe("the rate-limit breaker", () => {
  it("opens after three rate-limited results in a row, and says until when", () => {
    const { breaker, call, time } = setUp();
    call(limited);
    call(limited);
    call(fine);
    call(limited);
    call(limited);
    expect(breaker.state).toBe("closed");
    call(limited);
    expect(breaker.state).toBe("open");
    time.nowMs = 18_500;
    let error: GatewayError | undefined;
    try {
      breaker.admit();
    } catch (thrown) {
      error = thrown as GatewayError;
    }
    expect(error?.code).toBe("mcp.circuit_open");
    expect(error?.publicMessage).toBe('rate limit circuit breaker is OPEN for server "github"; retry in 42s');
    expect(error?.headers).toEqual({ "retry-after": "42" });
  });

  it.each([
    ["rate limit exceeded [rate reset in 5s]", 5_000],
    ["too many requests, rate reset in 1m30s", 90_000],
    ["too many requests, rate reset in 1h0m0.5s", 3_600_000],
    ["too many requests, rate reset in 900h", 3_600_000],
    ["too many requests, rate reset in 0s", 60_000],
    ["too many requests, rate reset in soon", 60_000],
  ])("stays open as long as the server says, an hour at most, else for the cool-down: %s", (text, ms) => {
    const { breaker, call, time } = setUp(1);
    call(failing(text));
    time.nowMs = ms - 1;
    expect(() => breaker.admit()).toThrow("OPEN");
    time.nowMs = ms;
    expect(breaker.state).toBe("half_open");
    breaker.admit();
  });

  it("lets exactly one call probe; its success closes it", () => {
    const { breaker, call, time } = setUp(1);
    call(limited);
    time.nowMs = 60_000;
    const probe = breaker.admit();
    expect(() => breaker.admit()).toThrow("OPEN");
    probe.answered(fine);
    expect(breaker.state).toBe("closed");
    breaker.admit();
  });

  it("opens again when the probe is rate-limited", () => {
    const { breaker, call, time } = setUp();
    for (let i = 0; i < 3; i++) call(limited);
    time.nowMs = 60_000;
    call(limited);
    expect(breaker.state).toBe("open");
  });

  it.each(["a failed connection", "an error of the protocol"])("lets another call probe after %s", (what) => {
    const { breaker, call, time } = setUp(1);
    call(limited);
    time.nowMs = 60_000;
    const probe = breaker.admit();
    if (what === "a failed connection") probe.failed();
    else probe.answered(rpcError);
    expect(breaker.state).toBe("half_open");
    breaker.admit();
    expect(() => breaker.admit()).toThrow("OPEN");
  });

  it("gives up a probe that nobody heard of for 30 seconds, and what it says later", () => {
    const { breaker, call, time } = setUp(1);
    call(limited);
    time.nowMs = 60_000;
    const stranded = breaker.admit();
    time.nowMs = 89_999;
    expect(() => breaker.admit()).toThrow("OPEN");
    time.nowMs = 90_000;
    const second = breaker.admit();
    stranded.answered(fine);
    expect(breaker.state).toBe("half_open");
    second.answered(fine);
    expect(breaker.state).toBe("closed");
  });

  it("ignores late answers to calls from before it opened, and neither counts nor resets on a failed connection", () => {
    const { breaker, call, time } = setUp(2);
    const [late, other] = [breaker.admit(), breaker.admit()];
    call(limited);
    breaker.admit().failed();
    call(limited);
    expect(breaker.state).toBe("open");
    late.answered(fine);
    expect(breaker.state).toBe("open");
    time.nowMs = 60_000;
    breaker.admit();
    other.answered(fine);
    expect(breaker.state).toBe("half_open");
  });

  it("never opens with a threshold of 0", () => {
    const { breaker, call } = setUp(0);
    for (let i = 0; i < 20; i++) call(limited);
    expect(breaker.state).toBe("closed");
  });
});

it.each([
  ["Rate Limit Exceeded", true],
  ["403 Forbidden: rate limit", true],
  ["API rate limit hit", true],
  ["You have exceeded a secondary rate limit", true],
  ["429 Too Many Requests", true],
  ["the rate limit is 60", false],
  ["403 Forbidden", false],
  ["", false],
])("an error with the text %j is rate-limited: %s", (text, expected) => {
  expect(rateLimitOf((failing(text) as { result: string }).result) !== null).toBe(expected);
});
