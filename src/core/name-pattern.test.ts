import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compileNamePatterns } from "./name-pattern.ts";

const letters = fc.string({ unit: fc.constantFrom("a", "b", "*"), maxLength: 8 });
const names = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 12 });

describe("name patterns", () => {
  it("match what the same regular expression matches, alone and in a list", () => {
    fc.assert(
      fc.property(fc.array(letters, { maxLength: 3 }), names, (patterns, name) => {
        const expected = patterns.some((pattern) => new RegExp(`^${pattern.replaceAll("*", "[^]*")}$`).test(name));
        expect(compileNamePatterns(patterns)(name)).toBe(expected);
      }),
      { numRuns: 2_000 },
    );
  });

  it("allow everything when null and nothing when empty", () => {
    expect(compileNamePatterns(null)("x")).toBe(true);
    expect(compileNamePatterns([])("x")).toBe(false);
  });

  it("count case, and take every other character as itself", () => {
    const matches = compileNamePatterns(["get.*", "a+b"]);
    expect(["get.x", "a+b"].map(matches)).toEqual([true, true]);
    expect(["GET.x", "getxx", "aab"].map(matches)).toEqual([false, false, false]);
  });
});
