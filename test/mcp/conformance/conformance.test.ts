import { beforeAll, describe, expect, it } from "vitest";
import { type Pair, PAIRS, reasonAgainst } from "./pairs.ts";
import { runPair } from "./run-pair.ts";
import { type Report, type Revision, scenariosOf } from "./suite.ts";
import { renderRows } from "./table.ts";

/** Of the pairs; the suite waits most of the time, so this is more than a small machine has cores. */
const AT_A_TIME = 3;

const reports = new Map<Pair, Report>();
const scenarios = new Map<Revision, readonly string[]>();

function failureOf(pair: Pair, scenario: string): readonly string[] | null {
  const outcome = reports.get(pair)?.get(scenario);
  if (outcome === undefined) return ["not run"];
  return outcome.status === "passed" ? null : outcome.complaints;
}

beforeAll(async () => {
  for (const revision of ["2025-11-25", "2026-07-28"] as const) {
    const { scored, unscored } = await scenariosOf(revision);
    scenarios.set(revision, [...scored, ...unscored]);
  }
  const waiting = [...PAIRS];
  const work = async () => {
    for (let pair = waiting.shift(); pair !== undefined; pair = waiting.shift()) reports.set(pair, await runPair(pair));
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, work));
  for (const revision of scenarios.keys()) {
    const observed = await renderRows(revision, (pair, scenario) => (failureOf(pair, scenario) === null ? "✓" : "✗"));
    console.log(`The conformance suite as a client of ${revision}:\n\n${observed}\n`);
  }
}, 300_000);

describe.each(PAIRS)(
  "$id: a client of $client, $way, $upstream.sdk over $upstream.transport ($upstream.eras)",
  (pair) => {
    it("passes in every scenario that can pass", () => {
      const possible = (scenarios.get(pair.client) ?? []).filter((scenario) => reasonAgainst(pair, scenario) === null);
      const failed = possible
        .map((scenario) => [scenario, failureOf(pair, scenario)])
        .filter(([, why]) => why !== null);
      expect(Object.fromEntries(failed)).toEqual({});
    });

    it("fails in every scenario that is said to be impossible", () => {
      const impossible = Object.values(pair.impossible).flat();
      expect(impossible.filter((scenario) => failureOf(pair, scenario) === null)).toEqual([]);
      expect(impossible.filter((scenario) => !scenarios.get(pair.client)?.includes(scenario))).toEqual([]);
    });
  },
);
