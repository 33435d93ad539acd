import { resolve as absolute } from "node:path";
import type { GatewayInput } from "./gateway-schema.ts";
import type { McpServerInput } from "./mcp-server-schema.ts";
import type { GatewayConfig, McpTransport } from "./model.ts";
import { type Sources, readText } from "./secret-source.ts";
import { limitMs } from "./units.ts";

type StdioTransport = Extract<McpTransport, { kind: "stdio" }>;

const CONTAINER_ONLY = ["entrypoint", "entrypoint_args", "mounts"];

/** The process of a server: its command as written, or the command line that runs its container. */
export function resolveStdio(
  name: string,
  server: McpServerInput,
  options: GatewayInput,
  gateway: GatewayConfig,
  sources: Sources,
): StdioTransport | null {
  const path = ["servers", name];
  const refuse = (field: string, message: string, remedy: string): null => {
    sources.report({ place: sources.placeOf([...path, field]), message, remedy });
    return null;
  };
  const env = resolveEnv(name, server, sources);
  if (server.container !== undefined) return refuse("container", "not supported yet", "Write command and args.");
  for (const field of CONTAINER_ONLY) {
    if (sources.isInFile([...path, field]))
      refuse(field, "has a meaning only with container", "Name the image in container.");
  }
  if (server.command === undefined) {
    if (sources.isRefused([...path, "command"]) || sources.isRefused([...path, "container"])) return null;
    return refuse("command", "missing", "Write the program in command, an image in container, or an address in url.");
  }
  if (gateway.requireContainers) {
    return refuse(
      "command",
      "not in a container, which gateway.require_containers asks for",
      "Name an image in container, or set it to false.",
    );
  }
  return {
    kind: "stdio",
    command: server.command,
    args: server.args,
    env,
    cwd: server.cwd === undefined ? null : absolute(server.cwd),
    container: null,
    maxProcesses: server.max_processes,
    idleTimeoutMs: server.idle_timeout === undefined ? gateway.sessionTimeoutMs : limitMs(server.idle_timeout),
  };
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
