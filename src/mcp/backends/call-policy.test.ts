import { describe, expect, it } from "vitest";
import { GatewayError } from "../../core/errors.ts";
import { type CallGuard, createCallPolicy, type ToolCall } from "./call-policy.ts";

/** Guards do not look at it here. */
const CALL: ToolCall = JSON.parse('{"tool":"t","server":{"toolTimeoutMs":60000,"toolTimeoutsMs":{"slow":0}}}');

function recorder(seen: string[]) {
  return (name: string, refuse: { begin?: boolean; answer?: boolean } = {}): CallGuard => ({
    begin() {
      seen.push(`${name} begins`);
      if (refuse.begin) throw new GatewayError("mcp.call_limit");
      return {
        answered(reply) {
          seen.push(`${name} answers`);
          if (refuse.answer) throw new GatewayError("mcp.filter_failed");
          return "result" in reply ? { result: `${reply.result}${name}` } : reply;
        },
        failed: () => void seen.push(`${name} fails`),
      };
    },
  });
}

describe("the guards around a tool call", () => {
  it("see the call in their order and its reply in reverse", async () => {
    const seen: string[] = [];
    const guard = recorder(seen);
    const watch = await createCallPolicy([guard("a"), guard("b")]).begin(CALL, undefined);
    expect(await watch.answered({ result: "" })).toEqual({ result: "ba" });
    expect(seen).toEqual(["a begins", "b begins", "b answers", "a answers"]);
  });

  it("that let a call go ahead hear that a later one refused it", async () => {
    const seen: string[] = [];
    const guard = recorder(seen);
    const policy = createCallPolicy([guard("a"), guard("b", { begin: true }), guard("c")]);
    await expect(policy.begin(CALL, undefined)).rejects.toThrow(GatewayError);
    expect(seen).toEqual(["a begins", "b begins", "a fails"]);
  });

  it("withhold the reply when one of them fails, and the others hear of it", async () => {
    const seen: string[] = [];
    const guard = recorder(seen);
    const watch = await createCallPolicy([guard("a"), guard("b", { answer: true })]).begin(CALL, undefined);
    await expect(async () => watch.answered({ result: "secret" })).rejects.toThrow(GatewayError);
    expect(seen.slice(2)).toEqual(["b answers", "a fails"]);
  });

  it("leave the time to the tool's own setting, then to the server's", () => {
    const policy = createCallPolicy([]);
    expect(policy.timeoutMs(CALL)).toBe(60_000);
    expect(policy.timeoutMs({ ...CALL, tool: "slow" })).toBe(0);
  });
});
