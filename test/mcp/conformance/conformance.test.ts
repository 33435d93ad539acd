import { beforeAll, describe, expect, it } from "vitest";
import { OPTIONAL, type Pair, PAIRS } from "./pairs.ts";
import { runPair } from "./run-pair.ts";
import { type Report, type Revision, scenariosOf } from "./suite.ts";
import { renderRows } from "./table.ts";

/** Of the pairs; the suite waits most of the time, so this is more than a small machine has cores. */
const AT_A_TIME = 3;

const reports = new Map<Pair, Report>();
const scenarios = new Map<Revision, readonly string[]>();

/** Checks of all scenarios as `scenario:check`, those that complained with what the suite says. */
function readChecks(pair: Pair) {
  const complaints = new Map<string, string>();
  const passed = new Set<string>();
  for (const scenario of scenarios.get(pair.client) ?? []) {
    const outcome = reports.get(pair)?.get(scenario);
    if (outcome === undefined) complaints.set(`${scenario}:not run`, "");
    for (const [check, why] of outcome?.complaints ?? []) complaints.set(`${scenario}:${check}`, why);
    for (const check of outcome?.passed ?? []) passed.add(`${scenario}:${check}`);
  }
  return { complaints, passed };
}

const impossibleWith = (pair: Pair) => new Set(Object.values(pair.impossible).flat());

/** What the fixture on SDK v2, without the gateway, does as this client asks. */
function passedDirectly({ client }: Pair): ReadonlySet<string> {
  const direct = PAIRS.find((pair) => pair.way === "direct" && pair.upstream.sdk === "v2" && pair.client === client);
  return direct ? readChecks(direct).passed : new Set();
}

/** Where the pair is not as it should be. */
function deviations(pair: Pair) {
  const { complaints, passed } = readChecks(pair);
  const impossible = impossibleWith(pair);
  const isExcused = (check: string) => impossible.has(check) || (pair.way !== "direct" && OPTIONAL.includes(check));
  return {
    failed: Object.fromEntries([...complaints].filter(([check]) => !impossible.has(check))),
    notMade: [...passedDirectly(pair)].filter(
      (check) => !passed.has(check) && !complaints.has(check) && !isExcused(check),
    ),
    stale: [...impossible].filter((check) => passed.has(check) || !passedDirectly(pair).has(check)),
  };
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
  // The suite gives some answers half a second, which a busy machine may not keep: those have the machine to themselves.
  for (const pair of PAIRS) if (Object.keys(deviations(pair).failed).length > 0) reports.set(pair, await runPair(pair));
  for (const revision of scenarios.keys()) {
    const observed = await renderRows(revision, (pair, scenario) => {
      const complaints = reports.get(pair)?.get(scenario)?.complaints;
      return complaints?.size === 0 ? "✓" : [...(complaints?.keys() ?? ["not run"])].join(" ");
    });
    console.log(`The conformance suite as a client of ${revision}:\n\n${observed}\n`);
  }
}, 400_000);

describe.each(PAIRS)(
  "$id: a client of $client, $way, $upstream.sdk over $upstream.transport ($upstream.eras)",
  (pair) => {
    it("passes in every check that can pass", () => expect(deviations(pair).failed).toEqual({}));

    it("lets every check be made that is made without the gateway", () => expect(deviations(pair).notMade).toEqual([]));

    it("passes in no check that is said to be impossible", () => expect(deviations(pair).stale).toEqual([]));
  },
);

it("has no optional check that every pair passes", () => {
  const passed = PAIRS.filter(({ way }) => way !== "direct").flatMap((pair) => [...readChecks(pair).passed]);
  expect(OPTIONAL.filter((check) => passed.includes(check))).toEqual([]);
});
