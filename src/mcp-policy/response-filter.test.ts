import { afterAll, describe, expect, it, vi } from "vitest";
import type { GatewayError } from "../core/errors.ts";
import { createResponseFilters } from "./response-filter.ts";

const PROGRAMS = {
  names: "map(.name)",
  whole: ".content[1].text",
  result: '.content |= map(select(.type == "text"))',
  same: ".",
  environment: "[env, $ENV]",
  input: "input",
  inputs: "[inputs]",
  halt: "halt",
  none: "empty",
  two: "1, 2",
  endless: "def f: f; f",
  "endless outputs": "repeat(1)",
  "endless messages": "last(range(1e12) | debug)",
  memory: "[range(1e12)] | length",
  text: 'reduce range(1e9) as $i (""; . + "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")',
  recursion: "def f: 1 + f; f",
  fails: ".[0].name.x",
  own: "def double: . * 2; # a comment\n.n | double # another",
  import: 'import "x" as x; 1',
};
const filters = createResponseFilters(PROGRAMS, { timeoutMs: 30_000, maxWaiting: 50, idleMs: 60_000 });
/** For programs that never end. */
const hurried = createResponseFilters(PROGRAMS, { timeoutMs: 500, maxWaiting: 50, idleMs: 60_000 });
afterAll(() => Promise.all([filters.close(), hurried.close()]));

const resultOf = (text: string, more: object = {}) => JSON.stringify({ content: [{ type: "text", text }], ...more });
const people = '[{"name":"Ada","secret":1},{"name":"Bob","secret":2}]';
const apply = async (tool: string, result: string) => JSON.parse(await filters.apply(tool, result)) as unknown;
const codeOf = async (tool: string, from = filters) => {
  try {
    return await from.apply(tool, resultOf(people));
  } catch (error) {
    return (error as GatewayError).code;
  }
};

describe("a response filter", () => {
  it("gets the first text that is JSON, and its value is all that is left of the result", async () => {
    const result = JSON.stringify({
      content: [
        { type: "image", data: "secret", mimeType: "image/png" },
        { type: "text", text: people },
        { type: "text", text: "secret" },
      ],
      _meta: { secret: true },
      other: "secret",
    });
    expect(await apply("names", result)).toEqual({ content: [{ type: "text", text: '["Ada","Bob"]' }] });
  });

  it("takes the place of structured content too, where it gives an object", async () => {
    const structured = resultOf('{"n":2}', { structuredContent: { n: 2, secret: 1 } });
    expect(await apply("same", structured)).toEqual({
      content: [{ type: "text", text: '{"n":2}' }],
      structuredContent: { n: 2 },
    });
    expect(await apply("own", structured)).toEqual({ content: [{ type: "text", text: "4" }] });
  });

  it("gets the whole result where its first text is no JSON, and may give a whole result", async () => {
    const result = JSON.stringify({
      content: [
        { type: "text", text: "hello" },
        { type: "text", text: "world" },
        { type: "image", data: "", mimeType: "image/png" },
      ],
      isError: false,
    });
    expect(await apply("whole", result)).toEqual({ content: [{ type: "text", text: '"world"' }] });
    expect(await apply("result", result)).toEqual({
      content: [
        { type: "text", text: "hello" },
        { type: "text", text: "world" },
      ],
      isError: false,
    });
  });

  it("keeps numbers as they were written", async () => {
    const text = '{"id":12345678901234567890,"price":1.50}';
    expect(await apply("same", resultOf(text))).toEqual({ content: [{ type: "text", text }] });
  });

  it("does not change what is no output of the tool, and tools without filter", async () => {
    for (const result of [resultOf("x", { isError: true }), resultOf("x", { resultType: "input_required" })]) {
      expect(filters.apply("names", result)).toBe(result);
    }
    expect(filters.apply("other", resultOf(people))).toBe(resultOf(people));
    expect(filters.apply("constructor", resultOf(people))).toBe(resultOf(people));
    expect([filters.has("names"), filters.has("other")]).toEqual([true, false]);
  });

  it("sees nothing of the gateway", async () => {
    expect(await apply("environment", resultOf("{}"))).toEqual({ content: [{ type: "text", text: "[{},{}]" }] });
  });

  it.each([
    ["none", "gives no value"],
    ["two", "gives two"],
    ["fails", "fails on the data"],
    ["input", "asks for more input"],
    ["inputs", "asks for all input"],
    ["halt", "stops jq"],
    ["import", "does not compile"],
    ["endless", "never ends"],
    ["endless outputs", "gives values without end"],
    ["endless messages", "writes without end"],
    ["memory", "takes all memory by numbers"],
    ["text", "takes all memory by a text"],
    ["recursion", "recurs without end"],
  ])("withholds the result where the program %s: it %s", async (tool) => {
    expect(await codeOf(tool, hurried)).toBe("mcp.filter_failed");
    // A machine under load may be too slow for the hurry; what counts is that it works again.
    await vi.waitFor(async () => expect(await codeOf("names", hurried)).toContain("Ada"), { timeout: 20_000 });
  });

  it("says nothing of the data when it fails", async () => {
    const failed = Promise.resolve(filters.apply("fails", resultOf('["topsecret"]')));
    await expect(failed).rejects.toThrow("filter of fails: the program failed on this result (jq exit code 5)");
  });

  it("filters many results at once, each for its own call, and refuses those that would wait too long a line", async () => {
    const numbers = Array.from({ length: 40 }, (_, n) => n);
    const own = numbers.map((n) => apply("own", resultOf(JSON.stringify({ n }))));
    expect(await Promise.all(own)).toEqual(numbers.map((n) => ({ content: [{ type: "text", text: String(n * 2) }] })));
    const codes = await Promise.all(Array.from({ length: 60 }, () => codeOf("names")));
    expect(codes.filter((code) => code === "mcp.filter_failed")).toHaveLength(9);
  });

  it("does not carry anything from one result to the next, nor keeps the memory of a large one", async () => {
    const large = JSON.stringify([{ name: "x".repeat(6 * 1024 * 1024) }]);
    expect(JSON.stringify(await apply("names", resultOf(large))).length).toBeGreaterThan(6_000_000);
    expect(await codeOf("names")).toContain("Ada");
  });

  it("ends with the gateway: what runs or waits is withheld", async () => {
    const own = createResponseFilters({ endless: PROGRAMS.endless });
    const open = [1, 2].map(async () => own.apply("endless", resultOf("{}")));
    const settled = Promise.allSettled(open);
    await own.close();
    expect((await settled).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    await expect(async () => own.apply("endless", resultOf("{}"))).rejects.toMatchObject({ code: "mcp.filter_failed" });
  });
});

describe("checking the programs at start", () => {
  it("names those that do not compile, with jq's reason and the program's own line, and runs none", async () => {
    const own = createResponseFilters({
      fine: ".a",
      endless: PROGRAMS.endless,
      syntax: ".a |\n. ||",
      unknown: "\n nothing(1)",
      unbalanced: "1)) | ((2",
      functions: "1); def q: (2",
      empty: "",
    });
    const problems = await own.check();
    await own.close();
    expect(problems.map(({ tool }) => tool)).toEqual(["syntax", "unknown", "unbalanced", "functions", "empty"]);
    expect(problems[1]?.problem).toBe("nothing/1 is not defined at line 2, column 2");
    expect(problems[0]?.problem).toMatch(/^syntax error.* at line 2, column/);
  });

  it("starts nothing where there is no program", async () => {
    const own = createResponseFilters({});
    expect(await own.check()).toEqual([]);
    await own.close();
  });
});
