import { newTable, share } from "../report.ts";
import type { Series } from "../measure.ts";
import { median, pairedDifference, pairedRatio, type memoryTrend } from "../stats.ts";
import { PEERS } from "./peers.ts";

/** A line of the tables, and what stands behind it. */
export interface Row {
  readonly name: string;
  readonly upstream: string;
}

type Trend = ReturnType<typeof memoryTrend>;

export interface MemoryFinding {
  readonly calls: number;
  readonly rss: Trend;
  readonly heap: Trend;
}

/** Medians. Null: not measured. */
export interface ColdFinding {
  readonly initializedMs: number;
  readonly calledMs: number | null;
}

export interface SessionsFinding {
  readonly wanted: number;
  readonly open: number;
  readonly streams: number;
  /** Why there are not more. */
  readonly error: string | null;
  /** MiB: before the first session, with all of them after settling, and the highest in between. */
  readonly before: number;
  readonly rss: number;
  readonly peak: number;
  readonly children: { readonly count: number; readonly mib: number };
}

export interface Findings {
  readonly callOne: ReadonlyMap<string, Series>;
  readonly callMany: ReadonlyMap<string, Series>;
  readonly listOne: ReadonlyMap<string, Series>;
  readonly listMany: ReadonlyMap<string, Series>;
  readonly memory: MemoryFinding | null;
  readonly cold: ReadonlyMap<string, ColdFinding>;
  readonly sessions: ReadonlyMap<string, SessionsFinding>;
}

interface TargetLine {
  readonly key: string;
  readonly what: string;
  /** Null: not measured. */
  readonly value: number | null;
  readonly bound: { readonly least: number } | { readonly most: number };
  readonly unit: string;
}

const SESSIONS_ASKED = 1000;
const CALLS_ASKED = 100_000;

export function workloadTable(
  rows: readonly Row[],
  series: ReadonlyMap<string, Series>,
  failures: ReadonlyMap<string, string>,
): string {
  const table = newTable(["", "server", "req/s", "p50 ms", "p99 ms", "busy", "others", "req/cpu-s", "RSS MiB"]);
  for (const { name, upstream } of rows) {
    const one = series.get(name);
    if (one === undefined) {
      table.push([name, upstream, `n/a: ${(failures.get(name) ?? "it failed").slice(0, 60)}`]);
      continue;
    }
    table.push([
      name,
      upstream,
      Math.round(median(one.requestsPerSecond)).toString(),
      median(one.p50Ms).toFixed(3),
      median(one.p99Ms).toFixed(3),
      share(one.busy),
      share(one.others),
      one.perCpuSecond.length === 0 ? "-" : Math.round(median(one.perCpuSecond)).toString(),
      one.rssMib === 0 ? "-" : one.rssMib.toFixed(0),
    ]);
  }
  return table.toString();
}

/** Cold starts, open sessions and memory over many calls. */
export function aloneTables({ cold, sessions, memory }: Findings, failures: ReadonlyMap<string, string>): string {
  const parts: string[] = [];
  if (cold.size > 0) {
    const table = newTable(["", "to the initialize ms", "to the first call ms"]);
    for (const [name, { initializedMs, calledMs }] of cold)
      table.push([name, initializedMs.toFixed(1), calledMs?.toFixed(1) ?? "-"]);
    if (!cold.has("supergateway")) table.push(["supergateway", `n/a${because(failures, "supergateway")}`, ""]);
    table.push(["mcp-proxy", "n/a: its server starts with it", ""]);
    parts.push("\nCold start of a stdio server:", table.toString());
  }
  if (sessions.size > 0) {
    const table = newTable(["", "sessions", "streams", "RSS before", "RSS MiB", "peak MiB", "processes", "their MiB"]);
    for (const [name, one] of sessions) {
      const row = [one.open, one.streams, one.before, one.rss, one.peak, one.children.count, one.children.mib];
      table.push([name, ...row.map((value) => value.toFixed(0))]);
    }
    parts.push("\nOpen sessions, one call made in each:", table.toString());
    for (const [name, { wanted, open, error }] of sessions)
      if (open < wanted) parts.push(`${name} held ${open} of ${wanted}: ${error ?? "no reason given"}`);
  }
  if (memory !== null) {
    const said = ({ early, late }: Trend): string =>
      `${early.toFixed(0)} → ${late.toFixed(0)} MiB (${(late / early).toFixed(3)})`;
    parts.push(
      `\nGateway over ${memory.calls} calls, after the first fifth and at the end: RSS ${said(memory.rss)}, heap ${said(memory.heap)}.`,
    );
  }
  return parts.join("\n");
}

function because(failures: ReadonlyMap<string, string>, name: string): string {
  const reason = failures.get(name);
  return reason === undefined ? "" : `: ${reason.slice(0, 60)}`;
}

function ratioToBestPeer(
  own: string,
  series: ReadonlyMap<string, Series>,
  of: "requestsPerSecond" | "perCpuSecond",
): number | null {
  const mine = series.get(own);
  const ratios = PEERS.flatMap((peer) => {
    const its = series.get(peer);
    return mine && its ? [pairedRatio(mine[of], its[of])] : [];
  });
  // The best peer is the one that leaves the smallest ratio.
  return ratios.length === 0 ? null : Math.min(...ratios);
}

/** Of the gateway before the HTTP server. */
function ratioTo(
  other: string,
  series: ReadonlyMap<string, Series>,
  of: "requestsPerSecond" | "perCpuSecond",
): number | null {
  const [mine, its] = [series.get("gateway"), series.get(other)];
  return mine && its ? pairedRatio(mine[of], its[of]) : null;
}

function addedMs(
  own: string,
  other: string,
  of: "p50Ms" | "p99Ms",
  series: ReadonlyMap<string, Series>,
): number | null {
  const [mine, its] = [series.get(own), series.get(other)];
  return mine && its ? pairedDifference(mine[of], its[of]) : null;
}

function targets(findings: Findings): TargetLine[] {
  const { callOne, callMany, memory } = findings;
  const held = findings.sessions.get("gateway");
  return [
    {
      key: "added_p99_ms",
      what: "tools/call over HTTP, one connection: p99 of the gateway minus direct",
      value: addedMs("gateway", "direct", "p99Ms", callOne),
      bound: { most: 1 },
      unit: " ms",
    },
    {
      key: "call_vs_best_peer",
      what: "tools/call rate over HTTP, to the best peer's",
      value: ratioToBestPeer("gateway", callMany, "requestsPerSecond"),
      bound: { least: 5 },
      unit: "",
    },
    {
      key: "rss_mib_with_sessions",
      what: `RSS with ${held?.open ?? 0} open sessions`,
      value: held !== undefined && held.open >= SESSIONS_ASKED ? held.rss : null,
      bound: { most: 300 },
      unit: " MiB",
    },
    {
      key: "growth",
      what: `RSS at the end of ${memory?.calls ?? 0} calls, to that after the first fifth`,
      value: memory !== null && memory.calls >= CALLS_ASKED ? memory.rss.late / memory.rss.early : null,
      bound: { most: 1.05 },
      unit: "",
    },
  ];
}

function isMet({ value, bound }: TargetLine): boolean | null {
  if (value === null) return null;
  return "least" in bound ? value >= bound.least : value <= bound.most;
}

export function targetTable(findings: Findings): string {
  const table = newTable(["", "measured", "target", "verdict"]);
  for (const line of targets(findings)) {
    const met = isMet(line);
    const bound = "least" in line.bound ? `at least ${line.bound.least}` : `at most ${line.bound.most}`;
    const value = line.value === null ? "not measured" : `${line.value.toFixed(2)}${line.unit}`;
    table.push([line.what, value, bound + line.unit, met === null ? "-" : met ? "met" : "MISSED"]);
  }
  return table.toString();
}

/** For the last line of the output: figures, and for each target whether it was met (null: not measured). */
export function summary(findings: Findings): Record<string, unknown> {
  const { callOne, callMany, listOne, listMany } = findings;
  const lines = targets(findings);
  const figures = {
    ...Object.fromEntries(lines.map(({ key, value }) => [key, value])),
    added_p50_ms: addedMs("gateway", "direct", "p50Ms", callOne),
    added_p99_ms_2026: addedMs("gateway 2026", "direct 2026", "p99Ms", callOne),
    call_vs_bare: ratioTo("bare", callMany, "requestsPerSecond"),
    call_vs_bare_per_cpu: ratioTo("bare", callMany, "perCpuSecond"),
    bare_vs_best_peer_per_cpu: ratioToBestPeer("bare", callMany, "perCpuSecond"),
    call_vs_best_peer_per_cpu: ratioToBestPeer("gateway", callMany, "perCpuSecond"),
    stdio_call_vs_best_peer: ratioToBestPeer("gateway stdio", callMany, "requestsPerSecond"),
    stdio_call_vs_best_peer_per_cpu: ratioToBestPeer("gateway stdio", callMany, "perCpuSecond"),
    list_vs_best_peer: ratioToBestPeer("gateway", listMany, "requestsPerSecond"),
  };
  return {
    ...rounded(figures),
    requests_per_second: {
      callOne: rates(callOne),
      callMany: rates(callMany),
      listOne: rates(listOne),
      listMany: rates(listMany),
    },
    cold_start_ms: Object.fromEntries(
      [...findings.cold].map(([name, { initializedMs }]) => [name, Math.round(initializedMs)]),
    ),
    heap_growth: findings.memory && Number((findings.memory.heap.late / findings.memory.heap.early).toFixed(3)),
    targets_met: Object.fromEntries(lines.map((line) => [line.key, isMet(line)])),
  };
}

function rates(series: ReadonlyMap<string, Series>): Record<string, number> {
  return Object.fromEntries([...series].map(([name, one]) => [name, Math.round(median(one.requestsPerSecond))]));
}

function rounded(values: Record<string, number | null>): Record<string, number | null> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, value === null ? null : Number(value.toFixed(3))]),
  );
}
