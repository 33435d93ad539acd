import { execFile } from "node:child_process";
import { mkdtempDisposable, readdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { startGateway } from "../support/gateway.ts";
import { startHeaderForwarder } from "../support/header-forwarder.ts";
import { CONFORMANCE_SCOPE } from "./conformance-scope.ts";

const SUITE = dirname(createRequire(import.meta.url).resolve("@modelcontextprotocol/conformance/package.json"));

const Requirements = z.object({
  server: z.array(z.string()),
  not_scored: z.array(z.object({ scenario: z.string(), leg: z.string() })),
});
const Checks = z.array(z.object({ id: z.string(), status: z.string(), errorMessage: z.string().optional() }));

type Report = Map<string, z.output<typeof Checks>>;

/** Everything that the suite has for a server of this revision, scored or not. */
async function scenariosOf(revision: string): Promise<string[]> {
  const file = await readFile(join(SUITE, "requirements", `${revision}.yaml`), "utf8");
  const { server, not_scored } = Requirements.parse(parse(file));
  return [...server, ...not_scored.filter(({ leg }) => leg === "server").map(({ scenario }) => scenario)];
}

/** Runs the pinned suite against the whole gateway, as `bifrost serve` builds it; its exit code is not used, since it knows nothing of our scope. */
async function runSuite(revision: string, scenarios: readonly string[]): Promise<Report> {
  const gateway = await startGateway();
  await using _closed = { [Symbol.asyncDispose]: () => gateway.close() };
  await using front = await startHeaderForwarder(`${gateway.url}/mcp`, {
    authorization: `Bearer ${gateway.owner.apiKey}`,
  });
  await using folder = await mkdtempDisposable(join(tmpdir(), "bifrost-conformance-"));
  const args = ["server", "--url", front.url, "--requirements", revision, "--output-dir", folder.path];
  const output = await new Promise<string>((resolve) =>
    execFile(
      process.execPath,
      [join(SUITE, "dist/index.js"), ...args],
      { cwd: folder.path },
      (_error, stdout, stderr) => resolve(stdout + stderr),
    ),
  );
  const report: Report = new Map();
  const folders = await readdir(folder.path);
  for (const scenario of scenarios) {
    const found = folders.find((name) => name.replace(/-\d{4}-\d\d-\d\dT[\d-]+Z$/, "") === `server-${scenario}`);
    expect(found, `the suite did not run ${scenario}:\n${output.slice(-2000)}`).toBeDefined();
    const checks = await readFile(join(folder.path, found ?? "", "checks.json"), "utf8");
    report.set(scenario, Checks.parse(JSON.parse(checks)));
  }
  return report;
}

const revisions = Object.entries(CONFORMANCE_SCOPE);

describe.each(revisions)("the official conformance suite, revision %s", (revision, scope) => {
  const notServed = Object.values(scope.notServed).flat();
  const excused = new Set(Object.values(scope.excused).flat());
  let scenarios: string[] = [];
  let report: Report = new Map();

  const failuresOf = (scenario: string) =>
    (report.get(scenario) ?? []).filter(({ status }) => status === "FAILURE").map(({ id }) => `${scenario}:${id}`);

  beforeAll(async () => {
    scenarios = await scenariosOf(revision);
    report = await runSuite(revision, scenarios);
  }, 120_000);

  it("has no scenario that nobody has decided about, and none that it no longer has", () => {
    expect([...scope.served, ...notServed].toSorted()).toEqual(scenarios.toSorted());
  });

  it.each(scope.served)("passes in %s", (scenario) => {
    const failed = (report.get(scenario) ?? []).filter(
      ({ id, status }) => status === "FAILURE" && !excused.has(`${scenario}:${id}`),
    );
    expect(failed).toEqual([]);
    expect(report.get(scenario)?.length).toBeGreaterThan(0);
  });

  it("excuses no check that passes", () => {
    expect(scope.served.flatMap(failuresOf).toSorted()).toEqual([...excused].toSorted());
  });

  it("finds every message valid, also the answers to what is not served", () => {
    const invalid = scenarios.flatMap(failuresOf).filter((check) => check.endsWith(":wire-schema-valid"));
    expect(invalid).toEqual([]);
  });
});
