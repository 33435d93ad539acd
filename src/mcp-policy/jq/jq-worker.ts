// Runs jq. Its own file, because it is the whole of a worker thread: nothing of the gateway is in reach of a program.
import { parentPort } from "node:worker_threads";
import { loadJq } from "jq-wasm";

export interface JqJob {
  readonly program: string;
  /** JSON. */
  readonly input: string;
  /** At most so many outputs are made; 0 only compiles. */
  readonly outputs: number;
}

/** What jq wrote (an array of the outputs), or its messages and exit code. */
export type JqOutcome = { readonly stdout: string } | { readonly exitCode: number; readonly stderr: string };

/**
 * On one line, so that a program's own lines are counted from 2. Programs see their input and nothing else: no environment
 * (jq-wasm's is made up, but not empty), no further input, no file names, no output beside their own.
 */
const PRELUDE =
  'def off: error("not available here"); def input: off; def inputs: off; def env: {}; def input_filename: null; ' +
  "def debug: .; def debug(m): .; def stderr: .; def halt: off; def halt_error: off; def halt_error(c): off; {} as $ENV | ";

/** In brackets, so that a program can be cut off after a second output, and one that has none still has a result. */
const toRun = (program: string, outputs: number): string => `${PRELUDE}[limit(${outputs}; (\n${program}\n))]`;
/** `1)) | ((2` is a program inside brackets, but none by itself: it must be one in a second place, too. */
const toCheck = (program: string): string => `${PRELUDE}def program: (\n${program}\n); empty`;

const jq = await loadJq();

parentPort?.on("message", ({ program, input, outputs }: JqJob) => {
  const checked = outputs === 0 ? jq.raw(input, toCheck(program)) : null;
  const { stdout, stderr, exitCode } = checked?.exitCode ? checked : jq.raw(input, toRun(program, outputs), ["-c"]);
  const outcome: JqOutcome = exitCode === 0 ? { stdout } : { exitCode, stderr };
  parentPort?.postMessage(outcome);
});
parentPort?.postMessage("ready");
