import { expect, it } from "vitest";
import { createCanonicalJson } from "./canonical-json.ts";

it("gives one text to objects that differ in spaces and order only", () => {
  const canonicalJson = createCanonicalJson();
  expect(canonicalJson('{ "b":[1,{"d":1,"c":2}], "a":null }')).toBe(canonicalJson('{"a":null,"b":[1,{"c":2,"d":1}]}'));
  expect(canonicalJson("{ }")).toBe("{}");
  expect(canonicalJson('{"a":[1,2]}')).not.toBe(canonicalJson('{"a":[2,1]}'));
});

it("leaves text alone that is not JSON or very long", () => {
  const canonicalJson = createCanonicalJson();
  expect(canonicalJson("{b:1}")).toBe("{b:1}");
  const long = `{ "b":"${"x".repeat(5_000)}"}`;
  expect(canonicalJson(long)).toBe(long);
});
