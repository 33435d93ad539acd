import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

export interface GuardedProcess {
  /** What it has written so far, both streams, for the message of a failed start. */
  output(): string;
  exited(): boolean;
  /** Ends it with its signal and waits until it is gone. */
  stop(): Promise<void>;
}

/**
 * Waits for the end of standard input, which comes when the parent asks for it or dies in any way, `kill -9`
 * included; then ends the command and removes its folder. So no server that a test starts outlives the tests.
 * Arguments: signal, folder, command.
 */
const GUARD = `signal="$1"; folder="$2"; shift 2
"$@" </dev/null &
child=$!
(cat >/dev/null; kill -"$signal" "$child" 2>/dev/null) <&3 &
wait "$child"; code=$?
kill $! 2>/dev/null
rm -rf "$folder"
exit $code`;

interface GuardOptions {
  readonly signal: "INT" | "TERM" | "KILL";
  readonly user?: { readonly uid: number; readonly gid: number } | undefined;
  /** Working directory of the command, which may write there; removed at the end. */
  readonly folder: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** Starts a server that ends with this process, at the latest. */
export function startGuarded(command: readonly string[], options: GuardOptions): GuardedProcess {
  const child: ChildProcess = spawn("/bin/sh", ["-c", GUARD, "guard", options.signal, options.folder, ...command], {
    // Its own process group: Ctrl-C reaches the tests, and they (or their end) stop the server in order.
    detached: true,
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    ...options.user,
    cwd: options.folder,
    ...(options.env === undefined ? {} : { env: options.env }),
  });
  let output = "";
  const keep = (chunk: Buffer) => (output = (output + chunk.toString()).slice(-20_000));
  child.stdout?.on("data", keep);
  child.stderr?.on("data", keep);
  child.on("error", (error) => (output += error.message));
  const gone = once(child, "close").catch(() => undefined);
  const lifeline = child.stdio[3];
  return {
    output: () => output,
    exited: () => child.exitCode !== null || child.signalCode !== null || child.pid === undefined,
    async stop() {
      if (lifeline && "end" in lifeline) lifeline.destroy();
      await gone;
    },
  };
}
