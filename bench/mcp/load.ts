import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { pinned } from "../processes.ts";
import type { McpTarget, Method } from "./session.ts";

/** What the load generator is told to do. Either `seconds` or `calls` bounds a load; the other is null. */
export type Command =
  | {
      readonly kind: "load";
      readonly method: Method;
      readonly connections: number;
      readonly seconds: number | null;
      readonly calls: number | null;
    }
  | { readonly kind: "sessions"; readonly count: number; readonly streams: number }
  | { readonly kind: "cold"; readonly times: number }
  | { readonly kind: "end" };

export interface LoadResult {
  readonly requests: number;
  readonly durationMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface SessionsResult {
  readonly open: number;
  /** GET streams of sessions that were answered 200. */
  readonly streams: number;
  /** Why there are not more. */
  readonly error: string | null;
}

/** From the first byte of the initialize to its answer, and to the answer of the first tools/call. */
export interface ColdStart {
  readonly initializedMs: number;
  readonly calledMs: number;
}

/** A load generator for one target, in a process of its own; its sessions stay open from one command to the next. */
export interface McpLoad {
  load(method: Method, connections: number, until: { seconds: number } | { calls: number }): Promise<LoadResult>;
  sessions(count: number, streams: number): Promise<SessionsResult>;
  cold(times: number): Promise<readonly ColdStart[]>;
  endSessions(): Promise<void>;
  stop(): Promise<void>;
}

const program = fileURLToPath(new URL("load-process.ts", import.meta.url));
/** Beyond every measurement: a target that no longer answers must not hold up the run. */
const PATIENCE_MS = 120_000;

/** Every method rejects with the first wrong answer, when the process ends, and when nothing came for two minutes. */
export function startLoad(target: McpTarget, core: number | undefined): McpLoad {
  const [file, ...args] = pinned(core, [process.execPath, program, JSON.stringify(target)]);
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] });
  const gone = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  child.stdin.on("error", () => undefined);

  async function tell<T extends object>(command: Command): Promise<T> {
    child.stdin.write(`${JSON.stringify(command)}\n`);
    const timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
    const { value, done } = await lines.next();
    clearTimeout(timer);
    if (done) throw new Error(`the load generator ended, or ${target.url} did not answer for ${PATIENCE_MS / 1000} s`);
    const answer: T & { error?: string | null } = JSON.parse(String(value));
    if (command.kind !== "sessions" && answer.error) throw new Error(`${target.url}: ${answer.error}`);
    return answer;
  }
  return {
    load: (method, connections, until) =>
      tell({ kind: "load", method, connections, seconds: null, calls: null, ...until }),
    sessions: (count, streams) => tell({ kind: "sessions", count, streams }),
    cold: async (times) => (await tell<{ times: ColdStart[] }>({ kind: "cold", times })).times,
    endSessions: async () => void (await tell({ kind: "end" })),
    async stop() {
      child.stdin.end();
      const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
      await gone;
      clearTimeout(timer);
    },
  };
}
