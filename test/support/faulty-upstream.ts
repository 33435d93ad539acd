import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, vi } from "vitest";
import type { McpTransport } from "../../src/config/model.ts";
import { loopback, nodeProcess } from "../mcp/fixtures/declare.ts";

const SERVER = new URL("../mcp/faults/faulty-server.mjs", import.meta.url).pathname;

/** What faulty-server.mjs reads when it starts. */
export interface FaultyState {
  readonly tools?: readonly string[];
  readonly start?: "normal" | "exit" | "hang";
  readonly lists?: "garbage";
}

/** A real MCP server that fails on command. */
export interface FaultyUpstream {
  readonly transport: McpTransport;
  /** What the server is when it starts the next time. */
  next(state: FaultyState): void;
  /** HTTP only: stdio servers are started by the gateway. */
  start(): Promise<void>;
  kill(): Promise<void>;
  /** Lets `wait` answer. */
  release(): void;
  /** What it was told, one line each: `wait` when that tool began, `cancelled` for each notification of it. */
  heard(): string[];
  /** Processes of the server that are alive. */
  alive(): number[];
  /** Ends it, and expects that no process is left. */
  close(): Promise<void>;
}

export async function startFaulty(kind: "stdio" | "http", state: FaultyState = {}): Promise<FaultyUpstream> {
  const folder = mkdtempSync(join(tmpdir(), "bifrost-faulty-"));
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text);
  const next = (to: FaultyState) => write("state.json", JSON.stringify({ tools: ["echo"], start: "normal", ...to }));
  next(state);
  write("pids", "");
  write("heard", "");
  let process_: ChildProcess | null = null;
  let port = 0;

  async function start(): Promise<void> {
    process_ = spawn(process.execPath, [SERVER, folder, String(port)], { stdio: ["ignore", "pipe", "inherit"] });
    if (!process_.stdout) throw new Error("the server has no output");
    const [line] = await once(process_.stdout, "data");
    port = Number(String(line));
  }
  async function kill(): Promise<void> {
    if (!process_ || process_.exitCode !== null || process_.signalCode !== null) return;
    const exit = once(process_, "exit");
    process_.kill("SIGKILL");
    await exit;
  }
  if (kind === "http") await start();
  const lines = (name: string) => readFileSync(join(folder, name), "utf8").split("\n").filter(Boolean);
  const alive = () => aliveWith(folder);
  return {
    transport: kind === "stdio" ? nodeProcess(SERVER, folder) : loopback(`http://127.0.0.1:${port}/mcp`),
    next,
    start,
    kill,
    release: () => write("released", ""),
    heard: () => lines("heard"),
    alive,
    async close() {
      await kill();
      await noneAlive(folder);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Waits until no process has this text among its arguments. */
export const noneAlive = (marker: string): Promise<void> =>
  vi.waitFor(() => expect(aliveWith(marker)).toEqual([]), { timeout: 10_000, interval: 20 });

/**
 * Ids of the processes that have this text among their arguments. A process that ended, and that nobody collected, has no
 * arguments any more.
 */
export function aliveWith(marker: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) =>
      read(`/proc/${pid}/cmdline`)
        .split("\0")
        .some((part) => part.includes(marker)),
    )
    .map(Number);
}

function read(path: string): string {
  try {
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  } catch {
    return "";
  }
}
