import { tmpdir } from "node:os";
import { basename } from "node:path";
import { containerCommand, isImageReference } from "../containers/command.ts";
import { hostRealpath } from "../containers/host-realpath.ts";
import { defaultMountRoots, parseMountRoots } from "../containers/mount-roots.ts";
import {
  checkContainerArgs,
  checkContainerOptions,
  checkMount,
  type MountPolicy,
  withContainerName,
} from "../containers/mounts.ts";
import { parseOptions } from "../containers/parse-options.ts";
import type { GatewayInput } from "./gateway-schema.ts";
import type { McpServerInput } from "./mcp-server-schema.ts";
import type { McpTransport } from "./model.ts";
import type { Sources } from "./secret-source.ts";

type StdioTransport = Extract<McpTransport, { kind: "stdio" }>;
/** What makes a process a container, apart from its limits. */
type ContainerProcess = Pick<StdioTransport, "command" | "args" | "env" | "container">;

export interface Containers {
  /** The container that `container` names. Null after reporting why there is none. */
  fromImage(
    name: string,
    server: McpServerInput & { container: string },
    env: Record<string, string>,
  ): ContainerProcess | null;
  /** A `command` that is docker or podman itself; null where it is not, or does not start a container. */
  fromCommand(
    name: string,
    server: McpServerInput & { command: string },
    env: Record<string, string>,
  ): ContainerProcess | null;
}

/** Command lines of containers under the mount policy. The file system is looked at only when a server has a container. */
export function createContainers(gateway: GatewayInput, sources: Sources): Containers {
  const runtime = resolveRuntime(gateway, sources);
  let policy: MountPolicy | null = null;
  const mounts = () => (policy ??= resolveMounts(gateway, sources));

  const reportAll = (path: readonly string[], judged: readonly string[], problems: readonly string[]) => {
    const fromVariables = judged.filter((text, i) => text !== "" && sources.isExpanded([...path, i]));
    for (const problem of problems) {
      // The policy quotes what it judges and names options; here both may come out of a variable.
      const told = withoutValues(problem);
      const isTold = fromVariables.some((text) => told.includes(text.split("=", 1)[0] ?? text));
      sources.report({
        place: sources.placeOf(path),
        message: isTold ? "has an argument that is not allowed" : told,
        remedy: /mount root/.test(problem)
          ? "Change it, or allow the folder in gateway.allowed_mount_roots."
          : "Change or remove it: a container gets no more of this machine than the mount policy allows.",
      });
    }
  };

  return {
    fromImage(name, server, env) {
      const path = ["servers", name];
      if (!isImageReference(server.container)) {
        const place = sources.placeOf([...path, "container"]);
        sources.report({
          place,
          message: "not the name of an image",
          remedy: 'Write it as "registry/name:tag" or "name@sha256:…".',
        });
        return null;
      }
      reportAll([...path, "args"], server.args, checkContainerOptions(server.args, mounts()));
      for (const mount of server.mounts) {
        const problem = checkMount(mount, mounts());
        reportAll([...path, "mounts"], server.mounts, problem === null ? [] : [problem]);
      }
      const passed = passedOn(name, server.args, 0, sources);
      const spec = {
        runtime,
        runtimeArgs: gateway.container_runtime_args,
        name: `bifrost-${name}`,
        image: server.container,
        entrypoint: server.entrypoint ?? null,
        entrypointArgs: server.entrypoint_args,
        mounts: server.mounts,
        env,
        args: passed.args,
      };
      const { command, args, env: own } = containerCommand(spec);
      return {
        command,
        args,
        env: { ...passed.env, ...own },
        container: { name: spec.name, runtime, runtimeArgs: spec.runtimeArgs },
      };
    },

    fromCommand(name, server, env) {
      const { command, args } = server;
      if (!["docker", "podman"].includes(basename(command)) && command !== gateway.container_runtime_command)
        return null;
      // Other subcommands, such as `docker mcp`, start what they like: that is a command like any other.
      const [first = ""] = args;
      const isPoliced = gateway.require_containers || gateway.allowed_mount_roots !== undefined;
      if (!isPoliced && first !== "run" && first !== "container" && !first.startsWith("-")) return null;
      reportAll(["servers", name, "args"], args, checkContainerArgs(args, mounts()));
      const containerName = `bifrost-${name}`;
      const passed = passedOn(name, args, args.indexOf("run") + 1, sources);
      return {
        command,
        args: withContainerName(passed.args, containerName) ?? args,
        env: { ...passed.env, ...env },
        container: { name: containerName, runtime: command, runtimeArgs: args.slice(0, globalOptions(args)) },
      };
    },
  };
}

/** A judgement of the mount policy without what it quotes, and without what only looks like an option. */
function withoutValues(problem: string): string {
  return problem
    .replace(/ ?"(?:[^"\\]|\\.)*"/g, "")
    .replace(/(?<!\S)--?\S+/g, (option) => (/^--?[a-z][a-z-]{0,30}6?$/i.test(option) ? option : "an option"));
}

/** Options before `run`: the removal of the container needs the same connection. */
function globalOptions(args: readonly string[]): number {
  const run = args.indexOf("run");
  return run > 0 && args[run - 1] === "container" ? run - 1 : Math.max(run, 0);
}

/** The runtime itself would obey these, so a container's value stays in its arguments. */
const FOR_THE_RUNTIME =
  /^(PATH|HOME|USER|TMPDIR|LD_|DYLD_|DOCKER_|CONTAINER|PODMAN_|STORAGE_|BUILDAH_|XDG_|SSH_|GO[A-Z])/;

/**
 * Variables that the options pass to the container. `-e NAME` takes them from the environment of the runtime's process,
 * which is otherwise clean; `-e NAME=${SECRET}` becomes `-e NAME`, since every user of the host can read command lines.
 */
function passedOn(name: string, given: readonly string[], from: number, sources: Sources) {
  const args = [...given];
  const env: Record<string, string> = {};
  for (const { option, value, at } of parseOptions(given, from).options) {
    if (option.name !== "env" || value === null) continue;
    const [variable = ""] = value.split("=", 1);
    if (variable === value) {
      const own = Object.hasOwn(sources.env, variable) ? sources.env[variable] : undefined;
      if (own !== undefined) env[variable] = own;
      continue;
    }
    const isNext = given[at] === "-e" || given[at] === "--env";
    const index = isNext ? at + 1 : at;
    if (!sources.isExpanded(["servers", name, "args", index]) || FOR_THE_RUNTIME.test(variable)) continue;
    args[index] = isNext ? variable : `--env=${variable}`;
    env[variable] = value.slice(variable.length + 1);
  }
  return { args, env };
}

function resolveRuntime(gateway: GatewayInput, sources: Sources): string {
  const kind = gateway.dockerless ? "podman" : (gateway.container_runtime ?? "docker");
  const command = gateway.container_runtime_command ?? kind;
  const refuse = (field: string, message: string) =>
    sources.report({
      place: sources.placeOf(["gateway", field]),
      message,
      remedy: 'Write "podman", or set dockerless to false.',
    });
  if (gateway.dockerless) {
    // The variable is meant for every gateway of the machine; the file is meant for this one.
    if (gateway.container_runtime === "docker" && sources.isInFile(["gateway", "container_runtime"])) {
      refuse("container_runtime", "not podman, which dockerless asks for");
    }
    if (basename(command) !== "podman") refuse("container_runtime_command", "not podman, which dockerless asks for");
  }
  return command;
}

function resolveMounts(gateway: GatewayInput, sources: Sources): MountPolicy {
  if (gateway.allowed_mount_roots === undefined) {
    const workspace = sources.env["GITHUB_WORKSPACE"] || null;
    const roots = defaultMountRoots({ workspace, cwd: process.cwd(), tempDir: tmpdir() }, hostRealpath);
    return { roots, realpath: hostRealpath };
  }
  const { roots, problems } = parseMountRoots(gateway.allowed_mount_roots, hostRealpath);
  for (const problem of problems) {
    sources.report({
      place: sources.placeOf(["gateway", "allowed_mount_roots"]),
      message: withoutValues(problem),
      remedy: 'Write absolute paths below /, such as ["/srv/data:ro"].',
    });
  }
  return { roots, realpath: hostRealpath };
}
