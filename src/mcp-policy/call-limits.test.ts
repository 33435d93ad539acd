import { describe, expect, it } from "vitest";
import type { GatewayError } from "../core/errors.ts";
import { createCallLimits } from "./call-limits.ts";

const call = { principal: "p", conversation: "c", server: "s", tool: "t" };

/** How many of `times` calls get through. */
function admitted(limits: ReturnType<typeof createCallLimits>, more: Partial<typeof call>, limit: number, times = 10) {
  let count = 0;
  for (let i = 0; i < times; i++) {
    try {
      limits.count({ ...call, ...more }, limit);
      count++;
    } catch {
      // Counted by its absence.
    }
  }
  return count;
}

describe("tool call limits", () => {
  it("allow exactly the number of calls, and then name the tool and the limit", () => {
    const limits = createCallLimits();
    expect(admitted(limits, {}, 3)).toBe(3);
    let error: GatewayError | undefined;
    try {
      limits.count(call, 3);
    } catch (thrown) {
      error = thrown as GatewayError;
    }
    expect(error?.code).toBe("mcp.call_limit");
    expect(error?.publicMessage).toBe('tool call limit reached for "t" (max: 3)');
  });

  it("hold for each principal, conversation, server and tool apart", () => {
    const limits = createCallLimits();
    for (const more of [{}, { principal: "q" }, { conversation: "d" }, { server: "s2" }, { tool: "t2" }]) {
      expect(admitted(limits, more, 2)).toBe(2);
    }
  });

  it("are none with 0 or where none is set", () => {
    const limits = createCallLimits();
    expect(admitted(limits, {}, 0)).toBe(10);
    for (let i = 0; i < 10; i++) limits.count(call, undefined);
  });

  it("begin anew with a new conversation, and not because others have many", () => {
    const limits = createCallLimits(2);
    expect(admitted(limits, {}, 1)).toBe(1);
    for (let i = 0; i < 100; i++) admitted(limits, { principal: "other", conversation: `x${i}` }, 1);
    expect(admitted(limits, {}, 1)).toBe(0);
    limits.forget("p", "c");
    expect(admitted(limits, {}, 1)).toBe(1);
  });
});
