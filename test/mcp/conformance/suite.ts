import { execFile } from "node:child_process";
import { mkdtempDisposable, readdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parse } from "yaml";
import { z } from "zod";

const SUITE = dirname(createRequire(import.meta.url).resolve("@modelcontextprotocol/conformance/package.json"));

/** The requirement sets of the suite that the gateway is measured with. */
export type Revision = "2025-11-25" | "2026-07-28";

const Requirements = z.object({
  server: z.array(z.string()),
  not_scored: z.array(z.object({ scenario: z.string(), leg: z.string(), reason: z.string() })),
});

/**
 * The scenarios of a revision that a server must pass, and those that are run but count for nothing. Scenarios of extensions
 * are left out: neither the fixtures nor the gateway offer any.
 */
export async function scenariosOf(revision: Revision): Promise<{ scored: string[]; unscored: string[] }> {
  const file = await readFile(join(SUITE, "requirements", `${revision}.yaml`), "utf8");
  const { server, not_scored } = Requirements.parse(parse(file));
  const unscored = not_scored.filter(({ leg, reason }) => leg === "server" && reason !== "extension");
  return { scored: server, unscored: unscored.map(({ scenario }) => scenario) };
}

const Checks = z.array(z.object({ id: z.string(), status: z.string(), errorMessage: z.string().optional() }));

export interface Outcome {
  /** `warning`: what a server should do is missing, nothing that it must do. */
  readonly status: "passed" | "warning" | "failed";
  /** The checks that did not pass, by id, with what the suite says of them. */
  readonly complaints: ReadonlyMap<string, string>;
  /** The checks that passed. The rest was not applicable, or only informs. */
  readonly passed: ReadonlySet<string>;
}

export type Report = ReadonlyMap<string, Outcome>;

/**
 * Runs the pinned suite, as it is published, against a URL: every scenario of the revision, one after the other. A scenario
 * that the suite did not report is `failed`.
 */
export async function runSuite(url: string, revision: Revision): Promise<Report> {
  const { scored, unscored } = await scenariosOf(revision);
  await using folder = await mkdtempDisposable(join(tmpdir(), "bifrost-conformance-"));
  const args = ["server", "--url", url, "--requirements", revision, "--output-dir", folder.path, "--timeout", "10000"];
  const output = await new Promise<string>((resolve) =>
    execFile(
      process.execPath,
      [join(SUITE, "dist/index.js"), ...args],
      // Its exit code is not used: it knows nothing of what we expect.
      { cwd: folder.path, maxBuffer: 64 * 1024 * 1024, timeout: 110_000, killSignal: "SIGKILL" },
      (_error, stdout, stderr) => resolve(stdout + stderr),
    ),
  );
  const folders = await readdir(folder.path);
  const report = new Map<string, Outcome>();
  for (const scenario of [...scored, ...unscored]) {
    const found = folders.find((name) => name.replace(/-\d{4}-\d\d-\d\dT[\d-]+Z$/, "") === `server-${scenario}`);
    if (found === undefined) {
      report.set(scenario, failed("not run", output.slice(-500)));
      continue;
    }
    report.set(scenario, outcomeOf(await readFile(join(folder.path, found, "checks.json"), "utf8")));
  }
  return report;
}

const failed = (id: string, why: string): Outcome => ({
  status: "failed",
  complaints: new Map([[id, why]]),
  passed: new Set(),
});

function outcomeOf(json: string): Outcome {
  const checks = Checks.parse(JSON.parse(json));
  if (checks.length === 0) return failed("no check", "the scenario made none");
  const told = checks.filter(({ status }) => status === "FAILURE" || status === "WARNING");
  const complaints = new Map(told.map(({ id, errorMessage }) => [id, errorMessage ?? ""]));
  const passed = new Set(checks.filter(({ status }) => status === "SUCCESS").map(({ id }) => id));
  if (told.some(({ status }) => status === "FAILURE")) return { status: "failed", complaints, passed };
  return { status: told.length > 0 ? "warning" : "passed", complaints, passed };
}
