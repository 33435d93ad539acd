import { resolve as absolute } from "node:path";
import type { McpServerInput } from "./mcp-server-schema.ts";
import type { GatewayConfig, McpTransport } from "./model.ts";
import type { Containers } from "./resolve-container.ts";
import { type Sources, readText } from "./secret-source.ts";
import { limitMs } from "./units.ts";

type StdioTransport = Extract<McpTransport, { kind: "stdio" }>;

const CONTAINER_ONLY = ["entrypoint", "entrypoint_args", "mounts"];

/** The process of a server: its command as written, or the command line that runs its container. */
export function resolveStdio(
  name: string,
  server: McpServerInput,
  gateway: GatewayConfig,
  containers: Containers,
  sources: Sources,
): StdioTransport | null {
  const path = ["servers", name];
  const refuse = (field: string, message: string, remedy: string): null => {
    sources.report({ place: sources.placeOf([...path, field]), message, remedy });
    return null;
  };
  const env = resolveEnv(name, server, sources);
  const limits = {
    cwd: server.cwd === undefined ? null : absolute(server.cwd),
    maxProcesses: server.max_processes,
    idleTimeoutMs: server.idle_timeout === undefined ? gateway.sessionTimeoutMs : limitMs(server.idle_timeout),
  };
  const { container, command } = server;
  if (container !== undefined) {
    if (command !== undefined) return refuse("command", "excludes container", "Keep one of the two.");
    const process = containers.fromImage(name, { ...server, container }, env);
    return process && { kind: "stdio", ...process, ...limits };
  }
  for (const field of CONTAINER_ONLY) {
    if (sources.isInFile([...path, field]))
      refuse(field, "has a meaning only with container", "Name the image in container.");
  }
  if (command === undefined) {
    if (sources.isRefused([...path, "command"]) || sources.isRefused([...path, "container"])) return null;
    return refuse("command", "missing", "Write the program in command, an image in container, or an address in url.");
  }
  const contained = containers.fromCommand(name, { ...server, command }, env);
  if (contained) return { kind: "stdio", ...contained, ...limits };
  if (gateway.requireContainers) {
    const remedy = "Name an image in container, or set it to false.";
    return refuse("command", "not in a container, which gateway.require_containers asks for", remedy);
  }
  return { kind: "stdio", command, args: server.args, env, container: null, ...limits };
}

/** The variables that the process gets. One written as "" is the gateway's own, if it has it. */
function resolveEnv(name: string, server: McpServerInput, sources: Sources): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [variable, value] of Object.entries(server.env)) {
    const path = ["servers", name, "env", variable];
    if (value === "" && !sources.isExpanded(path)) {
      const own = Object.hasOwn(sources.env, variable) ? sources.env[variable] : undefined;
      if (own === undefined)
        sources.warn(`servers.${name}.env.${variable}: not passed on, as the gateway has no such variable.`);
      else env[variable] = own;
      continue;
    }
    const text = readText(value, path, sources);
    if (text === null) continue;
    if (text.includes("\0")) {
      sources.report({
        place: sources.placeOf(path),
        message: "has a NUL character",
        remedy: "Remove it: a variable ends there.",
      });
    }
    env[variable] = text;
  }
  return env;
}
