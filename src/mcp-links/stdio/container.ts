import { execFile } from "node:child_process";
import type { McpTransport } from "../../config/model.ts";

/** A command that ends one container, wherever its process is. */
export interface Removal {
  readonly command: string;
  readonly args: readonly string[];
}

/** A daemon that does not answer must not keep a channel from closing. */
const REMOVAL_TIMEOUT_MS = 15_000;

/**
 * The arguments of one start. The name in the configuration is shared by all processes of a server, and two containers
 * cannot have the same one, so each gets its own ending.
 */
export function nameContainer(
  { args, container }: Extract<McpTransport, { kind: "stdio" }>,
  ending: string,
): { readonly args: readonly string[]; readonly removal: Removal | null } {
  if (container === null) return { args, removal: null };
  const name = `${container.name}-${ending}`;
  const at = args.findIndex((argument, index) => argument === "--name" && args[index + 1] === container.name);
  if (at === -1) return { args, removal: null };
  return {
    args: args.with(at + 1, name),
    removal: { command: container.runtime, args: [...container.runtimeArgs, "rm", "-f", name] },
  };
}

/** Removes the container whatever became of `docker run`. Never rejects; one that is already gone is the usual case. */
export function removeContainer(
  { command, args }: Removal,
  env: Record<string, string>,
  onProblem: (problem: string) => void,
): Promise<void> {
  return new Promise((resolve) => {
    execFile(command, [...args], { env, timeout: REMOVAL_TIMEOUT_MS, killSignal: "SIGKILL" }, (error, _out, stderr) => {
      if (error && !/no such container/i.test(stderr)) {
        onProblem(`the container could not be removed: ${stderr.trim().slice(0, 500) || error.message}`);
      }
      resolve();
    });
  });
}
