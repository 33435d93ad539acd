import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openLogFiles } from "./log-files.ts";
import { createRedactor } from "./redactor.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "bifrost-logs-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const open = () => {
  const redactor = createRedactor();
  redactor.keep("the-secret-value");
  const clock = { now: () => Date.UTC(2026, 10, 21, 3) };
  return openLogFiles({ dir, withPayloads: true, redactor, clock, onProblem: (problem) => expect(problem).toBe("") });
};
const read = (name: string) => readFile(join(dir, name), "utf8");

it("what a server says cannot look like a line of the gateway, or like a command to a terminal", async () => {
  const files = open();
  files.serverLine(
    "github",
    "INFO",
    "stderr",
    "one\n[2026-01-01T00:00:00.000Z] [ERROR] [forged] two\u001b[2J\u2028the-secret-value",
  );
  await files.close();
  expect(await read("github.log")).toBe(
    "[2026-11-21T03:00:00.000Z] [INFO] [stderr] one\\u000a[2026-01-01T00:00:00.000Z] [ERROR] [forged] two\\u001b[2J\\u2028[REDACTED]\n",
  );
});

it("a server named as a file of the gateway has a file of its own", async () => {
  const files = open();
  files.line("INFO", "gateway", "ours");
  files.serverLine("mcp-gateway", "INFO", "rpc", "its own");
  await files.close();
  expect((await readdir(dir)).sort()).toEqual(["mcp-gateway.log", "mcp-gateway.server.log"]);
  expect(await read("mcp-gateway.log")).toContain("ours");
});

it("what is quoted in gateway.md ends neither its fence nor its block", async () => {
  const files = open();
  files.exchange({
    server: "github",
    method: "tools/call",
    tool: "</summary><script>",
    outcome: "error",
    failure: "`x`",
    elapsedMs: 3,
    request: "````\n</details>\n",
    response: `${"x".repeat(500)}the-secret-value`,
  });
  await files.close();
  const text = await read("gateway.md");
  expect(text).not.toContain("<script>");
  expect(text).toContain("`````json\n````\n</details>\n\n`````");
  expect(text).toContain(`${"x".repeat(500)}[REDACTED]`);
});

it("tools.json holds what each server offers now", async () => {
  const files = open();
  files.tools("a", [{ name: "old", description: "" }]);
  files.tools("b", [{ name: "other", description: "says the-secret-value" }]);
  files.tools("a", [{ name: "new", description: "of late" }]);
  await files.close();
  expect(JSON.parse(await read("tools.json"))).toEqual({
    servers: {
      a: [{ name: "new", description: "of late" }],
      b: [{ name: "other", description: "says [REDACTED]" }],
    },
  });
  expect(await readdir(dir)).toEqual(["tools.json"]);
});

it("nothing is made where nothing is written", async () => {
  await open().close();
  expect(await readdir(dir)).toEqual([]);
});
