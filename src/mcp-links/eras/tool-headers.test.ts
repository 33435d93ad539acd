import fc from "fast-check";
import { expect, it } from "vitest";
import { encodeHeaderValue } from "./request-headers.ts";
import { createToolHeaders, headerArgumentsOf } from "./tool-headers.ts";

const marked = (type: unknown = "string", header: unknown = "Region") => ({ type, "x-mcp-header": header });
const object = (properties: object) => ({ type: "object", properties });

it("finds header arguments at any depth of properties", () => {
  const schema = object({
    a: marked(),
    b: object({ c: marked("integer", "Rows"), d: marked("boolean", "x-1") }),
    e: {},
  });
  expect(headerArgumentsOf(schema)).toEqual([
    { path: ["a"], header: "Region" },
    { path: ["b", "c"], header: "Rows" },
    { path: ["b", "d"], header: "x-1" },
  ]);
});

it.each([
  ["a number", object({ a: marked("number") })],
  ["several types", object({ a: marked(["string", "null"]) })],
  ["an object", object({ a: marked("object") })],
  ["an empty name", object({ a: marked("string", "") })],
  ["a name that is no token", object({ a: marked("string", "a b") })],
  ["a name with a line end", object({ a: marked("string", "a\r\nb") })],
  ["no name", object({ a: marked("string", 1) })],
  ["a name twice, but for its case", object({ a: marked(), b: marked("string", "REGION") })],
  ["the schema itself", marked()],
  ["an item of an array", object({ a: { type: "array", items: marked() } })],
  ["a property of an item", object({ a: { items: object({ b: marked() }) } })],
  ["an alternative", { oneOf: [object({ a: marked() })] }],
  ["a definition", { $defs: { a: marked() } }],
  ["a condition", { if: object({ a: marked() }) }],
  ["a pattern", { patternProperties: { "^a": marked() } }],
])("calls a tool invalid that marks %s", (_, schema) => {
  expect(headerArgumentsOf(schema)).toBeNull();
});

it("takes what is not a schema for data", () => {
  const schema = object({ a: { type: "object", default: marked(), enum: [marked()], "x-own": marked() } });
  expect(headerArgumentsOf(schema)).toEqual([]);
  expect(headerArgumentsOf(undefined)).toEqual([]);
});

it("sends only what is there, of the kinds that have one text, and from the object itself", () => {
  const headers = createToolHeaders();
  const properties = Object.fromEntries(
    ["s", "i", "b", "n", "o", "toString"].map((name) => [name, marked("string", name)]),
  );
  headers.learn(JSON.stringify({ tools: [{ name: "t", inputSchema: object(properties) }] }));
  const args = '{"s":"","i":-7.0,"b":false,"n":null,"o":{"s":1}}';
  expect(headers.headersFor(`{"name":"t","arguments":${args}}`)).toEqual({
    "mcp-param-s": "=?base64??=",
    "mcp-param-i": "-7",
    "mcp-param-b": "false",
  });
  expect(headers.headersFor('{"name":"t","arguments":{"i":9007199254740993,"s":1.5}}')).toEqual({});
  expect(headers.headersFor('{"name":"t"}')).toEqual({});
  expect(headers.headersFor('{"name":"other"}')).toBeUndefined();
  expect(headers.headersFor(undefined)).toBeUndefined();
});

it("encodes every value so that it is a field value, and can be read back", () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string({ unit: "binary" }), fc.constantFrom("=?base64?YQ==?=", " a", "a\t", "ä\n")),
      (value) => {
        const encoded = encodeHeaderValue(value);
        expect(encoded).toMatch(/^[\x21-\x7e]([\t\x20-\x7e]*[\x21-\x7e])?$/);
        const packed = /^=\?base64\?(.*)\?=$/.exec(encoded)?.[1];
        expect(packed === undefined ? encoded : Buffer.from(packed, "base64").toString()).toBe(value.toWellFormed());
      },
    ),
  );
});
