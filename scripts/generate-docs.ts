// Writes the documents that are generated from code. With --check it writes nothing and fails on a difference.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DOCUMENTS, renderDocument } from "./documents.ts";

const check = process.argv.includes("--check");
const stale: string[] = [];
for (const name of Object.keys(DOCUMENTS)) {
  const path = join(import.meta.dirname, "..", "docs", name);
  const text = await renderDocument(name);
  if (text === readOrNull(path)) continue;
  stale.push(name);
  if (!check) writeFileSync(path, text);
}

if (check && stale.length > 0) {
  console.error(`docs/ differs from the code: ${stale.join(", ")}. Run: npm run docs`);
  process.exitCode = 1;
} else {
  console.log(stale.length === 0 ? "docs/ is up to date" : `written: ${stale.join(", ")}`);
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
