import fc from "fast-check";
import { expect, it } from "vitest";
import { createFakeUpstream, declaredStdio } from "../../test/support/fake-mcp-upstream.ts";
import { readPrompts, readResources, readTools } from "./catalog-entries.ts";
import { readList } from "./read-list.ts";

/** Answers by page; the cursor is the page's number. */
async function readerOf(pages: (page: number) => unknown) {
  const fake = createFakeUpstream();
  fake.answer = async ({ params }) => {
    const page = Number(params === undefined ? 0 : (JSON.parse(params) as { cursor: string }).cursor);
    const answer = pages(page);
    return typeof answer === "string" ? { error: answer } : { result: JSON.stringify(answer) };
  };
  const client = { info: null, capabilities: "{}" };
  const { signal } = new AbortController();
  const link = await fake.open(declaredStdio("files"), { facts: client, headers: {}, era: "2025", signal });
  return { link, client, headers: {}, signal };
}
const list = async (pages: (page: number) => unknown) => readList(await readerOf(pages), "tools/list", "tools");

it("reads all pages, and keeps each element as the server wrote it", async () => {
  const pages = [
    { tools: [{ name: "a", huge: 1e300 }], nextCursor: "1" },
    { tools: [{ name: "b" }], nextCursor: null },
  ];
  const { items } = await list((page) => pages[page]);
  expect(items).toEqual(['{"name":"a","huge":1e+300}', '{"name":"b"}']);
});

it("takes an unknown method for an empty list, and any other error for a failure", async () => {
  expect((await list(() => '{"code":-32601,"message":"no"}')).items).toEqual([]);
  await expect(list(() => '{"code":-32603,"message":"its own text"}')).rejects.toMatchObject({
    code: "upstream.protocol",
    publicMessage: expect.not.stringContaining("its own text"),
  });
});

it.each([
  ["an answer without the list", () => ({ items: [] }), "upstream.protocol"],
  ["a cursor that is no string", () => ({ tools: [], nextCursor: 7 }), "upstream.protocol"],
  ["a cursor that comes again", () => ({ tools: [], nextCursor: "5" }), "upstream.protocol"],
  ["more than 100 pages", (page: number) => ({ tools: [], nextCursor: String(page + 1) }), "upstream.too_large"],
  ["more than 10,000 elements", () => ({ tools: Array(10_001).fill(0) }), "upstream.too_large"],
  ["more than 8 Mi characters", () => ({ tools: ["x".repeat(9 * 1024 * 1024)] }), "upstream.too_large"],
])("refuses %s", async (_, pages, code) => {
  await expect(list(pages)).rejects.toMatchObject({ code });
});

it("reads cache hints, and takes one without scope as private", async () => {
  expect((await list(() => ({ tools: [] }))).hint).toBeNull();
  expect((await list(() => ({ tools: [], ttlMs: 500 }))).hint).toEqual({ ttlMs: 500, scope: "private" });
  expect((await list(() => ({ tools: [], cacheScope: "public" }))).hint).toEqual({ ttlMs: 0, scope: "public" });
});

it("leaves out tools with a name that cannot be used or was there before", () => {
  const names = ["ok", "", "two words", "ünïcode", "a".repeat(129), "line\nbreak", 7, "ok", "files/read:v2"];
  const items = [...names.map((name) => JSON.stringify({ name })), "null", "[]", '"text"'];
  const { entries, leftOut } = readTools(items, false);
  expect(entries.map(({ name }) => name)).toEqual(["ok", "files/read:v2"]);
  expect(leftOut).toBe(10);
});

it("reads the facts that policy needs", () => {
  const tool = '{"annotations":{"readOnlyHint":true},"name":"get","inputSchema":{"type":"object"}}';
  expect(readTools([tool], false).entries).toEqual([{ name: "get", json: tool, readOnlyHint: true }]);
});

it("leaves out a tool with a wrong header annotation only where arguments go into headers", () => {
  const tool = '{"name":"t","inputSchema":{"x-mcp-header":"A"}}';
  expect(readTools([tool], true)).toEqual({ entries: [], leftOut: 1 });
  expect(readTools([tool], false).entries).toHaveLength(1);
});

it("leaves out prompts and resources with control characters in their names", () => {
  const prompts = ["Grüße", "a b", "\u202eevil", "\u0000"].map((name) => JSON.stringify({ name }));
  expect(readPrompts(prompts).entries.map(({ name }) => name)).toEqual(["Grüße", "a b"]);
  const resources = ["file:///ä", "a b", "x\ty"].map((uri) => JSON.stringify({ uri }));
  expect(readResources(resources).entries.map(({ uri }) => uri)).toEqual(["file:///ä"]);
});

it("never throws for elements of any shape, and keeps the text of those it takes", () => {
  fc.assert(
    fc.property(fc.array(fc.json()), (items) => {
      const { entries, leftOut } = readTools(items, true);
      expect(entries.length + leftOut).toBe(items.length);
      for (const { json } of entries) expect(items).toContain(json);
    }),
  );
});
