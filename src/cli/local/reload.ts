import { existsSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { ConfigError } from "../../config/model.ts";
import type { ConfigFlags, Context } from "../context.ts";
import { CliFailure, EXIT } from "../failure.ts";
import { loadSettings } from "./open-config.ts";
import { runtimeFiles } from "./runtime-files.ts";
import type { Terminal } from "../terminal.ts";

const WAIT_MS = 15_000;
const POLL_MS = 50;

/** Signals the gateway on this machine and waits for its answer. @throws ConfigError when it refused */
export async function reload(
  { output, terminal }: Context,
  options: ConfigFlags & { readonly dataDir?: string },
): Promise<void> {
  const dataDir = options.dataDir ?? dataDirOf(terminal, options);
  const files = runtimeFiles({ dataDir });
  const running = files.readRunning();
  if (!running || !isGateway(running.pid)) {
    throw new CliFailure(EXIT.unreachable, `No gateway runs with the data directory ${dataDir}.`, {
      code: "cli.not_running",
      hint: "Name its data directory with --data-dir or its configuration with --config.",
    });
  }
  const before = files.readReload()?.id;
  signal(running.pid);
  for (let waited = 0; waited < WAIT_MS; waited += POLL_MS) {
    const result = files.readReload();
    if (result && result.id !== before) {
      if (!result.ok) throw new ConfigError(result.problems);
      output.done("The gateway runs with the changed configuration.", { reloaded: true, pid: running.pid });
      return;
    }
    await sleep(POLL_MS);
  }
  throw new CliFailure(EXIT.failure, "The gateway did not answer in time; its log tells what happened.", {
    code: "cli.reload_unanswered",
  });
}

/** Where only the place of the gateway is asked for, secrets that this shell lacks must not stand in the way. */
function dataDirOf(terminal: Terminal, options: ConfigFlags): string {
  try {
    return loadSettings(terminal, options).dataDir;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new CliFailure(EXIT.usage, "The data directory is not known: the configuration cannot be read from here.", {
      code: "cli.usage",
      hint: "Name it with --data-dir. `bifrost config check` lists the problems.",
    });
  }
}

/** SIGHUP ends a process that does not expect it: a process that merely got the same number must not be hit. */
function isGateway(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const commandLine = `/proc/${pid}/cmdline`;
  return (
    !existsSync("/proc/self/cmdline") ||
    (existsSync(commandLine) && readFileSync(commandLine, "utf8").includes("serve"))
  );
}

function signal(pid: number): void {
  try {
    process.kill(pid, "SIGHUP");
  } catch {
    throw new CliFailure(EXIT.forbidden, `The gateway's process ${pid} belongs to another user.`, {
      code: "cli.not_permitted",
      hint: "Run the command as the gateway's user.",
    });
  }
}
