import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { JsonRefused, readStrictJson } from "./strict-json.ts";

const parse = (text: string, maxDepth = 64): unknown => JSON.parse(readStrictJson(Buffer.from(text), maxDepth));

describe("strict JSON", () => {
  it("reads whatever JSON.stringify writes, spaced in any way, as JSON.parse does", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 8 }), fc.constantFrom("", " ", "\t", "\n  "), (value, space) => {
        const text = JSON.stringify(value, null, space);
        expect(parse(text)).toEqual(JSON.parse(text));
      }),
    );
  });

  it("refuses every object that names a member twice, however deep and however escaped", () => {
    const escaped = (name: string) =>
      `"${name.replaceAll(/[^]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)}"`;
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom("a", "B", '"', "\\", "{", ":", ",", " ", "\u0000") }),
        fc.jsonValue({ maxDepth: 2 }),
        fc.array(fc.constantFrom("[", '{"wrap":'), { maxLength: 10 }),
        (name, value, wraps) => {
          const twice = `{${JSON.stringify(name)}:${JSON.stringify(value)}, ${escaped(name)} :0}`;
          const closing = wraps.map((wrap) => (wrap === "[" ? "]" : "}")).toReversed();
          expect(() => parse([...wraps, twice, ...closing].join(""))).toThrow(JsonRefused);
        },
      ),
    );
  });

  it("allows the same name in different objects, and as a value", () => {
    expect(parse('{"a":{"a":"a"},"b":[{"a":1},{"a":"a"}]}')).toEqual({ a: { a: "a" }, b: [{ a: 1 }, { a: "a" }] });
  });

  it("refuses and never crashes on arbitrary bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          readStrictJson(bytes, 8);
        } catch (error) {
          expect(error).toBeInstanceOf(JsonRefused);
        }
      }),
    );
  });

  it("counts nesting, not brackets within strings", () => {
    expect(parse('[["[[[["]]', 2)).toEqual([["[[[["]]);
    expect(() => parse("[[[]]]", 2)).toThrow("nested deeper than 2 levels");
    expect(() => parse('{"a":{"b":{}}}', 2)).toThrow("nested deeper than 2 levels");
  });

  it("never quotes what it refused", () => {
    for (const text of ['{"bfk_secret":1,"bfk_secret":2}', "bfk_secret", '{"a":bfk_secret}']) {
      expect(() => parse(text)).toThrow(expect.not.objectContaining({ message: expect.stringContaining("bfk") }));
    }
  });
});
