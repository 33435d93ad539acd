import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";

it("a script of a clone runs on a Node that is new enough and was installed by somebody else", () => {
  const clone = mkdtempSync(join(tmpdir(), "bifrost-clone-"));
  try {
    mkdirSync(join(clone, "scripts"));
    mkdirSync(join(clone, "node_modules"));
    cpSync(new URL("../../scripts/bootstrap.mjs", import.meta.url), join(clone, "scripts", "bootstrap.mjs"));
    writeFileSync(join(clone, "package-lock.json"), "{}");
    const installed = createHash("sha256").update("{}").digest("hex");
    writeFileSync(join(clone, "node_modules", ".bifrost-lock-sha256"), installed);
    writeFileSync(join(clone, "said.mjs"), "console.log(`ran with ${process.argv[2]}`);");
    const out = execFileSync(process.execPath, [
      join(clone, "scripts", "bootstrap.mjs"),
      join(clone, "said.mjs"),
      "this",
    ]);
    expect(out.toString()).toBe("ran with this\n");
  } finally {
    rmSync(clone, { recursive: true });
  }
});
