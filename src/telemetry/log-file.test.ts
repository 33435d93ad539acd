import { mkdtemp, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createLogFile, LOG_FILE_DEFAULTS } from "./log-file.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "bifrost-log-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

function openFile(name: string, options: Partial<typeof LOG_FILE_DEFAULTS> = {}) {
  const problems: string[] = [];
  let dropped = 0;
  const file = createLogFile(join(dir, name), {
    ...LOG_FILE_DEFAULTS,
    ...options,
    onDropped: (lines) => void (dropped += lines),
    onProblem: (problem) => void problems.push(problem),
  });
  return { file, problems, dropped: () => dropped };
}

it("every line that was taken is in the file after close, in order, readable by this user only", async () => {
  const { file } = openFile("logs/deep/a.log");
  for (let i = 0; i < 5_000; i++) file.write(`line ${i}`);
  await file.close();
  const path = join(dir, "logs/deep/a.log");
  const expected = Array.from({ length: 5_000 }, (_, i) => `line ${i}\n`).join("");
  expect(await readFile(path, "utf8")).toBe(expected);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect((await stat(join(dir, "logs"))).mode & 0o777).toBe(0o700);
});

it("a file that others could read is closed to them, and added to", async () => {
  await writeFile(join(dir, "a.log"), "before\n", { mode: 0o644 });
  const { file } = openFile("a.log");
  file.write("after");
  await file.close();
  expect(await readFile(join(dir, "a.log"), "utf8")).toBe("before\nafter\n");
  expect((await stat(join(dir, "a.log"))).mode & 0o777).toBe(0o600);
});

it("a file above its size is kept once, and a new one begun", async () => {
  const { file } = openFile("a.log", { maxBytes: 100_000 });
  for (let i = 0; i < 3; i++) file.write(String(i).repeat(70_000));
  await file.close();
  const now = await stat(join(dir, "a.log"));
  const before = await stat(join(dir, "a.log.1"));
  // The first line was written at once, the others together while it was.
  expect([before.size, now.size]).toEqual([70_001, 140_002]);
});

it("lines beyond what may wait are dropped and counted, and the gap is told", async () => {
  const { file, dropped } = openFile("a.log", { maxQueued: 100 });
  for (let i = 0; i < 20; i++) file.write("0123456789");
  expect(dropped()).toBe(11);
  await file.close();
  expect(await readFile(join(dir, "a.log"), "utf8")).toMatch(/^\(11 lines are missing here\)\n(0123456789\n){9}$/);
});

it("a disk that takes nothing costs one warning, and no failure", async () => {
  await writeFile(join(dir, "not-a-folder"), "");
  const { file, problems, dropped } = openFile("not-a-folder/a.log", { flushMs: 1 });
  for (let i = 0; i < 3; i++) {
    file.write("x".repeat(70_000));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await file.close();
  expect(problems).toHaveLength(1);
  expect(dropped()).toBe(3);
});

it("nothing is written through a link", async () => {
  await writeFile(join(dir, "target"), "");
  await symlink(join(dir, "target"), join(dir, "a.log"));
  const { file, problems } = openFile("a.log");
  file.write("x");
  await file.close();
  expect(problems).toHaveLength(1);
  expect(await readFile(join(dir, "target"), "utf8")).toBe("");
});

it("what comes after close is ignored", async () => {
  const { file } = openFile("a.log");
  file.write("x");
  await file.close();
  file.write("y");
  await file.close();
  expect(await readFile(join(dir, "a.log"), "utf8")).toBe("x\n");
});
