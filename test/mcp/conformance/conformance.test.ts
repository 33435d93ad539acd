import { beforeAll, describe, expect, it } from "vitest";
import { impossibleIn, type Pair, PAIRS } from "./pairs.ts";
import { runPair } from "./run-pair.ts";
import { type Report, type Revision, scenariosOf } from "./suite.ts";
import { renderRows } from "./table.ts";

/** Of the pairs; the suite waits most of the time, so this is more than a small machine has cores. */
const AT_A_TIME = 3;

const reports = new Map<Pair, Report>();
const scenarios = new Map<Revision, readonly string[]>();

/** The checks that did not pass, each with what the suite says of it. */
function complaintsOf(pair: Pair, scenario: string): ReadonlyMap<string, string> {
  return reports.get(pair)?.get(scenario)?.complaints ?? new Map([["not run", ""]]);
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
    const observed = await renderRows(revision, (pair, scenario) =>
      complaintsOf(pair, scenario).size === 0 ? "✓" : [...complaintsOf(pair, scenario).keys()].join(" "),
    );
    console.log(`The conformance suite as a client of ${revision}:\n\n${observed}\n`);
  }
}, 300_000);

describe.each(PAIRS)(
  "$id: a client of $client, $way, $upstream.sdk over $upstream.transport ($upstream.eras)",
  (pair) => {
    it("passes in every check that can pass", () => {
      const failed = (scenarios.get(pair.client) ?? []).flatMap((scenario) => {
        const impossible = impossibleIn(pair, scenario);
        return [...complaintsOf(pair, scenario)]
          .filter(([check]) => !impossible.has(check))
          .map(([check, why]) => [`${scenario}:${check}`, why]);
      });
      expect(Object.fromEntries(failed)).toEqual({});
    });

    it("fails in every check that is said to be impossible", () => {
      const failed = (scenarios.get(pair.client) ?? []).flatMap((scenario) =>
        [...complaintsOf(pair, scenario).keys()].map((check) => `${scenario}:${check}`),
      );
      const impossible = Object.values(pair.impossible).flat();
      expect(impossible.filter((check) => !failed.includes(check))).toEqual([]);
    });
  },
);
