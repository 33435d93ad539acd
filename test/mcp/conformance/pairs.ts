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
  /** Scenarios that cannot pass, by reason. Each must fail: one that passes is a stale entry, and fails the test. */
  readonly impossible: Readonly<Partial<Record<Reason, readonly string[]>>>;
}

const http = (sdk: "v1" | "v2", eras: Eras = "both") => ({ sdk, transport: "http", eras }) as const;

const OLD = "2025-11-25";
const NEW = "2026-07-28";

/** Every pair that is measured. Those that go directly to the fixture say what the fixture itself can do. */
export const PAIRS: readonly Pair[] = [
  { id: "D1", client: OLD, way: "direct", upstream: http("v2"), impossible: {} },
  { id: "D2", client: OLD, way: "direct", upstream: http("v1"), impossible: {} },
  { id: "D3", client: NEW, way: "direct", upstream: http("v2"), impossible: {} },
];

/** The reason why a scenario cannot pass with this pair; null where it must. */
export function reasonAgainst({ impossible }: Pair, scenario: string): Reason | null {
  for (const reason of REASONS.keys()) if (impossible[reason]?.includes(scenario)) return reason;
  return null;
}
