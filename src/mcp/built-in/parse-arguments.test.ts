import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { createLogger } from "../../core/log.ts";
import { refusalOf as rendered } from "../refusals.ts";
import { parseArguments } from "./parse-arguments.ts";
import { requiredText, wholeNumber } from "./tools/arguments.ts";

const Input = z.strictObject({
  service_name: requiredText(128, "Service"),
  ttl_seconds: wholeNumber(1, 1000, "Seconds").default(60),
  one_shot: z.boolean({ error: "must be true or false" }).default(false),
});

/** As the client gets it. */
function refusalOf(args: unknown): { code: number; message: string; data: unknown } {
  try {
    parseArguments(Input, args);
  } catch (thrown) {
    return refused(thrown);
  }
  throw new Error("not refused");
}

function refused(thrown: unknown): { code: number; message: string; data: unknown } {
  const { reply } = rendered(thrown, { method: "tools/call", requestId: "req_1", log: createLogger("silent") });
  if ("error" in reply) return JSON.parse(reply.error);
  throw thrown;
}

describe("tool arguments", () => {
  it("that are left out get their defaults; the required one is asked for", () => {
    expect(parseArguments(Input, { service_name: "a" })).toEqual({
      service_name: "a",
      ttl_seconds: 60,
      one_shot: false,
    });
    expect(refusalOf(undefined)).toMatchObject({
      code: -32602,
      message: "Invalid arguments: service_name: is required",
    });
  });

  it("are all named at once, each once, with what they must be", () => {
    expect(refusalOf({ service_name: 1, ttl_seconds: 1e300, one_shot: 0, extra: 1 }).data).toEqual({
      arguments: [
        { argument: "service_name", problem: "must be a string" },
        { argument: "ttl_seconds", problem: "must be a whole number from 1 to 1000" },
        { argument: "one_shot", problem: "must be true or false" },
        { argument: "extra", problem: "is not an argument of this tool" },
      ],
    });
  });

  it.each([null, 7, "text", [], [{ service_name: "a" }]])("that are %j instead of an object are refused", (args) => {
    expect(refusalOf(args).message).toContain("arguments");
  });

  it("named __proto__ or constructor are unknown ones like any other", () => {
    const args: unknown = JSON.parse('{"service_name":"a","__proto__":{"ttl_seconds":5},"constructor":1}');
    expect(refusalOf(args)).toMatchObject({ code: -32602 });
  });

  it("are either accepted within their bounds or refused with -32602 that names a culprit, whatever is sent", () => {
    const anything = fc.oneof(fc.jsonValue(), fc.double(), fc.integer(), fc.string(), fc.constant(undefined));
    fc.assert(
      fc.property(
        fc.record(
          { service_name: anything, ttl_seconds: anything, one_shot: anything, scope: anything },
          { requiredKeys: [] },
        ),
        (args) => {
          try {
            const parsed = parseArguments(Input, args);
            expect(parsed.service_name).toMatch(/^[^]{1,128}$/);
            expect(Number.isInteger(parsed.ttl_seconds)).toBe(true);
            expect(parsed.ttl_seconds).toBeGreaterThanOrEqual(1);
            expect(parsed.ttl_seconds).toBeLessThanOrEqual(1000);
            expect(args).not.toHaveProperty("scope");
          } catch (error) {
            const { code, message } = refused(error);
            expect(code).toBe(-32602);
            expect(message).toMatch(/service_name|ttl_seconds|one_shot|scope/);
          }
        },
      ),
      { numRuns: 1000 },
    );
  });

  it("never come back in the message: neither a value nor more than a stub of a made-up name", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 80, maxLength: 200, unit: "grapheme-ascii" }), (secret) => {
        const named = refusalOf({ service_name: "a", [secret]: 1 });
        expect(named.message.length).toBeLessThan(250);
        const valued = refusalOf({ service_name: "a", ttl_seconds: secret, one_shot: secret });
        expect(valued.message).not.toContain(secret);
      }),
    );
  });
});
