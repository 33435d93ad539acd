import Table from "cli-table3";
import type { Series } from "./measure.ts";
import { median, pairedDifference, pairedRatio } from "./stats.ts";
import type { StreamsResult } from "./streams.ts";

/** Everything one run found out. Null or absent: it was not measured, and the run said why. */
export interface Findings {
  readonly post: ReadonlyMap<string, Series>;
  readonly get: ReadonlyMap<string, Series>;
  readonly single: ReadonlyMap<string, Series>;
  readonly firstByteMs: ReadonlyMap<string, number>;
  readonly streams: StreamsResult | null;
  readonly peakRssMib: number | null;
  readonly soak: {
    readonly seconds: number;
    readonly early: number;
    readonly late: number;
    readonly flat: boolean;
    readonly peakMib: number;
  } | null;
}

export const TARGETS = {
  post_vs_bare: { least: 0.8 },
  post_vs_peer: { least: 15 },
  get_vs_nginx: { least: 0.25 },
  added_p99_ms: { most: 0.5 },
  rss_mib: { most: 150 },
  sse_streams_complete: { least: 500 },
} as const satisfies Record<string, { least: number } | { most: number }>;

type TargetName = keyof typeof TARGETS;

const SHOWN = ["direct", "nginx", "bare", "gateway", "peer"];

/** One workload as a table. `against` is the series that ratios in the last column refer to. */
export function workloadTable(series: ReadonlyMap<string, Series>, against: string): string {
  const table = newTable(["", "req/s", "p50 ms", "p99 ms", "busy", "others", "req/cpu-s", "RSS MiB", `vs ${against}`]);
  const reference = series.get(against);
  for (const name of SHOWN) {
    const row = series.get(name);
    if (row === undefined) {
      table.push([name, ...Array.from({ length: 8 }, () => "n/a")]);
      continue;
    }
    const ratio = reference ? pairedRatio(row.requestsPerSecond, reference.requestsPerSecond) : null;
    table.push([
      name,
      Math.round(median(row.requestsPerSecond)).toString(),
      median(row.p50Ms).toFixed(2),
      median(row.p99Ms).toFixed(2),
      share(row.busy),
      share(row.others),
      row.perCpuSecond.length === 0 ? "-" : Math.round(median(row.perCpuSecond)).toString(),
      row.rssMib === 0 ? "-" : row.rssMib.toFixed(0),
      ratio === null ? "n/a" : ratio.toFixed(2),
    ]);
  }
  return table.toString();
}

/** Latency at one connection and the first byte of an SSE stream. */
export function latencyTable(findings: Findings): string {
  const table = newTable(["", "p50 ms", "p99 ms", "added p50 ms", "added p99 ms", "SSE first byte ms"]);
  const direct = findings.single.get("direct");
  for (const name of SHOWN) {
    const row = findings.single.get(name);
    const added = (of: "p50Ms" | "p99Ms"): string =>
      row && direct && name !== "direct" ? pairedDifference(row[of], direct[of]).toFixed(3) : "-";
    const firstByte = findings.firstByteMs.get(name);
    table.push([
      name,
      row ? median(row.p50Ms).toFixed(3) : "n/a",
      row ? median(row.p99Ms).toFixed(3) : "n/a",
      added("p50Ms"),
      added("p99Ms"),
      firstByte === undefined ? "n/a" : firstByte.toFixed(2),
    ]);
  }
  return table.toString();
}

/** The last line of the output: figures, ratios, and for each target whether it was met (null: not measured). */
export function summary(findings: Findings, context: Record<string, unknown>): string {
  const ratio = (series: ReadonlyMap<string, Series>, other: string, of: "requestsPerSecond" | "perCpuSecond") =>
    withBoth(series.get("gateway"), series.get(other), (own, its) => pairedRatio(own[of], its[of]));
  const values: Record<TargetName, number | null> = {
    post_vs_bare: ratio(findings.post, "bare", "requestsPerSecond"),
    post_vs_peer: ratio(findings.post, "peer", "requestsPerSecond"),
    get_vs_nginx: ratio(findings.get, "nginx", "requestsPerSecond"),
    added_p99_ms: withBoth(findings.single.get("gateway"), findings.single.get("direct"), (own, direct) =>
      pairedDifference(own.p99Ms, direct.p99Ms),
    ),
    rss_mib: findings.peakRssMib,
    sse_streams_complete: findings.streams?.complete ?? null,
  };
  const met = Object.fromEntries(targetNames().map((name) => [name, isMet(name, values[name])]));
  // Only a run of the full five minutes can say that memory stays flat for five minutes.
  const flat = findings.soak && findings.soak.seconds >= 300 ? findings.soak.flat : null;
  const fewStreams = findings.streams !== null && findings.streams.asked < TARGETS.sse_streams_complete.least;
  return JSON.stringify({
    ...rounded(values),
    ...rounded({
      post_vs_bare_per_cpu: ratio(findings.post, "bare", "perCpuSecond"),
      get_vs_bare: ratio(findings.get, "bare", "requestsPerSecond"),
      post_vs_nginx: ratio(findings.post, "nginx", "requestsPerSecond"),
      sse_first_byte_ms: findings.firstByteMs.get("gateway") ?? null,
      sse_streams_held: findings.streams?.heldAtOnce ?? null,
    }),
    requests_per_second: { post: rates(findings.post), get: rates(findings.get) },
    soak: findings.soak && { ...findings.soak, ...rounded({ early: findings.soak.early, late: findings.soak.late }) },
    targets_met: { ...met, ...(fewStreams ? { sse_streams_complete: null } : {}), rss_flat_5_min: flat },
    ...context,
  });
}

function targetNames(): TargetName[] {
  return ["post_vs_bare", "post_vs_peer", "get_vs_nginx", "added_p99_ms", "rss_mib", "sse_streams_complete"];
}

function isMet(name: TargetName, value: number | null): boolean | null {
  if (value === null) return null;
  const target = TARGETS[name];
  return "least" in target ? value >= target.least : value <= target.most;
}

function withBoth<A, B>(a: A | undefined, b: A | undefined, combine: (a: A, b: A) => B): B | null {
  return a === undefined || b === undefined ? null : combine(a, b);
}

function rates(series: ReadonlyMap<string, Series>): Record<string, number> {
  return Object.fromEntries([...series].map(([name, row]) => [name, Math.round(median(row.requestsPerSecond))]));
}

function rounded(values: Record<string, number | null>): Record<string, number | null> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, value === null ? null : Number(value.toFixed(3))]),
  );
}

export function share(values: readonly number[]): string {
  return values.length === 0 ? "-" : `${Math.round(median(values) * 100)} %`;
}

export function newTable(head: string[]): Table.Table {
  const numeric = head.map((_, index): "left" | "right" => (index === 0 ? "left" : "right"));
  return new Table({ head, colAligns: numeric, style: { head: [], border: [], compact: true } });
}
