import fc from "fast-check";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { describeShape, preview } from "./describe-payload.ts";
import { createPayloadStore, type PayloadOptions } from "./payload-store.ts";

const base = mkdtempSync(join(tmpdir(), "payloads-"));
const stores: { close(): void }[] = [];
afterAll(() => {
  for (const store of stores) store.close();
  rmSync(base, { recursive: true, force: true });
});
let folders = 0;

function setUp(more: Partial<PayloadOptions> = {}) {
  const time = { nowMs: Date.now() };
  const problems: string[] = [];
  const options: PayloadOptions = {
    dir: join(base, `payloads-${folders++}`),
    pathPrefix: null,
    thresholdBytes: 200,
    maxAgeMs: 60_000,
    maxTotalBytes: 10_000,
    clock: { now: () => time.nowMs },
    onProblem: (problem) => problems.push(problem),
    ...more,
  };
  const store = createPayloadStore(options);
  stores.push(store);
  const names = () => (existsSync(options.dir) ? readdirSync(options.dir) : []);
  return { store, options, time, problems, names };
}

const resultOf = (text: string, more: object = {}) => JSON.stringify({ content: [{ type: "text", text }], ...more });
/** A result of exactly this many bytes. */
const ofBytes = (bytes: number) => resultOf("x".repeat(bytes - Buffer.byteLength(resultOf(""))));
const read = (result: string) => JSON.parse(result) as { content: { type: string; text: string }[]; isError?: boolean };
const metadataOf = (result: string) => JSON.parse(read(result).content[0]?.text ?? "") as Record<string, unknown>;
const big = resultOf(JSON.stringify({ items: [{ id: 12, name: "ä".repeat(400) }], next: null }));

describe("the payload store", () => {
  it.each([
    [199, false],
    [200, false],
    [201, true],
  ])("with a threshold of 200 puts away a result of %d bytes: %s", async (bytes, expected) => {
    const { store, names } = setUp();
    const result = ofBytes(bytes);
    expect(Buffer.byteLength(result)).toBe(bytes);
    expect((await store.shrink(result)) !== result).toBe(expected);
    expect(names()).toHaveLength(expected ? 1 : 0);
  });

  it.skipIf(process.getuid === undefined)(
    "trusts no folder that others could have made in a place where everybody may write",
    async () => {
      const open = join(base, "open-to-all");
      mkdirSync(open);
      chmodSync(open, 0o1777);
      const { store: fresh } = setUp({ dir: join(open, "fresh") });
      expect(read(await fresh.shrink(big)).isError).toBeUndefined();
      mkdirSync(join(open, "planted"));
      chmodSync(join(open, "planted"), 0o777);
      symlinkSync(join(open, "fresh"), join(open, "link"));
      for (const name of ["planted", "link"]) {
        const { store, problems } = setUp({ dir: join(open, name) });
        expect(read(await store.shrink(big)).isError).toBe(true);
        expect(problems).toContain("a payload file could not be written");
      }
      expect(readdirSync(join(open, "planted"))).toEqual([]);
    },
  );

  it("measures bytes, not characters", async () => {
    const { store } = setUp();
    const result = resultOf("€".repeat(60));
    expect(result.length).toBeLessThan(200);
    expect(await store.shrink(result)).not.toBe(result);
  });

  it("does nothing, and makes no folder, without a threshold", async () => {
    const { store, options } = setUp({ thresholdBytes: null });
    expect(store.shrink(big)).toBe(big);
    await store.sweep();
    expect(existsSync(options.dir)).toBe(false);
  });

  it("tells path, preview, shape and size, and the file holds the data as it was sent", async () => {
    const { store, options, names } = setUp();
    const answer = read(await store.shrink(big));
    const text = JSON.parse(big).content[0].text as string;
    const path = join(options.dir, names()[0] ?? "", "payload.json");
    expect(JSON.parse(answer.content[0]?.text ?? "")).toEqual({
      agentInstructions: expect.stringContaining("payloadPath"),
      payloadPath: path,
      payloadPreview: preview(text),
      payloadSchema: { items: [{ id: "number", name: "string" }], next: "null" },
      originalSize: Buffer.byteLength(text),
    });
    expect(answer.isError).toBeUndefined();
    expect(readFileSync(path, "utf8")).toBe(text);
  });

  it("is readable by this user only, under names that tell nothing and differ each time", async () => {
    const { store, options, names } = setUp();
    await Promise.all([store.shrink(big), store.shrink(big)]);
    const [one = "", two = ""] = names();
    expect(one).toMatch(/^[0-9a-f]{32}$/);
    expect(two).toMatch(/^[0-9a-f]{32}$/);
    expect(statSync(options.dir).mode & 0o777).toBe(0o700);
    expect(statSync(join(options.dir, one)).mode & 0o777).toBe(0o700);
    expect(statSync(join(options.dir, one, "payload.json")).mode & 0o777).toBe(0o600);
  });

  it("names another folder to agents where one is configured", async () => {
    const { store, names } = setUp({ pathPrefix: "/workspace/payloads/" });
    const { payloadPath } = metadataOf(await store.shrink(big));
    expect(payloadPath).toBe(`/workspace/payloads/${names()[0]}/payload.json`);
  });

  it("saves the whole result where it is more than data, and the data where its two forms are the same", async () => {
    const { store, options, names } = setUp();
    const items = { items: "y".repeat(300) };
    const same = resultOf(JSON.stringify(items), { structuredContent: items });
    const more = resultOf(JSON.stringify({ other: 1 }), { structuredContent: items, _meta: {} });
    for (const [result, expected] of [
      [same, JSON.stringify(items)],
      [more, more],
      [resultOf("z".repeat(300)), resultOf("z".repeat(300))],
    ] as const) {
      const before = names();
      await store.shrink(result);
      const name = names().find((one) => !before.includes(one)) ?? "";
      expect(readFileSync(join(options.dir, name, "payload.json"), "utf8")).toBe(expected);
    }
  });

  it("marks the answer as an error where structured content is missing from it, so that a strict client takes it", async () => {
    const { store } = setUp();
    const answer = read(await store.shrink(resultOf("{}", { structuredContent: { a: "b".repeat(300) } })));
    expect(answer.isError).toBe(true);
    expect(answer).not.toHaveProperty("structuredContent");
  });

  it.each([{ isError: true }, { resultType: "input_required" }])("leaves a result with %j as it is", async (more) => {
    const { store } = setUp();
    const result = resultOf("e".repeat(500), more);
    expect(await store.shrink(result)).toBe(result);
  });

  it("answers with an error, and without the data, where the file cannot be written", async () => {
    const file = join(base, "a-file");
    writeFileSync(file, "");
    const { store, problems } = setUp({ dir: join(file, "below") });
    const answer = await store.shrink(big);
    expect(read(answer).isError).toBe(true);
    expect(answer).toContain("could not be saved");
    expect(answer).not.toContain("ä");
    expect(problems).toContain("a payload file could not be written");
  });

  it("never exceeds its total, also with parallel results, and has room again after a sweep", async () => {
    const { store, names, time } = setUp({ maxTotalBytes: 2_000 });
    const answers = await Promise.all(Array.from({ length: 10 }, async () => store.shrink(big)));
    expect(answers.filter((answer) => read(answer).isError)).toHaveLength(8);
    expect(names()).toHaveLength(2);
    time.nowMs += 60_000;
    await store.sweep();
    expect(names()).toEqual([]);
    expect(read(await store.shrink(big)).isError).toBeUndefined();
  });

  it("removes files at their age, those of an earlier run too, and nothing else", async () => {
    const first = setUp();
    await first.store.shrink(big);
    writeFileSync(join(first.options.dir, "notes.txt"), "not ours");
    const second = setUp({ dir: first.options.dir });
    await second.store.sweep();
    expect(second.names()).toHaveLength(2);
    second.time.nowMs += 120_000;
    await second.store.sweep();
    expect(second.names()).toEqual(["notes.txt"]);
    expect(second.problems).toEqual([]);
  });
});

describe("preview", () => {
  it("is the beginning in at most 500 bytes, and ends with a whole character", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 0, maxLength: 700 }), (raw) => {
        const text = raw.toWellFormed();
        const shown = preview(text);
        if (Buffer.byteLength(text) <= 500) expect(shown).toBe(text);
        else {
          expect(shown.endsWith("...")).toBe(true);
          const begin = shown.slice(0, -3);
          expect(text.startsWith(begin)).toBe(true);
          expect(Buffer.byteLength(begin)).toBeGreaterThan(496);
          expect(Buffer.byteLength(begin)).toBeLessThanOrEqual(500);
        }
      }),
    );
  });
});

describe("describeShape", () => {
  it("names types, lets the first element stand for all, and keeps empty arrays", () => {
    expect(describeShape({ a: [{ b: 1 }, { c: 2 }], d: [], e: null, f: true, g: "x", h: 1.5 })).toEqual({
      a: [{ b: "number" }],
      d: [],
      e: "null",
      f: "boolean",
      g: "string",
      h: "number",
    });
  });

  it("is bounded in depth and width", () => {
    let deep: unknown = 1;
    for (let i = 0; i < 10_000; i++) deep = [deep];
    const wide = Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`k${i}`, i]));
    expect(JSON.stringify(describeShape(deep)).length).toBeLessThan(200);
    expect(describeShape(wide)).toMatchObject({ k99: "number", "...": "900 more" });
  });
});
