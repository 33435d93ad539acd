import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, start, type Running } from "../processes.ts";

const folder = fileURLToPath(new URL("peers", import.meta.url));

export const PEERS = ["mcp-proxy", "supergateway"] as const;
export type PeerName = (typeof PEERS)[number];

/** Installs the peers from their own lock file, once. They never become dependencies of the project. */
export function installPeers(say: (text: string) => void): void {
  if (PEERS.every((peer) => existsSync(join(folder, "node_modules", peer)))) return;
  say("installing the peers, mcp-proxy and supergateway, into bench/mcp/peers …");
  // npm describes the running script in these variables; the install below is another package.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_(package|lifecycle|config_local_prefix)/.test(name)),
  );
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  const { status, stderr } = spawnSync("npm", args, { cwd: folder, env, encoding: "utf8", timeout: 180_000 });
  if (status !== 0) throw new Error(`"npm ci" in bench/mcp/peers failed: ${stderr}`);
}

export function peerVersion(peer: PeerName): string {
  const manifest: { version: string } = JSON.parse(
    readFileSync(join(folder, "node_modules", peer, "package.json"), "utf8"),
  );
  return manifest.version;
}

/**
 * A peer that offers this stdio server over streamable HTTP on `/mcp`, with sessions, and as quiet as it can be.
 * `mcp-proxy` starts one process of the server for all its clients, `supergateway` one for each session.
 */
export async function startPeer(
  peer: PeerName,
  core: number | undefined,
  stdio: readonly string[],
): Promise<Running & { readonly url: string }> {
  const port = await freePort();
  const running = await start([process.execPath, ...commandOf(peer, port, stdio)], {
    core,
    port,
    env: { ...process.env, NODE_ENV: "production" },
  });
  return { ...running, url: `http://127.0.0.1:${port}/mcp` };
}

function commandOf(peer: PeerName, port: number, stdio: readonly string[]): string[] {
  const program = (...path: string[]): string => join(folder, "node_modules", peer, ...path);
  if (peer === "mcp-proxy") {
    // Without its store of events to resume from: it does not need one here, and is faster.
    const options = ["--host", "127.0.0.1", "--port", String(port), "--server", "stream", "--no-eventStore"];
    return [program("dist", "bin", "mcp-proxy.mjs"), ...options, "--", ...stdio];
  }
  // It takes one text, which a shell splits. None of our words needs more than quotes.
  const command = stdio.map((word) => `'${word}'`).join(" ");
  const options = ["--outputTransport", "streamableHttp", "--stateful", "--logLevel", "none", "--port", String(port)];
  return [program("dist", "index.js"), "--stdio", command, ...options];
}
