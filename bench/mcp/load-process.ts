// The load generator: a process of its own that keeps the sessions to one target and obeys commands, one JSON line each,
// answered by one JSON line each. Argument: the target as JSON.
import { createInterface } from "node:readline";
import { percentile } from "../stats.ts";
import type { Command, ColdStart, LoadResult, SessionsResult } from "./load.ts";
import { openSession, type McpTarget, type Session } from "./session.ts";

const target: McpTarget = JSON.parse(process.argv[2] ?? "");
const sessions: Session[] = [];
/** So many sessions are opened at a time. */
const AT_ONCE = 8;

for await (const line of createInterface({ input: process.stdin })) {
  const command: Command = JSON.parse(line);
  const answer = await obey(command).catch((error: unknown) => ({ error: String(error) }));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await endAll();

async function obey(command: Command): Promise<object> {
  switch (command.kind) {
    case "load":
      return load(command);
    case "sessions":
      return hold(command.count, command.streams);
    case "cold":
      return { times: await coldStarts(command.times) };
    case "end":
      await endAll();
      return {};
  }
}

async function endAll(): Promise<void> {
  await inParallel(sessions.splice(0), (session) => session.end());
}

async function openUpTo(count: number): Promise<void> {
  const missing = Array.from({ length: Math.max(0, count - sessions.length) });
  await inParallel(missing, async () => void sessions.push(await openSession(target)));
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  // All workers take from the same iterator.
  const queue = items.values();
  const worker = async (): Promise<void> => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** Each connection sends its next request when the last is answered. The first error ends it. */
async function load(command: Extract<Command, { kind: "load" }>): Promise<LoadResult> {
  await openUpTo(command.connections);
  const used = sessions.slice(0, command.connections);
  // Connections are made before the clock starts.
  await Promise.all(used.map((session) => session.call(command.method)));
  const latenciesMs: number[] = [];
  const startMs = performance.now();
  const endMs = command.seconds === null ? Infinity : startMs + command.seconds * 1000;
  let left = command.calls ?? Infinity;
  const drive = async (session: Session): Promise<void> => {
    for (let sentMs = performance.now(); sentMs < endMs && left-- > 0;) {
      await session.call(command.method);
      const nowMs = performance.now();
      latenciesMs.push(nowMs - sentMs);
      sentMs = nowMs;
    }
  };
  await Promise.all(used.map(drive));
  const durationMs = performance.now() - startMs;
  for (const session of used) session.rest();
  const [p50Ms, p99Ms] = [percentile(latenciesMs, 0.5), percentile(latenciesMs, 0.99)];
  return { requests: latenciesMs.length, durationMs, p50Ms, p99Ms };
}

async function hold(count: number, streams: number): Promise<SessionsResult> {
  let error: string | null = null;
  try {
    await openUpTo(count);
    await inParallel([...sessions], (session) => session.call("tools/call"));
  } catch (caught) {
    error = String(caught);
  }
  let open = 0;
  for (const session of sessions.slice(0, streams)) if ((await session.stream()) === 200) open++;
  return { open: sessions.length, streams: open, error };
}

/** Each with an agent id of its own, so that no process which is there already serves it. */
async function coldStarts(times: number): Promise<ColdStart[]> {
  const found: ColdStart[] = [];
  for (let turn = 0; turn < times; turn++) {
    const headers = { ...target.headers, "x-agent-id": `cold-${turn}` };
    const startMs = performance.now();
    const session = await openSession({ ...target, headers });
    const initializedMs = performance.now() - startMs;
    await session.call("tools/call");
    found.push({ initializedMs, calledMs: performance.now() - startMs });
    await session.end();
  }
  return found;
}
