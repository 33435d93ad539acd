import fc from "fast-check";
import { expect, it } from "vitest";
import { isJson } from "./is-json.ts";

/** As for a text that is too long to be parsed. */
const looksLikeJson = (text: string) => isJson(text, -1);

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

it("accepts all that JSON.parse accepts", () => {
  fc.assert(
    fc.property(fc.json(), fc.constantFrom(undefined, 1, "\t\r\n"), (text, indent) => {
      expect(looksLikeJson(JSON.stringify(JSON.parse(text), null, indent))).toBe(true);
    }),
  );
});

it("refuses all that JSON.parse refuses: texts put together from the parts of JSON", () => {
  const part = fc.constantFrom(
    ...'{}[]:,"\\ \n\t-+.01eEu/x\u0000\u001f\u00a0\u2028\uFEFF'.split(""),
    ...["true", "null", "fals", '"a"', '"a":', "1", "-0", "1e5", "\\u00e9", "\\ud83d", "[]", "{}", "😀", "// c"],
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
      const text = parts.join("");
      expect([text, looksLikeJson(text)]).toEqual([text, parses(text)]);
    }),
    { numRuns: 5_000 },
  );
});

it("refuses all that JSON.parse refuses: JSON with one character changed, removed or added", () => {
  fc.assert(
    fc.property(
      fc.json(),
      fc.nat(),
      fc.constantFrom("", ...'{}[],:"\\0a \n'.split("")),
      fc.nat(1),
      (text, where, by, drop) => {
        const at = where % (text.length + 1);
        const changed = text.slice(0, at) + by + text.slice(at + drop);
        expect([changed, looksLikeJson(changed)]).toEqual([changed, parses(changed)]);
      },
    ),
    { numRuns: 2_000 },
  );
});

it("refuses long texts that nest deeper than 1,000 levels, and takes those that do not", () => {
  const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
  expect(looksLikeJson(nested(1_001))).toBe(true);
  expect(looksLikeJson(nested(1_002))).toBe(false);
  expect(isJson("[".repeat(8_000_000))).toBe(false);
});

it("builds nothing of a long text", () => {
  const text = `[${"{},".repeat(4_000_000)}{}]`;
  const before = process.memoryUsage().heapUsed;
  expect(isJson(text)).toBe(true);
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(20 * 1024 * 1024);
});
