import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { GatewayError } from "../../core/errors.ts";
import { createCallDeadline } from "./call-deadline.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
afterEach(() => void vi.useRealTimers());

describe("the deadline of a call", () => {
  it("ends it when the time is over, and says why", () => {
    const deadline = createCallDeadline(undefined, 1_000);
    vi.advanceTimersByTime(999);
    expect(deadline.signal.aborted).toBe(false);
    vi.advanceTimersByTime(2);
    expect(deadline.signal.aborted).toBe(true);
    expect(deadline.reason()?.code).toBe("upstream.timeout");
  });

  it("stands while the server waits for the client, also when it asks twice at once", async () => {
    const deadline = createCallDeadline(undefined, 1_000);
    vi.advanceTimersByTime(600);
    const answers: ((reply: { result: string }) => void)[] = [];
    const ask = deadline.whileAsking(() => new Promise((resolve) => void answers.push(resolve)));
    const asked = [1, 2].map(() => ask({ method: "roots/list", params: undefined }, new AbortController().signal));
    vi.advanceTimersByTime(60_000);
    answers[0]?.({ result: "{}" });
    await asked[0];
    vi.advanceTimersByTime(60_000);
    expect(deadline.signal.aborted).toBe(false);
    answers[1]?.({ result: "{}" });
    await asked[1];
    vi.advanceTimersByTime(399);
    expect(deadline.signal.aborted).toBe(false);
    vi.advanceTimersByTime(2);
    expect(deadline.signal.aborted).toBe(true);
  });

  it("has no end of its own where there is no limit", () => {
    const deadline = createCallDeadline(undefined, 0);
    vi.advanceTimersByTime(10_000_000);
    expect(deadline.signal.aborted).toBe(false);
    deadline.abort(new GatewayError("key.revoked"));
    expect(deadline.reason()?.code).toBe("key.revoked");
  });

  it("ends with its client, for no reason of ours, and leaves no listener and no timer when it is over", () => {
    const client = new AbortController();
    const deadline = createCallDeadline(client.signal, 1_000);
    client.abort();
    expect(deadline.signal.aborted).toBe(true);
    expect(deadline.reason()).toBeNull();
    const over = createCallDeadline(new AbortController().signal, 1_000);
    over.clear();
    expect(vi.getTimerCount()).toBe(1);
    deadline.clear();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("is over at once for a client that has gone already", () => {
    expect(createCallDeadline(AbortSignal.abort(), 1_000).signal.aborted).toBe(true);
  });
});
