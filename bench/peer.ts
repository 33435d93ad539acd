import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, isExecutable, start, type Running } from "./processes.ts";
import type { Load, Target } from "./load.ts";
import { median } from "./stats.ts";
import { COMPLETION, PATH, REQUEST_BODY } from "./wire.ts";

const folder = fileURLToPath(new URL("peer", import.meta.url));
const program = join(folder, "node_modules", "@portkey-ai", "gateway", "build", "start-server.js");

export const PEER = "@portkey-ai/gateway";

/** Installs the peer from its own lock file, once. It never becomes a dependency of the project. */
export function installPeer(say: (text: string) => void): void {
  if (existsSync(program)) return;
  say(`installing the peer, ${PEER}, into bench/peer …`);
  // npm describes the running script in these variables; the install below is another package.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_(package|lifecycle|config_local_prefix)/.test(name)),
  );
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  const { status, stderr } = spawnSync("npm", args, { cwd: folder, env, encoding: "utf8" });
  if (status !== 0) throw new Error(`"npm ci" in bench/peer failed: ${stderr}`);
}

export function peerVersion(): string {
  const manifest: { version: string } = JSON.parse(readFileSync(join(program, "..", "..", "package.json"), "utf8"));
  return manifest.version;
}

export interface PeerNode {
  readonly path: string;
  readonly version: string;
}

/** This Node and, if it is another version, the one that the machine itself has. */
export function nodesForPeer(): PeerNode[] {
  const own = { path: process.execPath, version: process.version };
  const others = (process.env["PATH"] ?? "")
    .split(delimiter)
    .map((path) => join(path, "node"))
    .filter(isExecutable)
    .map((path) => ({ path: realpathSync(path), version: nodeVersion(path) }))
    .filter((node) => node.version !== own.version);
  return [own, ...others.slice(0, 1)];
}

export function nodeVersion(path: string): string {
  return spawnSync(path, ["--version"], { encoding: "utf8" }).stdout.trim();
}

export async function startPeer(node: PeerNode, core: number | undefined): Promise<Running> {
  const port = await freePort();
  const env = { ...process.env, NODE_ENV: "production" };
  return start([node.path, program, `--port=${port}`, "--headless"], { core, port, env });
}

/** Its own interface: the provider and the upstream's address come in headers; loopback is allowed by default. */
export function peerTarget(port: number, upstreamPort: number): Target {
  const headers = {
    "content-type": "application/json",
    authorization: "Bearer bench-upstream-credential",
    "x-portkey-provider": "openai",
    "x-portkey-custom-host": `http://127.0.0.1:${upstreamPort}/v1`,
  };
  return {
    url: `http://127.0.0.1:${port}${PATH}`,
    method: "POST",
    body: REQUEST_BODY,
    headerSets: [headers],
    expectedBody: COMPLETION,
  };
}

/** Measures the peer on each Node, interleaved, and keeps the fastest running. */
export async function startPeerOnBestNode(
  nodes: readonly PeerNode[],
  core: number | undefined,
  upstreamPort: number,
  keep: (running: Running) => Running,
  measure: (target: Target, seconds: number) => Promise<Load>,
): Promise<{ running: Running; choice: string }> {
  const candidates: { node: PeerNode; running: Running; rates: number[] }[] = [];
  for (const node of nodes) candidates.push({ node, running: keep(await startPeer(node, core)), rates: [] });
  for (let round = 0; candidates.length > 1 && round < 4; round++) {
    for (const { running, rates } of candidates) {
      const { requestsPerSecond } = await measure(peerTarget(running.port, upstreamPort), round === 0 ? 2 : 1);
      if (round > 0) rates.push(requestsPerSecond);
    }
  }
  candidates.sort((a, b) => median(b.rates) - median(a.rates));
  const [best, ...rest] = candidates;
  if (best === undefined) throw new Error("no Node to run the peer on");
  for (const { running } of rest) await running.stop();
  const figures = candidates.map(({ node, rates }) => `${node.version} ${Math.round(median(rates))}/s`).join(", ");
  const choice = rest.length === 0 ? `Node ${best.node.version}` : `Node ${best.node.version} (measured: ${figures})`;
  return { running: best.running, choice };
}
