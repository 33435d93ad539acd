import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const BIN = join(import.meta.dirname, "..", "..", "bin", "bifrost.mjs");

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** stdout as JSON. */
  // oxlint-disable-next-line typescript/no-explicit-any -- a test reads the fields that it expects
  readonly json: any;
}

/** A folder of its own with a config home: nothing of the machine's user is read or written. */
export function createSandbox() {
  const dir = mkdtempSync(join(tmpdir(), "bifrost-cli-"));
  const env = {
    PATH: process.env["PATH"] ?? "",
    HOME: dir,
    XDG_CONFIG_HOME: join(dir, "config"),
    BIFROST_DATA_DIR: join(dir, "data"),
    BIFROST_PORT: "0",
    BIFROST_LOG_LEVEL: "info",
  };
  const children: ChildProcess[] = [];

  return {
    dir,
    env,

    /** Runs the command to its end. */
    async run(
      args: readonly string[],
      options: { input?: string; env?: Record<string, string> } = {},
    ): Promise<Outcome> {
      const child = spawn(process.execPath, [BIN, ...args], { env: { ...env, ...options.env }, cwd: dir });
      children.push(child);
      let stdout = "";
      let stderr = "";
      child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
      child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
      child.stdin.end(options.input ?? "");
      const [code] = (await once(child, "close")) as [number | null];
      return {
        code,
        stdout,
        stderr,
        get json(): unknown {
          if (stdout === "") throw new Error(`no result; exit code ${code}: ${stderr}`);
          return JSON.parse(stdout);
        },
      };
    },

    /** Starts a gateway and waits until it listens. */
    async serve(args: readonly string[] = [], more: Record<string, string> = {}) {
      const child = spawn(process.execPath, [BIN, "serve", "--json", ...args], { env: { ...env, ...more }, cwd: dir });
      children.push(child);
      let stderr = "";
      child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
      const exited = once(child, "close").then(([code]) => code as number | null);
      const [line] = (await Promise.race([
        once(createInterface(child.stdout), "line"),
        exited.then((code) => {
          throw new Error(`serve ended with ${code}: ${stderr}`);
        }),
      ])) as [string];
      const started = JSON.parse(line) as {
        url: string;
        setup_token: string | null;
        generated_key_file: string | null;
      };
      return {
        ...started,
        child,
        exited,
        logs: () => stderr,
        async stop(signal: NodeJS.Signals = "SIGTERM") {
          child.kill(signal);
          return exited;
        },
      };
    },

    async remove() {
      for (const child of children) {
        if (child.exitCode === null && child.signalCode === null) {
          child.kill("SIGKILL");
          await once(child, "close");
        }
      }
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
