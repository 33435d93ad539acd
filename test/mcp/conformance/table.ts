import { impossibleIn, OPTIONAL, type Pair, PAIRS } from "./pairs.ts";
import { REASONS, type Reason } from "./reasons.ts";
import { type Revision, scenariosOf } from "./suite.ts";

const SDKS = { v1: "SDK v1", v2: "SDK v2" } as const;
const TRANSPORTS = { http: "HTTP", stdio: "stdio" } as const;
const WAYS = {
  direct: "without the gateway",
  routed: "through `/mcp/{server}`",
  unified: "through `/mcp`, with names put back",
} as const;

/** What a cell says. */
export type Cell = (pair: Pair, scenario: string) => string;

/** What is expected: passed, or the number of the reason why it cannot pass. */
export const expectedCell: Cell = (pair, scenario) => {
  const reasons = [...new Set(impossibleIn(pair, scenario).values())];
  if (reasons.length === 0) return "✓";
  return reasons.map(numberOf).join(", ");
};

const numberOf = (reason: Reason) => [...usedReasons()].indexOf(reason) + 1;

/** In the order in which the document explains them. */
function usedReasons(): Reason[] {
  return [...REASONS.keys()].filter((reason) => PAIRS.some(({ impossible }) => impossible[reason] !== undefined));
}

function speaks({ upstream: { sdk, eras } }: Pair): string {
  if (sdk === "v1" || eras === "2025") return "2025-11-25";
  return eras === "2026" ? "2026-07-28" : "both revisions";
}

/** One row for each scenario of the revision, one column for each pair whose client speaks it. */
export async function renderRows(revision: Revision, cell: Cell): Promise<string> {
  const { scored, unscored } = await scenariosOf(revision);
  const pairs = PAIRS.filter(({ client }) => client === revision);
  const row = (first: string, cells: readonly string[]) => `| ${first} | ${cells.join(" | ")} |`;
  return [
    row(
      "scenario",
      pairs.map(({ id }) => id),
    ),
    row(
      "---",
      pairs.map(() => ":-:"),
    ),
    ...scored.map((scenario) =>
      row(
        `\`${scenario}\``,
        pairs.map((pair) => cell(pair, scenario)),
      ),
    ),
    ...unscored.map((scenario) =>
      row(
        `\`${scenario}\` (not scored)`,
        pairs.map((pair) => cell(pair, scenario)),
      ),
    ),
  ].join("\n");
}

function renderPairs(): string {
  const row = ({ id, client, way, upstream, ...rest }: Pair) =>
    `| ${id} | ${client} | ${SDKS[upstream.sdk]}, ${TRANSPORTS[upstream.transport]}, ${speaks({ id, client, way, upstream, ...rest })} | ${WAYS[way]} |`;
  return ["| column | client | server | way |", "| --- | --- | --- | --- |", ...PAIRS.map(row)].join("\n");
}

/** docs/mcp-conformance.md. The conformance test holds it to be true, in both directions. */
export async function describeConformance(): Promise<string> {
  const reasons = usedReasons().map((reason, index) => `${index + 1}. ${REASONS.get(reason)}`);
  return `# MCP conformance

<!-- Generated from test/mcp/conformance/ by \`npm run docs\`. Do not edit. -->

The official conformance suite (\`@modelcontextprotocol/conformance\`, the version in \`package.json\`) runs against fixture
servers of our own, first directly and then through the gateway: every scenario of the requirement sets 2025-11-25 and
2026-07-28, but for the extension for tasks, which neither the fixtures nor the gateway offer. \`npm test\` runs all of it and
fails when a cell of these tables is wrong: when what must pass does not, and when what is said to be impossible passes.

A tick means that the scenario passes without a complaint, also about what a server should but need not do. A number means
that some of its checks cannot pass, for [the reason below](#what-cannot-be-bridged), and all others do. Through the gateway,
every check is made that is made directly, but for ${OPTIONAL.length} about event streams of the 2025 era: a call whose server
has nothing to say before its result is answered as JSON, also where the server closed its own stream meanwhile, so that there
is no stream for the client to take up again.

## Pairs

${renderPairs()}

## Clients of 2025-11-25

${await renderRows("2025-11-25", expectedCell)}

## Clients of 2026-07-28

${await renderRows("2026-07-28", expectedCell)}

## What cannot be bridged

${reasons.length === 0 ? "Nothing: every scenario passes with every pair." : reasons.join("\n")}
`;
}
