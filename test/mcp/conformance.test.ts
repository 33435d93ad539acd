import { beforeAll, describe, expect, it } from "vitest";
import { startGateway } from "../support/gateway.ts";
import { startHeaderForwarder } from "../support/header-forwarder.ts";
import { CONFORMANCE_SCOPE } from "./conformance-scope.ts";
import { type Report, type Revision, runSuite, scenariosOf } from "./conformance/suite.ts";

/** Runs the pinned suite against the gateway without any other server, as `bifrost serve` builds it. */
async function measure(revision: Revision): Promise<Report> {
  await using ends = new AsyncDisposableStack();
  const gateway = ends.adopt(await startGateway(), (started) => started.close());
  const authorization = `Bearer ${gateway.owner.apiKey}`;
  const front = ends.use(await startHeaderForwarder(`${gateway.url}/mcp`, { authorization }));
  return await runSuite(front.url, revision);
}

describe.each(["2025-11-25", "2026-07-28"] as const)(
  "the gateway's own tools in the official suite, %s",
  (revision) => {
    const scope = CONFORMANCE_SCOPE[revision];
    const notServed = Object.values(scope.notServed).flat();
    const excused = new Set(Object.values(scope.excused).flat());
    let scenarios: string[] = [];
    let report: Report = new Map();

    const complaintsOf = (scenario: string) =>
      [...(report.get(scenario)?.complaints.keys() ?? ["not run"])].map((check) => `${scenario}:${check}`);

    beforeAll(async () => {
      const { scored, unscored } = await scenariosOf(revision);
      scenarios = [...scored, ...unscored];
      report = await measure(revision);
    }, 120_000);

    it("has no scenario that nobody has decided about, and none that it no longer has", () => {
      expect([...scope.served, ...notServed].toSorted()).toEqual(scenarios.toSorted());
    });

    it.each(scope.served)("passes in %s", (scenario) => {
      expect(complaintsOf(scenario).filter((check) => !excused.has(check))).toEqual([]);
    });

    it("excuses no check that passes", () => {
      const complaints = scope.served.flatMap(complaintsOf);
      expect([...excused].filter((check) => !complaints.includes(check))).toEqual([]);
    });

    it("finds every message valid, also the answers to what is not served", () => {
      const invalid = scenarios.flatMap(complaintsOf).filter((check) => check.endsWith(":wire-schema-valid"));
      expect(invalid).toEqual([]);
    });
  },
);
