import { cpus } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { LoadGenerator } from "../load.ts";
import { measureInterleaved, type Contestant, type Series } from "../measure.ts";
import { freePort, pinned, pinSelf, placement, start, type Placement, type Running } from "../processes.ts";
import { describeProfile, profileOptions } from "../profile.ts";
import { coldStarts, openSessions, watchMemory } from "./alone.ts";
import { startMcpGateway, type Upstreams } from "./gateway.ts";
import { startLoad, type McpLoad } from "./load.ts";
import type { Options } from "./options.ts";
import { installPeers, PEERS, peerVersion, startPeer, type PeerName } from "./peers.ts";
import { aloneTables, summary, targetTable, workloadTable, type Findings, type Row } from "./report.ts";
import type { McpTarget, Method } from "./session.ts";

export interface Stoppable {
  stop(): Promise<void>;
}

export type Keep = <S extends Stoppable>(running: S) => S;

/** Where everything is, for all parts of one run. */
export interface Ground {
  readonly options: Options;
  readonly folder: string;
  readonly keep: Keep;
  readonly where: Placement | null;
  readonly upstreams: Upstreams;
  /** Those that could be installed. */
  readonly peers: readonly PeerName[];
  readonly say: (text: string) => void;
  /** Contestant to reason, for what could not be measured. */
  readonly failures: Map<string, string>;
}

/** Measures, prints the tables, and resolves with the figures for the last line. Rejects when an answer was wrong. */
export async function runMcpBench(
  options: Options,
  folder: string,
  keep: Keep,
  note: () => void,
): Promise<Record<string, unknown>> {
  const ground = await prepare(options, folder, keep);
  const { say, failures } = ground;
  const field = await assemble(ground);
  note();
  await warmUp(field, ground);
  note();
  const measured = async (method: Method, connections: number): Promise<Map<string, Series>> => {
    const series = await measure(field.rows, method, connections, ground);
    const which = connections === 1 ? "one connection" : `${connections} connections`;
    say(`\n${method}, ${which}, ${options.rounds} rounds of ${options.seconds} s:`);
    say(workloadTable(field.rows, series, failures));
    return series;
  };
  const callOne = await measured("tools/call", 1);
  const callMany = await measured("tools/call", options.connections);
  const listOne = await measured("tools/list", 1);
  const listMany = await measured("tools/list", options.connections);
  note();
  await field.stop();

  const findings: Findings = {
    callOne,
    callMany,
    listOne,
    listMany,
    memory: options.calls === 0 ? null : await watchMemory(ground),
    cold: options.coldStarts === 0 ? new Map() : await coldStarts(ground, note),
    sessions: options.sessions === 0 ? new Map() : await openSessions(ground, note),
  };
  say(aloneTables(findings, failures));
  say("\nTargets:");
  say(targetTable(findings));
  const versions = Object.fromEntries(ground.peers.map((peer) => [peer, peerVersion(peer)]));
  const machine = { node: process.version, cpu: cpus()[0]?.model, cores: cpus().length };
  return { ...summary(findings), peers: versions, not_measured: Object.fromEntries(failures), ...machine, options };
}

/** Prints where the gateway's own CPU time goes under tools/call with the HTTP upstream, start included. */
export async function runMcpProfile(options: Options, folder: string, keep: Keep): Promise<void> {
  const { upstreams, where } = await prepare({ ...options, peers: false }, folder, keep);
  const profiles = join(folder, "profile");
  const gateway = keep(
    await startMcpGateway(folder, where?.proxy, upstreams, { nodeOptions: profileOptions(profiles) }),
  );
  const load = keep(startLoad(gateway.target("http", "2025-11-25"), where?.load));
  await load.load("tools/call", options.connections, { seconds: options.seconds * options.rounds });
  await load.stop();
  await gateway.stop();
  for (const line of describeProfile(profiles, 60)) process.stdout.write(`${line}\n`);
}

async function prepare(options: Options, folder: string, keep: Keep): Promise<Ground> {
  const say = options.json ? (): void => {} : (text: string): void => void process.stdout.write(`${text}\n`);
  const where = placement();
  if (where) pinSelf(where.load);
  say(
    where
      ? `Proxy alone on core ${where.proxy}; load generator on core ${where.load}, servers on core ${where.upstream}.`
      : "Nothing is pinned (taskset or a second core is missing): the figures disturb each other.",
  );
  const server = async (...args: string[]): Promise<string> => {
    const port = await freePort();
    const command = [process.execPath, own("http-upstream.mjs"), String(port), ...args];
    keep(await start(command, { core: where?.upstream, port }));
    return `http://127.0.0.1:${port}/mcp`;
  };
  const upstreams = {
    http: await server("legacy"),
    modern: await server("modern"),
    // Whoever starts it: it must not use the core of what is measured. The folder marks it in the process list.
    stdio: [...pinned(where?.upstream, [process.execPath, own("stdio-server.mjs"), folder])],
  };
  const failures = new Map<string, string>();
  const peers = options.peers ? available(say, failures) : [];
  return { options, folder, keep, where, upstreams, peers, say, failures };
}

/** A machine without the registry measures without the peers, and says so. */
function available(say: (text: string) => void, failures: Map<string, string>): readonly PeerName[] {
  try {
    installPeers(say);
    return PEERS;
  } catch (error) {
    for (const peer of PEERS) failures.set(peer, String(error));
    say(`The peers are n/a: ${String(error)}`);
    return [];
  }
}

function own(file: string): string {
  return fileURLToPath(new URL(file, import.meta.url));
}

type McpContestant = Row & Contestant<{ readonly load: McpLoad }>;

interface Field {
  readonly rows: readonly McpContestant[];
  stop(): Promise<void>;
}

async function assemble(ground: Ground): Promise<Field> {
  const { keep, where, upstreams, folder, failures } = ground;
  const running: Stoppable[] = [];
  const noted: Keep = (one) => {
    running.push(one);
    return keep(one);
  };
  const row = (name: string, upstream: string, process: Running | null, target: McpTarget): McpContestant => {
    const load = noted(startLoad(target, where?.load));
    return { name, upstream, pid: process?.pid ?? null, target: { load } };
  };
  const gateway = noted(await startMcpGateway(join(folder, "load"), where?.proxy, upstreams));
  const legacy = "2025-11-25";
  const bare = noted(await startBare(ground));
  const rows = [
    row("direct", "HTTP", null, { url: upstreams.http, headers: {}, era: legacy }),
    row("bare", "HTTP", bare, { url: `http://127.0.0.1:${bare.port}/mcp`, headers: {}, era: legacy }),
    row("gateway", "HTTP", gateway, gateway.target("http", legacy)),
    row("direct 2026", "HTTP 2026", null, { url: upstreams.modern, headers: {}, era: "2026-07-28" }),
    row("gateway 2026", "HTTP 2026", gateway, gateway.target("modern", "2026-07-28")),
    row("gateway stdio", "stdio", gateway, gateway.target("stdio", legacy)),
  ];
  for (const peer of ground.peers) {
    try {
      const started = noted(await startPeer(peer, where?.proxy, upstreams.stdio));
      rows.push(row(peer, "stdio", started, { url: started.url, headers: {}, era: legacy }));
    } catch (error) {
      failures.set(peer, String(error));
    }
  }
  const stop = async (): Promise<void> => {
    for (const one of running.reverse()) await one.stop();
  };
  return { rows, stop };
}

/** What Node allows on one core: a reverse proxy that knows nothing of MCP. */
async function startBare({ where, upstreams }: Ground): Promise<Running> {
  const port = await freePort();
  const command = [process.execPath, own("../bare.ts"), new URL(upstreams.http).origin, String(port)];
  return start(command, { core: where?.proxy, port });
}

/** A wrong answer of the gateway ends the run; a peer that fails is n/a from there on. */
async function warmUp({ rows }: Field, ground: Ground): Promise<void> {
  const { connections, warmup } = ground.options;
  for (const { name, target } of rows) {
    try {
      await target.load.load("tools/list", connections, { calls: connections });
      if (warmup > 0) await target.load.load("tools/call", connections, { seconds: warmup });
    } catch (error) {
      if (!goOnWithout(ground)(name, error)) throw error;
    }
  }
}

function goOnWithout({ failures, say }: Ground): (name: string, error: unknown) => boolean {
  return (name, error) => {
    if (!PEERS.some((peer) => peer === name)) return false;
    failures.set(name, String(error));
    say(`${name} is n/a: ${String(error)}`);
    return true;
  };
}

function measure(
  rows: readonly McpContestant[],
  method: Method,
  connections: number,
  ground: Ground,
): Promise<Map<string, Series>> {
  const { rounds, seconds } = ground.options;
  const generator: LoadGenerator<{ readonly load: McpLoad }> = {
    name: "bundled",
    async run({ load }, many, length) {
      const { requests, durationMs, p50Ms, p99Ms } = await load.load(method, many, { seconds: length });
      return { requestsPerSecond: requests / (durationMs / 1000), p50Ms, p99Ms };
    },
  };
  const able = rows.filter(({ name }) => !ground.failures.has(name));
  const proxyCore = ground.where?.proxy ?? null;
  return measureInterleaved(able, generator, {
    rounds,
    seconds,
    connections,
    proxyCore,
    goOnWithout: goOnWithout(ground),
  });
}
