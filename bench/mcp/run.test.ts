import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { readReply } from "./connection.ts";

const program = fileURLToPath(new URL("run.ts", import.meta.url));

function run(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let [out, err] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (err += chunk.toString()));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, out, err }));
  });
}

it("a quick run measures every row, has no wrong answer, and leaves no process", { timeout: 180_000 }, async () => {
  const { code, out, err } = await run("--quick", "--no-peers", "--json");
  expect({ code, err }).toEqual({ code: 0, err: "" });
  const summary: Record<string, unknown> = JSON.parse(out);
  expect(summary).toMatchObject({ processes_left: 0, not_measured: {} });
  const rows = ["bare", "direct", "direct 2026", "gateway", "gateway 2026", "gateway stdio"];
  const measured: Record<string, object> = Object(summary["requests_per_second"]);
  for (const workload of ["callOne", "callMany", "listOne", "listMany"]) {
    expect(Object.keys(measured[workload] ?? {}).toSorted()).toEqual(rows);
  }
  expect(Object.keys(Object(summary["cold_start_ms"]))).toEqual(["direct", "gateway"]);
  // A quick run says nothing about what needs a thousand sessions or a hundred thousand calls.
  expect(summary["targets_met"]).toMatchObject({ rss_mib_with_sessions: null, growth: null });
});

it("an option that makes no sense is told with the ones there are", async () => {
  const { code, err } = await run("--rounds", "0");
  expect(code).toBe(2);
  expect(err).toContain("--rounds takes a whole number from 1");
});

it("a response is read only when all of it is there, with a length and in chunks", () => {
  const cases = [
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
  ];
  for (const text of cases) {
    for (let end = 0; end < text.length; end++) expect(readReply(text.slice(0, end))).toBeNull();
    expect(readReply(text)).toMatchObject({ status: 200, body: "hello" });
  }
  expect(readReply("HTTP/1.1 202 Accepted\r\n\r\n")).toMatchObject({ status: 202, body: "" });
});
