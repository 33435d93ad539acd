import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compileRule } from "./argument-rules.ts";
import { canonicalDecimal } from "./decimal.ts";

type Values = readonly (string | number | boolean)[];
const allows = (allow: Values, text: string | undefined, argument = "a") =>
  compileRule({ tool: "*", argument, allow }).allows(text);

const scalar = fc.oneof(fc.string(), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.boolean());
const literal = scalar.filter((value) => typeof value !== "string" || !value.includes("*"));
const escapeAll = (text: string) =>
  `"${Array.from({ length: text.length }, (_, i) => `\\u${text.charCodeAt(i).toString(16).padStart(4, "0")}`).join("")}"`;

describe("argument rules", () => {
  it("let exactly the named values through, whatever else the value is", () => {
    fc.assert(
      fc.property(
        fc.array(literal, { minLength: 1, maxLength: 5 }),
        fc.oneof(literal, fc.jsonValue()),
        (allow, value) => {
          const text = JSON.stringify({ x: 1, a: value });
          const leaves = (
            Array.isArray(value) ? (value as unknown[]).flat(Number.POSITIVE_INFINITY) : [value]
          ) as unknown[];
          const hasEmpty = (list: unknown): boolean =>
            Array.isArray(list) && (list.length === 0 || list.some(hasEmpty));
          const named = (leaf: unknown) => allow.some((one) => one === leaf);
          expect(allows(allow, text)).toBe(!hasEmpty(value) && leaves.every(named));
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it("see through every escape: an escaped name or text means what it means to the server", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string(), (name, allowed, sent) => {
        const argument = name.replaceAll(".", "_") || "n";
        const text = `{${escapeAll(argument)}:${escapeAll(sent)}}`;
        const allow = [allowed.replaceAll("*", "+")];
        expect(allows(allow, text, argument)).toBe(sent === allow[0]);
        expect(allows([sent.replaceAll("*", "+")], text, argument)).toBe(!sent.includes("*"));
      }),
    );
  });

  it("refuse an argument that is named twice, though strict JSON comes before", () => {
    expect(allows(["ok"], '{"a":"ok","a":"bad"}')).toBe(false);
    expect(allows(["ok"], '{"a":"ok","\\u0061":"ok"}')).toBe(false);
    expect(allows(["ok"], '{"o":{"a":"ok","a":"bad"}}', "o.a")).toBe(false);
  });

  it.each([
    [undefined, "no arguments"],
    ["[]", "an array"],
    ['{"b":"ok"}', "another argument"],
    ['{"A":"ok"}', "another case"],
    ['{"a":null}', "null"],
    ['{"a":{}}', "an object"],
    ['{"a":[]}', "an empty array"],
    ['{"a":["ok",[]]}', "an empty array inside"],
    ['{"a":["ok","bad"]}', "one bad element"],
    ['{"a":["ok",["ok","bad"]]}', "one bad element inside"],
    ['{"a":"OK"}', "another case of the value"],
    ['{"a":" ok"}', "space around it"],
    ['{"a":"o\\u200bk"}', "an invisible character"],
    ['{"a":"\\uff4fk"}', "a look-alike"],
    ['{"a":"ok\\u0000"}', "a trailing NUL"],
  ])("refuse %s: %s", (text, _why) => {
    expect(allows(["ok"], text)).toBe(false);
  });

  it("do not take one Unicode normal form for another", () => {
    expect(allows(["caf\u00e9"], JSON.stringify({ a: "cafe\u0301" }))).toBe(false);
  });

  it("look into objects, and into every element of arrays on the way", () => {
    expect(allows(["x*"], '{"files":[{"path":"x1"},{"path":"x2"}]}', "files.path")).toBe(true);
    expect(allows(["x*"], '{"files":[{"path":"x1"},{"path":"y"}]}', "files.path")).toBe(false);
    expect(allows(["x*"], '{"files":[{"path":"x1"},{}]}', "files.path")).toBe(false);
    expect(allows(["x*"], '{"files.path":"x1"}', "files.path")).toBe(false);
    expect(allows(["x"], '{"__proto__":{"a":"x"}}', "a")).toBe(false);
    expect(allows(["x"], '{"__proto__":"x"}', "__proto__")).toBe(true);
    expect(allows([0], '{"a":{"length":0}}', "a.length")).toBe(true);
    expect(allows([0], "{}", "toString.length")).toBe(false);
  });

  it("keep types apart", () => {
    expect(allows([1], '{"a":"1"}')).toBe(false);
    expect(allows(["1"], '{"a":1}')).toBe(false);
    expect(allows([true], '{"a":"true"}')).toBe(false);
    expect(allows(["**"], '{"a":true}')).toBe(false);
    expect(allows(["**"], '{"a":1}')).toBe(false);
    expect(allows(["**"], '{"a":null}')).toBe(false);
  });

  it("compare numbers as they were written, without rounding", () => {
    for (const same of ["1", "1.0", "1e0", "10e-1", "0.1E+1", "100E-02"])
      expect(allows([1], `{"a":${same}}`)).toBe(true);
    expect(allows([9007199254740992], '{"a":9007199254740993}')).toBe(false);
    expect(allows([0.1], '{"a":0.1000000000000000055511151231257827}')).toBe(false);
    expect(allows([1], '{"a":1.00000000000000000000000000000001}')).toBe(false);
    expect(allows([1e21, 5e-324], '{"a":1000000000000000000000}')).toBe(true);
    expect(allows([1], '{"a":-1}')).toBe(false);
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (n) => {
        const exact = canonicalDecimal(String(n));
        expect(exact).not.toBeNull();
        expect(canonicalDecimal(n.toExponential())).toBe(exact);
      }),
    );
  });

  it("match patterns within one segment, or across them with two stars", () => {
    const repos = ["octo/*", "acme/**"];
    for (const yes of ["octo/a", "octo/", "acme/a/b", "octo/\u{1f600}"]) {
      expect(allows(repos, JSON.stringify({ a: yes })), yes).toBe(true);
    }
    for (const no of ["octo", "octo/a/b", "Octo/a", "xocto/a", "acme"]) {
      expect(allows(repos, JSON.stringify({ a: no })), no).toBe(false);
    }
    expect(allows(["\u{1f600}*!"], JSON.stringify({ a: "\u{1f600}\u{1f601}!" }))).toBe(true);
  });

  it.each([
    "/srv/docs/../../etc/passwd",
    "/srv/docs/..",
    "/srv/docs/%2e%2E/x",
    "/srv/docs/.%2e/x",
    "/srv/docs/..%2fx",
    "/srv/docs/..\\x",
    "/srv/docs/.\t./x",
    "/srv/docs/.\n./x",
    "/srv/docs/%2e%0a%2e/x",
    "/srv/docs/..?x",
    "/srv/docs/..;/x",
  ])("never let a pattern be left by climbing out of it: %j", (value) => {
    expect(allows(["/srv/docs/**"], JSON.stringify({ a: value }))).toBe(false);
    expect(allows(["/srv/docs/*", "/srv/docs/*/*", "/srv/docs/*/*/*/*"], JSON.stringify({ a: value }))).toBe(false);
    expect(allows(["**"], JSON.stringify({ a: value }))).toBe(true);
    expect(allows([value], JSON.stringify({ a: value }))).toBe(true);
  });

  it("let what two stars alone allow be any text, and dots that climb nowhere", () => {
    expect(allows(["/srv/**"], '{"a":"/srv/a..b/...x/.y"}')).toBe(true);
    expect(allows(["/srv/**"], JSON.stringify({ a: `/srv/${"a".repeat(9_000)}` }))).toBe(false);
    expect(allows(["**"], JSON.stringify({ a: "a".repeat(9_000) }))).toBe(true);
  });
});
