import type { Eras } from "../fixtures/fixture.ts";
import { REASONS, type Reason } from "./reasons.ts";
import type { Revision } from "./suite.ts";

/** How the suite, as a client of one revision, reaches a fixture server. */
export interface Pair {
  /** Heads its column. */
  readonly id: string;
  readonly client: Revision;
  readonly way: "direct" | "routed" | "unified";
  readonly upstream: { readonly sdk: "v1" | "v2"; readonly transport: "http" | "stdio"; readonly eras: Eras };
  /** Checks that cannot pass, as `scenario:check`, by reason. One that passes fails the test as stale. */
  readonly impossible: Readonly<Partial<Record<Reason, readonly string[]>>>;
}

const http = (sdk: "v1" | "v2", eras: Eras = "both") => ({ sdk, transport: "http", eras }) as const;
const stdio = (sdk: "v1" | "v2", eras: Eras = "both") => ({ sdk, transport: "stdio", eras }) as const;

const OLD = "2025-11-25";
const NEW = "2026-07-28";

/** What no server of the 2025 era lets a client of 2026 have. */
const ASKED_LATE: Pair["impossible"] = {
  keys: [
    "input-required-result-basic-elicitation:sep-2322-elicitation-incomplete",
    "input-required-result-basic-elicitation:sep-2322-elicitation-complete",
  ],
  unasked: ["input-required-result-ignore-extra-params:sep-2322-ignore-unexpected-params"],
};

const CHECKED_BY_SERVER: Pair["impossible"] = {
  ...ASKED_LATE,
  undeclared: [
    "server-stateless:sep-2575-server-rejects-undeclared-capability",
    "server-stateless:sep-2575-missing-capability-http-400",
  ],
};

/** Every pair that is measured. Those that go directly to the fixture say what the fixture itself can do. */
export const PAIRS: readonly Pair[] = [
  { id: "D1", client: OLD, way: "direct", upstream: http("v2"), impossible: {} },
  { id: "D2", client: OLD, way: "direct", upstream: http("v1"), impossible: {} },
  { id: "R1", client: OLD, way: "routed", upstream: http("v2"), impossible: {} },
  { id: "R2", client: OLD, way: "routed", upstream: http("v1"), impossible: {} },
  { id: "R3", client: OLD, way: "routed", upstream: stdio("v2"), impossible: {} },
  { id: "R4", client: OLD, way: "routed", upstream: stdio("v1"), impossible: {} },
  { id: "U1", client: OLD, way: "unified", upstream: http("v2"), impossible: {} },
  { id: "U2", client: OLD, way: "unified", upstream: stdio("v1"), impossible: {} },
  { id: "M1", client: OLD, way: "routed", upstream: http("v2", "2026"), impossible: {} },
  { id: "M2", client: OLD, way: "routed", upstream: stdio("v2", "2026"), impossible: {} },
  { id: "D3", client: NEW, way: "direct", upstream: http("v2"), impossible: {} },
  { id: "R5", client: NEW, way: "routed", upstream: http("v2"), impossible: {} },
  { id: "R6", client: NEW, way: "routed", upstream: stdio("v2"), impossible: {} },
  { id: "U3", client: NEW, way: "unified", upstream: http("v2"), impossible: {} },
  { id: "M3", client: NEW, way: "routed", upstream: http("v2", "2025"), impossible: CHECKED_BY_SERVER },
  { id: "M4", client: NEW, way: "routed", upstream: http("v1"), impossible: ASKED_LATE },
  { id: "M5", client: NEW, way: "routed", upstream: stdio("v2", "2025"), impossible: CHECKED_BY_SERVER },
  { id: "M6", client: NEW, way: "routed", upstream: stdio("v1"), impossible: ASKED_LATE },
];

/** The checks of a scenario that cannot pass with this pair, with the reason. */
export function impossibleIn({ impossible }: Pair, scenario: string): ReadonlyMap<string, Reason> {
  const found = new Map<string, Reason>();
  for (const reason of REASONS.keys())
    for (const entry of impossible[reason] ?? [])
      if (entry.startsWith(`${scenario}:`)) found.set(entry.slice(scenario.length + 1), reason);
  return found;
}

/** Checks of what a server may do, which the fixture does and the gateway does not. */
export const OPTIONAL: readonly string[] = [
  "server-sse-multiple-streams:server-sse-streams-functional",
  "server-sse-polling:server-sse-priming-event",
  "server-sse-polling:server-sse-retry-field",
  "server-sse-polling:server-sse-disconnect-resume",
];
