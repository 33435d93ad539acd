import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { accessSync, constants, readdirSync, readFileSync } from "node:fs";
import { createServer, connect } from "node:net";
import { availableParallelism } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { withoutSettings } from "../scripts/without-settings.ts";

/** Path of a program, or null. Debian keeps nginx in /usr/sbin, which is not on every PATH. */
export function findProgram(name: string): string | null {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/local/sbin", "/usr/sbin", "/sbin"];
  return folders.map((folder) => join(folder, name)).find(isExecutable) ?? null;
}

export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Which cores the parts run on. Null: taskset or a second core is missing, so nothing is pinned. */
export interface Placement {
  readonly proxy: number;
  readonly load: number;
  readonly upstream: number;
}

/** The proxy gets core 0 for itself; load generator and upstream share core 1 unless there is a third one. */
export function placement(): Placement | null {
  const cores = availableParallelism();
  if (cores < 2 || findProgram("taskset") === null) return null;
  return { proxy: 0, load: 1, upstream: Math.min(2, cores - 1) };
}

export function pinned(core: number | undefined, command: readonly string[]): [string, ...string[]] {
  const [program = "", ...rest] = command;
  return core === undefined ? [program, ...rest] : ["taskset", "-c", String(core), program, ...rest];
}

/** A program that was started and answers on its port. */
export interface Running {
  readonly port: number;
  /** The process whose CPU time and memory count: taskset replaces itself, nginx works in a child. */
  readonly pid: number;
  stop(): Promise<void>;
}

interface StartOptions {
  readonly core: number | undefined;
  readonly port: number;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** The process that does the work is the first child of the one that was started. */
  readonly worksInChild?: boolean;
}

/** Starts a program and waits until it accepts connections; rejects with its output when it does not within 20 s. */
export async function start(command: readonly string[], options: StartOptions): Promise<Running> {
  const [program, ...args] = pinned(options.core, command);
  const child = spawn(program, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: options.env ?? withoutSettings(process.env),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  let output = "";
  const collect = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-4000);
  };
  child.stdout.on("data", collect);
  child.stderr.on("data", collect);
  child.on("error", (error) => collect(Buffer.from(String(error))));
  const stop = (): Promise<void> => stopChild(child);
  for (let tries = 0; !(await accepts(options.port)); tries++) {
    if (child.exitCode !== null || child.pid === undefined || tries > 200) {
      await stop();
      throw new Error(`${command.join(" ")} did not start:\n${output}`);
    }
    await sleep(100);
  }
  const pid = child.pid ?? 0;
  return { port: options.port, pid: options.worksInChild ? firstChildOf(pid) : pid, stop };
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), 3000);
  await gone;
  clearTimeout(timer);
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** A port that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

function firstChildOf(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
  return Number(children[0] ?? pid);
}

/** CPU seconds that all threads of a process used so far (proc(5): utime and stime, in hundredths of a second). */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The command name in parentheses may contain spaces: fields are counted from behind it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Seconds for which a core was busy so far, whoever used it. */
export function coreBusySeconds(core: number): number {
  const line = readFileSync("/proc/stat", "utf8").match(new RegExp(`^cpu${core} (.*)$`, "m"))?.[1] ?? "";
  const [user = 0, nice = 0, system = 0, , , irq = 0, softIrq = 0, steal = 0] = line.split(" ").map(Number);
  return (user + nice + system + irq + softIrq + steal) / 100;
}

/** Resident memory in MiB: now, and the highest so far. */
export function residentMib(pid: number): { now: number; peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const field = (name: string): number => Number(status.match(new RegExp(`^${name}:\\s+(\\d+)`, "m"))?.[1]) / 1024;
  return { now: field("VmRSS"), peak: field("VmHWM") };
}

/** Moves this process, which also runs the SSE clients, off the proxies' core. */
export function pinSelf(core: number): void {
  for (const thread of readdirSync("/proc/self/task")) {
    spawnSync("taskset", ["-p", "-c", String(core), thread], { stdio: "ignore" });
  }
}
