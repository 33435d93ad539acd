import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compilePatterns } from "./path-pattern.ts";

const pieces = fc.constantFrom("a", "b", "/", "*", "**", "\u{1f600}");
const patterns = fc.array(
  fc.array(pieces, { maxLength: 7 }).map((parts) => parts.join("")),
  { maxLength: 3 },
);
const texts = fc.string({ unit: fc.constantFrom("a", "b", "/", "\u{1f600}"), maxLength: 12 });

/** Two stars are any text, one is any text without a slash. */
const expected = (pattern: string) =>
  new RegExp(`^${pattern.replaceAll(/\*\*|\*/g, (stars) => (stars === "**" ? "[^]*" : "[^/]*"))}$`, "u");

describe("path patterns", () => {
  it("match what the same regular expression matches", () => {
    fc.assert(
      fc.property(patterns, texts, (list, text) => {
        expect(compilePatterns(list)(text)).toBe(list.some((pattern) => expected(pattern).test(text)));
      }),
      { numRuns: 3_000 },
    );
  });

  it("answer the same when asked again", () => {
    const matches = compilePatterns(["/a/*/b", "/c/**/d*"]);
    for (let i = 0; i < 3; i++) {
      expect(["/a/x/b", "/a/x/y/b", "/c/1/2/d3", "/c/d"].map(matches)).toEqual([true, false, true, false]);
    }
  });
});
