import { Worker } from "node:worker_threads";
import { elements, type JsonText } from "../../jsonrpc/json-slice.ts";
import type { JqJob, JqOutcome } from "./jq-worker.ts";

/** A program gave no result. The message is ours and quotes nothing of the data. */
export class JqFailed extends Error {
  override readonly name = "JqFailed";
}

/** Runs jq programs in a thread of their own, one at a time, started when the first comes. */
export interface JqRunner {
  /** Compiles only. Null, or jq's own words on what is wrong with the program. */
  check(program: string): Promise<string | null>;
  /**
   * The one value that the program makes of the input; numbers it does not calculate with stay as they were written.
   *
   * @throws JqFailed when it fails, gives none or several, takes too long or too much memory, or too many wait
   */
  run(program: string, input: JsonText): Promise<JsonText>;
  /** Ends the thread; what runs or waits fails. */
  close(): Promise<void>;
}

export interface JqLimits {
  /** For one program, from its start on; waiting for others is not counted. */
  readonly timeoutMs: number;
  readonly maxWaiting: number;
  /** After so long without work the thread ends; the next program pays some 50 ms for a new one. */
  readonly idleMs: number;
}

/** The reference allows 5 s. jq-wasm's own heap ends at 256 MiB, to which the thread's adds the texts. */
export const JQ_LIMITS: JqLimits = { timeoutMs: 5_000, maxWaiting: 64, idleMs: 60_000 };

const RESOURCE_LIMITS = { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 32, stackSizeMb: 4 };
/** Loading takes some 50 ms; a machine under load may take seconds. */
const START_TIMEOUT_MS = 30_000;
/** WebAssembly memory never shrinks: after texts this long in all a fresh thread costs less than what the old one keeps. */
const RECYCLE_CHARACTERS = 8 * 1024 * 1024;

interface Waiting {
  readonly job: JqJob;
  resolve(outcome: JqOutcome): void;
  reject(error: JqFailed): void;
}

export function createJqRunner(limits: JqLimits = JQ_LIMITS): JqRunner {
  const waiting: Waiting[] = [];
  let current: Waiting | null = null;
  let worker: Worker | null = null;
  let isReady = false;
  let isClosed = false;
  let characters = 0;
  let timer: NodeJS.Timeout | undefined;

  function after(ms: number, act: () => void): void {
    clearTimeout(timer);
    timer = setTimeout(act, ms);
    timer.unref();
  }

  /** Forgets the thread first, so that nothing it still says is taken for an answer. */
  async function stop(): Promise<void> {
    const stopped = worker;
    worker = null;
    isReady = false;
    characters = 0;
    clearTimeout(timer);
    await stopped?.terminate();
  }

  function fail(why: string): void {
    const failed = current;
    current = null;
    void stop();
    failed?.reject(new JqFailed(why));
    next();
  }

  function start(): void {
    const suffix = import.meta.url.endsWith(".ts") ? "ts" : "js";
    const started = new Worker(new URL(`./jq-worker.${suffix}`, import.meta.url), {
      env: {},
      execArgv: [],
      resourceLimits: RESOURCE_LIMITS,
      // jq-wasm writes "Aborted()" when its memory is used up; that is told by the error instead.
      stdout: true,
      stderr: true,
    });
    worker = started;
    started.unref();
    started.stdout.resume();
    started.stderr.resume();
    started.on("message", (message: JqOutcome | "ready") => {
      if (worker !== started) return;
      if (message === "ready") {
        isReady = true;
        send();
      } else settle(message);
    });
    started.on("error", () => {
      if (worker === started) fail("the program took too much memory, or jq broke down");
    });
    started.on("exit", () => {
      if (worker === started) fail("jq ended unexpectedly");
    });
    after(START_TIMEOUT_MS, () => fail("jq did not start in time"));
  }

  function send(): void {
    if (current === null || !isReady) return;
    worker?.postMessage(current.job);
    after(limits.timeoutMs, () => fail(`the program took longer than ${limits.timeoutMs} ms`));
  }

  function settle(outcome: JqOutcome): void {
    const done = current;
    current = null;
    characters += (done?.job.input.length ?? 0) + ("stdout" in outcome ? outcome.stdout.length : 0);
    if (characters > RECYCLE_CHARACTERS) void stop();
    else after(limits.idleMs, () => void stop());
    done?.resolve(outcome);
    next();
  }

  function next(): void {
    if (current !== null || isClosed) return;
    current = waiting.shift() ?? null;
    if (current === null) return;
    if (worker === null) start();
    else send();
  }

  function enqueue(job: JqJob): Promise<JqOutcome> {
    return new Promise((resolve, reject) => {
      if (isClosed) return reject(new JqFailed("the gateway is ending"));
      if (waiting.length >= limits.maxWaiting) return reject(new JqFailed("too many results wait to be filtered"));
      waiting.push({ job, resolve, reject });
      next();
    });
  }

  return {
    async check(program) {
      const outcome = await enqueue({ program, input: "null", outputs: 0 });
      return "stdout" in outcome ? null : explain(outcome.stderr);
    },
    async run(program, input) {
      const outcome = await enqueue({ program, input, outputs: 2 });
      // jq's message would quote the data.
      if (!("stdout" in outcome))
        throw new JqFailed(`the program failed on this result (jq exit code ${outcome.exitCode})`);
      const [first, second] = elements(outcome.stdout);
      if (first === undefined) throw new JqFailed("the program gave no value; it must give exactly one");
      if (second !== undefined) throw new JqFailed("the program gave several values; it must give exactly one");
      return outcome.stdout.slice(first.start, first.end);
    },
    async close() {
      isClosed = true;
      const left = [...waiting.splice(0), ...(current === null ? [] : [current])];
      current = null;
      for (const one of left) one.reject(new JqFailed("the gateway is ending"));
      await stop();
    },
  };
}

/** The first message, with the lines counted as the operator wrote them. */
function explain(stderr: string): string {
  const [message = ""] = stderr.split("\n");
  return message
    .replace(/^jq: error: /, "")
    .replace(/ at <top-level>, line (\d+)/, (_, line: string) => ` at line ${Number(line) - 1}`)
    .replace(/:$/, "");
}
