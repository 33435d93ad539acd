// Everything that must hold before a change lands: `npm run check`, and .ci/run after it has installed the
// system packages. Plain JavaScript for Node 20: its first step is what makes a fresh clone runnable.
//
// Each step is one line of the summary and counts as one check; the test step counts each of its tests.
// The last line is always `N passed, N failed`; the exit code is 0 only if nothing failed.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const scratch = mkdtempSync(join(tmpdir(), "bifrost-check-"));
const report = join(scratch, "tests.json");
const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];

/** The test step is the README's command and comes first: it installs what the others use. */
const STEPS = [
  { name: "tests, architecture and documents among them", command: ["npm", "test", "--", ...reporters], tests: true },
  { name: "types", command: ["npm", "run", "types"] },
  { name: "format and lint", command: ["npm", "run", "lint"] },
  { name: "no unused files or dependencies", command: ["npm", "run", "unused"] },
  { name: "generated documents are current", command: ["npm", "run", "docs", "--", "--check"] },
  { name: "build", command: ["npm", "run", "build"] },
  ...(existsSync(join(root, "demo", "run.ts")) ? [{ name: "demo", command: ["npm", "run", "demo"] }] : []),
];

let passed = 0;
let failed = 0;
const summary = [];
for (const step of STEPS) {
  console.log(`\n== ${step.name}: ${step.command.slice(0, 3).join(" ")}`);
  const [program, ...args] = step.command;
  const result = spawnSync(program, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
  const isGood = result.status === 0;
  const counts = step.tests ? countTests(isGood) : { passed: isGood ? 1 : 0, failed: isGood ? 0 : 1 };
  passed += counts.passed;
  failed += counts.failed;
  summary.push(`${counts.failed === 0 ? "ok    " : "FAILED"}  ${step.name}`);
}
rmSync(scratch, { recursive: true, force: true });
console.log(`\n${summary.join("\n")}\n\n${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

/**
 * What the test runner counted. A file that cannot be loaded, or a run that ends without a report, has no failed
 * test of its own: it counts as one.
 * @param {boolean} isGood
 */
function countTests(isGood) {
  if (!existsSync(report)) return { passed: 0, failed: 1 };
  const totals = JSON.parse(readFileSync(report, "utf8"));
  const broken = totals.testResults.filter(
    (file) => file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed"),
  ).length;
  const failures = totals.numFailedTests + broken;
  return { passed: totals.numPassedTests, failed: failures === 0 && !isGood ? 1 : failures };
}
