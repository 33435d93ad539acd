import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { elements, members, memberText, stringValue, withMembers, withMembersIn } from "./json-slice.ts";

const spaced = fc
  .tuple(fc.jsonValue(), fc.constantFrom(0, 1, 3, "\t"))
  .map(([value, indent]) => ({ value, text: ` ${JSON.stringify(value, null, indent)}\n` }));

describe("json-slice", () => {
  it("finds every member of every object where JSON.parse finds it", () => {
    fc.assert(
      fc.property(spaced, ({ value, text }) => {
        const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
        const found = members(text).map(({ name, start, end }) => [name, JSON.parse(text.slice(start, end))]);
        expect(found).toEqual(isObject ? Object.entries(JSON.parse(text)) : []);
      }),
    );
  });

  it("finds every element of every array where JSON.parse finds it", () => {
    fc.assert(
      fc.property(spaced, ({ value, text }) => {
        const found = elements(text).map(({ start, end }) => JSON.parse(text.slice(start, end)));
        expect(found).toEqual(Array.isArray(value) ? JSON.parse(text) : []);
      }),
    );
  });

  it("ends on any text, also on what is not JSON", () => {
    fc.assert(fc.property(fc.string(), (text) => void [members(`{"a":${text}`), elements(`[${text}`)]));
  });

  it("leaves what it does not change as it was written", () => {
    const text = '{ "id" : 12345678901234567890 , "a\\u0062" : 1.50, "x": {"n": 1E400} }';
    expect(withMembers(text, { x: undefined, y: "[1.0]" })).toBe(
      '{"id" : 12345678901234567890,"a\\u0062" : 1.50,"y":[1.0]}',
    );
    expect(withMembers(text, { ab: "2" })).toContain('"a\\u0062" : 2');
    expect(memberText(text, "ab")).toBe("1.50");
  });

  it("changes a member of a member, and makes the object in between", () => {
    expect(withMembersIn('{"b":1}', "_meta", { k: '"v"' })).toBe('{"b":1,"_meta":{"k":"v"}}');
    expect(withMembersIn('{"_meta":{"k":"v","l":2}}', "_meta", { k: undefined })).toBe('{"_meta":{"l":2}}');
  });

  it("reads strings with and without escapes, and nothing else", () => {
    expect(stringValue('"a\\n\\"b"')).toBe('a\n"b');
    expect(stringValue('"plain"')).toBe("plain");
    expect(stringValue("12")).toBeUndefined();
    expect(stringValue(undefined)).toBeUndefined();
  });
});
