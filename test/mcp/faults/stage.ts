import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import type { DeclaredMcpServer } from "../../../src/config/model.ts";
import { createHttpUpstreams } from "../../../src/mcp-links/http/upstreams.ts";
import { createReaper } from "../../../src/mcp-links/stdio/reaper.ts";
import type { Reply } from "../../../src/jsonrpc/message.ts";
import { createMcpServers } from "../../../src/mcp-servers/registry.ts";
import type { Schedule } from "../../../src/mcp-servers/schedule.ts";
import type { McpServer } from "../../../src/mcp-servers/types.ts";
import { createOpenLink } from "../../../src/mcp/open-link.ts";
import { conversation, declaredHttp, declaredStdio } from "../../support/fake-mcp-upstream.ts";
import { TOOL_CALL } from "../../support/mcp-registry.ts";

const SERVER = new URL("faulty-server.mjs", import.meta.url).pathname;

/** What faulty-server.mjs reads when it starts. */
interface FaultyState {
  readonly tools?: readonly string[];
  readonly start?: "normal" | "exit" | "hang";
  readonly lists?: "garbage";
}

/** A registry in front of one real server that fails on command. Back-off and timeouts pass ten times faster. */
export interface FaultStage {
  readonly server: McpServer;
  readonly changes: string[];
  /** What the server is when it starts the next time. */
  next(state: FaultyState): void;
  call(key: string, tool: string, signal?: AbortSignal): Promise<Reply>;
  /** Names in the catalog that a new client sees. */
  tools(): Promise<string[]>;
  /** Starts and kills the server that HTTP reaches; stdio servers are started by the registry. */
  startHttp(): Promise<void>;
  killHttp(): Promise<void>;
  /** Processes of the server that are alive. */
  alive(): number[];
  /** Closes everything, and expects that no process is left. */
  close(): Promise<void>;
}

const SPEED = 10;

const fastSchedule: Schedule = {
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs / SPEED).unref();
    return () => clearTimeout(timer);
  },
};

/** @param startupTimeoutMs in the stage's time */
export async function stageFaults(
  kind: "stdio" | "http",
  state: FaultyState = {},
  startupTimeoutMs = 200_000,
): Promise<FaultStage> {
  const folder = mkdtempSync(join(tmpdir(), "bifrost-faults-"));
  const startedAtMs = performance.now();
  const reaper = createReaper(() => {});
  const upstreams = createHttpUpstreams();
  let process_: ChildProcess | null = null;
  let port = 0;

  const next = (to: FaultyState) =>
    writeFileSync(join(folder, "state.json"), JSON.stringify({ tools: ["echo"], start: "normal", ...to }));
  next(state);
  writeFileSync(join(folder, "pids"), "");

  async function startHttp(): Promise<void> {
    process_ = spawn(process.execPath, [SERVER, folder, String(port)], { stdio: ["ignore", "pipe", "inherit"] });
    if (!process_.stdout) throw new Error("the server has no output");
    const [line] = await once(process_.stdout, "data");
    port = Number(String(line));
  }

  async function killHttp(): Promise<void> {
    if (!process_ || process_.exitCode !== null || process_.signalCode !== null) return;
    const exit = once(process_, "exit");
    process_.kill("SIGKILL");
    await exit;
  }

  if (kind === "http") await startHttp();
  const declared = kind === "stdio" ? stdioServer(folder, startupTimeoutMs) : httpServer(port, startupTimeoutMs);
  const servers = createMcpServers([declared], {
    open: createOpenLink({
      version: "0",
      log: { debug: () => {}, info: () => {} },
      upstreams,
      reaper,
      inheritedEnvironment: { PATH: process.env["PATH"] ?? "" },
      bearerFor: () => Promise.reject(new Error("no server here has a credential")),
      onServerLine: () => {},
    }),
    clock: { now: () => (performance.now() - startedAtMs) * SPEED },
    schedule: fastSchedule,
    random: () => 0,
    log: { debug: () => {}, info: () => {}, warn: () => {} },
    metrics: { opened: () => {}, died: () => {} },
    keepaliveMs: 2_000,
    sharedIdleMs: 600_000,
    gatewayInfo: '{"name":"bifrost","version":"0"}',
  });
  const server = servers.find(declared.name);
  if (!server) throw new Error("the registry does not know its own server");
  const changes: string[] = [];
  server.onChange((what) => changes.push(what));
  servers.start();

  const alive = () => readPids(folder).filter(isAlive);
  return {
    server,
    changes,
    next,
    async call(key, tool, signal) {
      const link = await server.lease(conversation(key));
      return link.request({ ...TOOL_CALL, params: JSON.stringify({ name: tool, arguments: {} }), signal });
    },
    tools: async () => (await server.catalog(conversation("reader"))).tools.map(({ name }) => name),
    startHttp,
    killHttp,
    alive,
    async close() {
      await servers.close(100_000);
      await killHttp();
      await upstreams.close();
      reaper.close();
      await expect.poll(alive, { timeout: 5_000 }).toEqual([]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function stdioServer(folder: string, startupTimeoutMs: number): DeclaredMcpServer {
  const declared = declaredStdio("faulty", 4, { startupTimeoutMs });
  if (declared.transport.kind !== "stdio") throw new Error("unreachable");
  return { ...declared, transport: { ...declared.transport, command: process.execPath, args: [SERVER, folder] } };
}

function httpServer(port: number, startupTimeoutMs: number): DeclaredMcpServer {
  const declared = declaredHttp("faulty", { startupTimeoutMs });
  if (declared.transport.kind !== "http") throw new Error("unreachable");
  const url = `http://127.0.0.1:${port}/mcp`;
  return { ...declared, transport: { ...declared.transport, url, allowAddresses: ["127.0.0.0/8"] } };
}

function readPids(folder: string): number[] {
  return readFileSync(join(folder, "pids"), "utf8").split("\n").filter(Boolean).map(Number);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  // An orphan that ended stays in the table until process 1 collects it, which not every container's does.
  const stat = `/proc/${pid}/stat`;
  return !existsSync(stat) || !/\) Z /.test(readFileSync(stat, "utf8"));
}
