import type { LoadGenerator, Target } from "./load.ts";
import { coreBusySeconds, cpuSeconds, residentMib } from "./processes.ts";

/** One contestant and one workload: the target to load and the process that is watched. */
export interface Contestant<T = Target> {
  readonly name: string;
  readonly target: T;
  /** Null for `direct`: there is no proxy. */
  readonly pid: number | null;
}

/** Everything that was measured of one contestant in one workload; one entry per round. */
export interface Series {
  readonly name: string;
  readonly requestsPerSecond: number[];
  readonly p50Ms: number[];
  readonly p99Ms: number[];
  /** Share of its core that the proxy used, 0 to 1. */
  readonly busy: number[];
  /** Share of that core that anything else used: above a few percent, the round was disturbed. */
  readonly others: number[];
  /** Requests per second of the proxy's own CPU time: what a full core would do without disturbance. */
  readonly perCpuSecond: number[];
  rssMib: number;
}

export interface Rounds {
  readonly rounds: number;
  readonly seconds: number;
  readonly connections: number;
  readonly proxyCore: number | null;
  /** Whether the run goes on without a contestant that failed; its series is then left out. Absent: it does not. */
  readonly goOnWithout?: (name: string, error: unknown) => boolean;
}

/**
 * Measures all contestants once per round, in an order that turns with the rounds, so that each comparison
 * is between measurements that are seconds apart.
 */
export async function measureInterleaved<T>(
  contestants: readonly Contestant<T>[],
  generator: LoadGenerator<T>,
  plan: Rounds,
): Promise<Map<string, Series>> {
  const series = new Map(contestants.map(({ name }) => [name, emptySeries(name)]));
  for (let round = 0; round < plan.rounds; round++) {
    const turn = round % contestants.length;
    for (const contestant of [...contestants.slice(turn), ...contestants.slice(0, turn)]) {
      const into = series.get(contestant.name);
      if (into === undefined) continue;
      try {
        await measureOnce(contestant, generator, plan, into);
      } catch (error) {
        if (!plan.goOnWithout?.(contestant.name, error)) throw error;
        series.delete(contestant.name);
      }
    }
  }
  return series;
}

function emptySeries(name: string): Series {
  return { name, requestsPerSecond: [], p50Ms: [], p99Ms: [], busy: [], others: [], perCpuSecond: [], rssMib: 0 };
}

async function measureOnce<T>(
  { target, pid }: Contestant<T>,
  generator: LoadGenerator<T>,
  plan: Rounds,
  into: Series,
): Promise<void> {
  const startMs = performance.now();
  const cpuBefore = pid === null ? 0 : cpuSeconds(pid);
  const coreBefore = plan.proxyCore === null ? 0 : coreBusySeconds(plan.proxyCore);
  const load = await generator.run(target, plan.connections, plan.seconds);
  const elapsed = (performance.now() - startMs) / 1000;
  into.requestsPerSecond.push(load.requestsPerSecond);
  into.p50Ms.push(load.p50Ms);
  into.p99Ms.push(load.p99Ms);
  if (pid === null) return;
  const used = cpuSeconds(pid) - cpuBefore;
  into.busy.push(used / elapsed);
  into.perCpuSecond.push((load.requestsPerSecond * plan.seconds) / Math.max(used, 0.01));
  if (plan.proxyCore !== null) {
    into.others.push(Math.max(0, coreBusySeconds(plan.proxyCore) - coreBefore - used) / elapsed);
  }
  into.rssMib = Math.max(into.rssMib, residentMib(pid).now);
}

/** Loads one contestant for a while and samples its memory every half second, in MiB. */
export async function soak(
  contestant: Contestant & { readonly pid: number },
  generator: LoadGenerator,
  connections: number,
  seconds: number,
): Promise<{ samplesMib: number[]; requestsPerSecond: number }> {
  const samplesMib: number[] = [];
  const timer = setInterval(() => samplesMib.push(residentMib(contestant.pid).now), 500);
  try {
    const { requestsPerSecond } = await generator.run(contestant.target, connections, seconds);
    return { samplesMib, requestsPerSecond };
  } finally {
    clearInterval(timer);
  }
}
