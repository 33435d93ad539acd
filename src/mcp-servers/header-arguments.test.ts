import { expect, it } from "vitest";
import { readHeaderArguments } from "./header-arguments.ts";

const tool = (inputSchema: unknown) => JSON.stringify({ name: "query", inputSchema });
const region = { type: "string", "x-mcp-header": "Region" };

it("finds annotated arguments at any depth of properties", () => {
  const nested = { type: "object", properties: { zone: { type: "integer", "x-mcp-header": "Zone" } } };
  expect(readHeaderArguments(tool({ properties: { region, place: nested } }))).toEqual([
    { path: ["region"], header: "Region" },
    { path: ["place", "zone"], header: "Zone" },
  ]);
});

it.each([
  ["under items", { properties: { list: { type: "array", items: region } } }],
  ["under anyOf", { properties: { one: { anyOf: [region] } } }],
  ["in definitions", { properties: {}, $defs: { region } }],
  ["on the schema itself", region],
  ["on an object", { properties: { a: { type: "object", "x-mcp-header": "A" } } }],
  ["on a number", { properties: { a: { type: "number", "x-mcp-header": "A" } } }],
  ["with a header that is no token", { properties: { a: { type: "string", "x-mcp-header": "a b" } } }],
  ["with a line break in it", { properties: { a: { type: "string", "x-mcp-header": "a\r\nb" } } }],
  ["empty", { properties: { a: { type: "string", "x-mcp-header": "" } } }],
  ["twice in different case", { properties: { a: region, b: { type: "string", "x-mcp-header": "REGION" } } }],
])("refuses an annotation %s", (_, schema) => {
  expect(readHeaderArguments(tool(schema))).toBeNull();
});

it("takes the key for what it is only where a schema stands", () => {
  const schema = {
    properties: { "x-mcp-header": { type: "string", default: { "x-mcp-header": "A" }, enum: ["x-mcp-header"] } },
    required: ["x-mcp-header"],
  };
  expect(readHeaderArguments(tool(schema))).toEqual([]);
});

it("answers for a schema that is nested very deeply", () => {
  let schema: unknown = region;
  for (let depth = 0; depth < 1_000; depth++) schema = { properties: { a: schema } };
  expect(readHeaderArguments(tool(schema))).toBeNull();
});
