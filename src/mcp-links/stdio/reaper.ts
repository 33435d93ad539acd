import { type ChildProcess, spawn } from "node:child_process";

/**
 * Ends what is left when the gateway dies without a chance to do it itself (SIGKILL, out of memory). The system closes a
 * dead process's pipes, so a small shell that reads from one of ours learns of it, whatever happened.
 */
export interface Reaper {
  /** From now on, the group dies with the gateway. The returned function takes that back; call it when the group is empty. */
  guardGroup(pgid: number): () => void;
  /** From now on, the command runs when the gateway dies. The returned function takes that back. */
  guardCommand(command: string, args: readonly string[], env: Readonly<Record<string, string>>): () => void;
  /** Lets the shells go, without killing what is still guarded. For tests; in a gateway they end with the process. */
  close(): void;
}

/**
 * Reads `+ pgid` and `- pgid`; at the end of the input kills all that are left. Only digits are ever taken from the input.
 * Signals meant for the gateway's own group are ignored: the end of the input is the only thing that ends it.
 */
const GROUP_SCRIPT = `
trap '' HUP INT QUIT TERM PIPE
groups=' '
while read -r verb pgid rest; do
  case $pgid in '' | *[!0-9]* | 0 | 1) continue ;; esac
  case $verb$groups in
    +*" $pgid "*) ;;
    +*) groups="$groups$pgid " ;;
    -*" $pgid "*) groups="\${groups%% $pgid *} \${groups#* $pgid }" ;;
  esac
done
for pgid in $groups; do kill -s KILL -- "-$pgid" 2>/dev/null; done
`;

/** Runs its arguments as a command when the input ends before a line comes. The arguments are never read as a script. */
const COMMAND_SCRIPT = `
trap '' HUP INT QUIT TERM PIPE
read -r line || exec "$@"
`;

/** A shell that ends at once would be started again and again. */
const MAX_RESTARTS = 5;

/**
 * Starts nothing before something is to be guarded. POSIX only. What leaves its group by itself (setsid, a daemon) escapes.
 *
 * @param onProblem hears of a shell that could not be started or died; its groups are then unguarded
 */
export function createReaper(onProblem: (problem: string) => void): Reaper {
  const groups = new Set<number>();
  const commands = new Set<ChildProcess>();
  let shell: ChildProcess | null = null;
  let restarts = 0;
  let isClosed = false;

  function startShell(args: readonly string[], env: Readonly<Record<string, string>>): ChildProcess {
    // Detached: a signal for the terminal's foreground group, or for the gateway's, does not reach it.
    const child = spawn("/bin/sh", ["-c", ...args], {
      detached: true,
      stdio: ["pipe", "ignore", "ignore"],
      cwd: "/",
      env,
    });
    child.on("error", (error) => onProblem(`the reaper could not be started: ${error.message}`));
    child.stdin?.on("error", () => undefined);
    child.unref();
    // A pipe of a child process is a socket, which can be told not to keep the gateway running.
    if (child.stdin && "unref" in child.stdin && typeof child.stdin.unref === "function") child.stdin.unref();
    return child;
  }

  function groupShell(): ChildProcess {
    if (shell !== null) return shell;
    const started = startShell([GROUP_SCRIPT, "bifrost-reaper"], { PATH: "/usr/bin:/bin" });
    shell = started;
    started.on("exit", () => {
      if (shell !== started) return;
      shell = null;
      if (isClosed || groups.size === 0) return;
      onProblem("the reaper ended, and is started again");
      if (++restarts <= MAX_RESTARTS) groupShell();
    });
    for (const pgid of groups) started.stdin?.write(`+ ${pgid}\n`);
    return started;
  }

  return {
    guardGroup(pgid) {
      const current = groupShell();
      groups.add(pgid);
      current.stdin?.write(`+ ${pgid}\n`);
      return function release() {
        if (groups.delete(pgid)) shell?.stdin?.write(`- ${pgid}\n`);
      };
    },
    guardCommand(command, args, env) {
      const guard = startShell([COMMAND_SCRIPT, "bifrost-reaper", command, ...args], { ...env });
      commands.add(guard);
      guard.on("exit", () => commands.delete(guard));
      return function release() {
        guard.stdin?.end("\n");
      };
    },
    close() {
      isClosed = true;
      for (const pgid of groups) shell?.stdin?.write(`- ${pgid}\n`);
      groups.clear();
      shell?.stdin?.end();
      for (const guard of commands) guard.stdin?.end("\n");
    },
  };
}
