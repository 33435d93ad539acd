import { spawnSync } from "node:child_process";
import { expect, it } from "vitest";

it("the demo ends by itself, and every step of it holds", () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ["demo/run.ts"], {
    encoding: "utf8",
    timeout: 60_000,
  });
  expect(status, stdout + stderr).toBe(0);
  expect(stdout).toContain("Every step held.");
}, 70_000);
