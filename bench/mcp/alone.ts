import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { residentMib, type Running } from "../processes.ts";
import { median, memoryTrend } from "../stats.ts";
import type { Ground } from "./bench.ts";
import { childrenMib } from "./descendants.ts";
import { startMcpGateway, type McpGateway } from "./gateway.ts";
import { startLoad } from "./load.ts";
import { startPeer, type PeerName } from "./peers.ts";
import type { ColdFinding, MemoryFinding, SessionsFinding } from "./report.ts";
import type { McpTarget } from "./session.ts";

const MEMORY_SAMPLES = 25;
/** `supergateway` starts a process of the server for each session: a thousand of them fill most machines. */
const SESSIONS_WITH_PROCESSES = 50;

/**
 * Memory of the gateway over many calls: sampled after equal shares of them, in MiB. Each share has sessions of its own,
 * which end with it: what a session leaves behind shows as well.
 */
export async function watchMemory(ground: Ground): Promise<MemoryFinding> {
  const { calls, connections } = ground.options;
  const share = Math.max(1, Math.ceil(calls / MEMORY_SAMPLES));
  const gateway = await freshGateway(ground, "memory", true);
  const load = ground.keep(startLoad(gateway.target("http", "2025-11-25"), ground.where?.load));
  const rss: number[] = [];
  const heap: number[] = [];
  for (let sample = 0; sample < MEMORY_SAMPLES; sample++) {
    await load.load("tools/call", connections, { calls: share });
    await load.endSessions();
    rss.push(residentMib(gateway.pid).now);
    heap.push(await gateway.heapMib());
  }
  await load.stop();
  await gateway.stop();
  return { calls: share * MEMORY_SAMPLES, rss: memoryTrend(rss), heap: memoryTrend(heap) };
}

/** How long a client waits that comes to a stdio server which is not running yet. */
export async function coldStarts(ground: Ground, note: () => void): Promise<Map<string, ColdFinding>> {
  const found = new Map<string, ColdFinding>();
  const times = ground.options.coldStarts;
  const bare: number[] = [];
  for (let turn = 0; turn < times; turn++) bare.push(await startBare(ground.upstreams.stdio));
  found.set("direct", { initializedMs: median(bare), calledMs: null });
  const measure = async (name: string, running: Running, target: McpTarget): Promise<void> => {
    const load = ground.keep(startLoad(target, ground.where?.load));
    // The first one finds code that was never run, and the gateway's own process of the server, which it takes over.
    const [, ...starts] = await load.cold(times + 1);
    note();
    found.set(name, {
      initializedMs: median(starts.map(({ initializedMs }) => initializedMs)),
      calledMs: median(starts.map(({ calledMs }) => calledMs)),
    });
    await load.stop();
    await running.stop();
  };
  const gateway = await freshGateway(ground, "cold");
  await measure("gateway", gateway, gateway.target("stdio", "2025-11-25"));
  // The other one starts its only process of the server together with itself.
  if (isAble(ground, "supergateway")) {
    await unlessItFails(ground, "supergateway", async () => {
      const peer = ground.keep(await startPeer("supergateway", ground.where?.proxy, ground.upstreams.stdio));
      await measure("supergateway", peer, { url: peer.url, headers: {}, era: "2025-11-25" });
    });
  }
  return found;
}

/** Starts the server without anything in between: what no gateway can do faster. */
async function startBare([program = "", ...args]: readonly string[]): Promise<number> {
  const startMs = performance.now();
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  child.stdin.write(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}\n`);
  await once(child.stdout, "data");
  const took = performance.now() - startMs;
  child.stdin.end();
  await once(child, "exit");
  return took;
}

/** Memory with many sessions open, each of which made one call; of a process that did nothing before. */
export async function openSessions(ground: Ground, note: () => void): Promise<Map<string, SessionsFinding>> {
  const found = new Map<string, SessionsFinding>();
  const { sessions, streams, settle } = ground.options;
  const measure = async (name: string, running: Running, target: McpTarget, wanted: number): Promise<void> => {
    const before = residentMib(running.pid).now;
    const load = ground.keep(startLoad(target, ground.where?.load));
    const { open, streams: streaming, error } = await load.sessions(wanted, Math.min(streams, wanted));
    await sleep(settle * 1000);
    note();
    const { now, peak } = residentMib(running.pid);
    const children = childrenMib(running.pid);
    found.set(name, { wanted, open, streams: streaming, error, before, rss: now, peak, children });
    await load.stop();
    await running.stop();
  };
  const gateway = await freshGateway(ground, "sessions");
  await measure("gateway", gateway, gateway.target("http", "2025-11-25"), sessions);
  for (const peer of ground.peers) {
    if (!isAble(ground, peer)) continue;
    await unlessItFails(ground, peer, async () => {
      const running = ground.keep(await startPeer(peer, ground.where?.proxy, ground.upstreams.stdio));
      const wanted = peer === "supergateway" ? Math.min(sessions, SESSIONS_WITH_PROCESSES) : sessions;
      await measure(peer, running, { url: running.url, headers: {}, era: "2025-11-25" }, wanted);
    });
  }
  return found;
}

async function freshGateway(ground: Ground, name: string, metrics = false): Promise<McpGateway> {
  const { folder, where, upstreams, keep } = ground;
  return keep(await startMcpGateway(join(folder, name), where?.proxy, upstreams, { metrics }));
}

function isAble(ground: Ground, peer: PeerName): boolean {
  return ground.peers.includes(peer) && !ground.failures.has(peer);
}

async function unlessItFails(ground: Ground, peer: PeerName, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    ground.failures.set(peer, String(error));
    ground.say(`${peer} is n/a: ${String(error)}`);
  }
}
