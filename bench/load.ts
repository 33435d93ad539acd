import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { pinned } from "./processes.ts";

/** One way to reach an upstream: what is sent, and what must come back. */
export interface Target {
  readonly url: string;
  readonly method: "GET" | "POST";
  readonly body: string | null;
  /** Used in turn, request by request: a gateway may hold several keys, everyone else has one set. */
  readonly headerSets: readonly Readonly<Record<string, string>>[];
  readonly expectedBody: string;
}

export interface Load {
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface LoadGenerator<T = Target> {
  readonly name: string;
  run(target: T, connections: number, seconds: number): Promise<Load>;
}

/** Output of both generators. Times in microseconds. */
interface RawResult {
  readonly requests: number;
  readonly durationUs: number;
  readonly bytes: number;
  readonly failures: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

/** Asks once and compares status and body. Throws, with what came instead. */
export async function checkTarget(name: string, target: Target): Promise<void> {
  for (const headers of target.headerSets) {
    const response = await fetch(target.url, { method: target.method, headers, body: target.body });
    const body = await response.text();
    if (response.status === 200 && body === target.expectedBody) continue;
    throw new Error(`${name} answered ${response.status}, not what the upstream sent: ${body.slice(0, 500)}`);
  }
}

/** wrk with one thread. */
export function wrkGenerator(wrk: string, folder: string, core: number | undefined): LoadGenerator {
  return {
    name: "wrk",
    async run(target, connections, seconds) {
      const script = join(folder, "load.lua");
      writeFileSync(script, luaScript(target));
      const args = ["-t1", `-c${connections}`, `-d${seconds}s`, "--timeout", "10s", "-s", script, target.url];
      return toLoad(target, await output(pinned(core, [wrk, ...args])));
    },
  };
}

/** The bundled generator: slower than wrk, so its own core is full earlier. */
export function bundledGenerator(folder: string, core: number | undefined): LoadGenerator {
  const program = fileURLToPath(new URL("bundled-load.ts", import.meta.url));
  return {
    name: "bundled (undici)",
    async run(target, connections, seconds) {
      const order = join(folder, "load.json");
      writeFileSync(order, JSON.stringify({ target, connections, seconds }));
      return toLoad(target, await output(pinned(core, [process.execPath, program, order])));
    },
  };
}

/** A response that is not a 2xx, a broken connection or a body that is too short makes a measurement worthless. */
function toLoad(target: Target, text: string): Load {
  const line = text.split("\n").find((candidate) => candidate.startsWith("{"));
  if (line === undefined) throw new Error(`the load generator printed no result: ${text}`);
  const result: RawResult = JSON.parse(line);
  if (result.failures > 0)
    throw new Error(`${text}\n${target.url}: ${result.failures} of ${result.requests} requests failed`);
  if (result.requests === 0) throw new Error(`${target.url}: no request was answered`);
  if (result.bytes < result.requests * target.expectedBody.length) {
    throw new Error(`${target.url}: bodies are shorter than what the upstream sends`);
  }
  return {
    requestsPerSecond: result.requests / (result.durationUs / 1e6),
    p50Ms: result.p50Us / 1000,
    p99Ms: result.p99Us / 1000,
  };
}

function output(command: readonly [string, ...string[]]): Promise<string> {
  const [program, ...args] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    let text = "";
    let complaints = "";
    child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (complaints += chunk.toString()));
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve(text + complaints);
      else reject(new Error(`${command.join(" ")} ended with ${code}: ${complaints}${text}`));
    });
  });
}

function luaScript(target: Target): string {
  const url = new URL(target.url);
  const sets = target.headerSets.map((headers) => {
    const entries = Object.entries(headers).map(([name, value]) => `[ ${lua(name)} ]=${lua(value)}`);
    return `wrk.format(${lua(target.method)}, path, {${entries.join(",")}}, ${target.body === null ? "nil" : lua(target.body)})`;
  });
  // wrk's error count "status" starts at 400; a redirect shows as a body of the wrong length.
  return `local requests, turn = {}, 0
function init(args)
  local path = ${lua(url.pathname)}
  requests = {${sets.join(",\n")}}
end
function request()
  turn = turn % #requests + 1
  return requests[turn]
end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format('{"requests":%d,"durationUs":%d,"bytes":%d,"failures":%d,"p50Us":%d,"p99Us":%d}\\n',
    summary.requests, summary.duration, summary.bytes, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
`;
}

/** Long brackets take any text; none of ours contains "]==]". */
function lua(text: string): string {
  return `[==[${text}]==]`;
}
