import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { delimiter, resolve } from "node:path";
import { INHERITED } from "../../config/inherited-environment.ts";
import type { DeclaredMcpServer, McpTransport } from "../../config/model.ts";
import type { Context, SourceFlags } from "../context.ts";
import { plain } from "../terminal.ts";
import { loadFrom, openSources, type SettingSources } from "./open-config.ts";

type StdioTransport = Extract<McpTransport, { kind: "stdio" }>;

/** A value shorter than this is too common to stand for a variable. */
const MIN_SHOWN_AS_VARIABLE = 4;
/** What shells and npm set: no secrets, and parts of many paths. */
const OF_SHELLS = /^(?:PWD|OLDPWD|INIT_CWD|SHELL|_|npm_.*)$/;

/** Says what would run: names and addresses, never a secret. @throws ConfigError with every problem */
export async function checkConfig({ output, terminal }: Context, flags: SourceFlags): Promise<void> {
  const sources = await openSources(terminal, flags);
  const settings = loadFrom(flags, sources);
  const warnings = [...settings.warnings, ...(await missingPrograms(settings.mcpServers, sources.env))];
  for (const warning of warnings) output.note(`warning: ${warning}`);
  const servers = settings.mcpServers.map((server) => ({ name: server.name, ...shown(server, sources.env) }));
  const lines = servers.map((server) => `  ${server.name}: ${plain("url" in server ? server.url : server.runs)}`);
  output.done(["The configuration is valid.", ...(lines.length > 0 ? ["MCP servers:", ...lines] : [])].join("\n"), {
    valid: true,
    file: settings.file,
    mode: settings.mode,
    database: settings.database.dialect,
    redis: settings.redisUrl !== null,
    credentials: settings.credentials.map((credential) => credential.id),
    services: settings.services.map((service) => service.id),
    mcp_auth: settings.gateway.auth,
    mcp_agents: settings.gateway.agents.length,
    mcp_servers: servers,
    warnings,
  });
}

function shown({ transport, tools }: DeclaredMcpServer, env: SettingSources["env"]) {
  if (transport.kind === "http") {
    // Some services put the key into the path.
    return {
      url: new URL(transport.url).origin,
      headers: Object.keys(transport.headers),
      auth: transport.auth.kind,
      tools,
    };
  }
  const runs = [transport.command, ...transport.args].map((part) => withVariables(part, env)).join(" ");
  return { runs, env: Object.keys(transport.env), tools };
}

/** Warnings, as a program may be installed before the gateway starts, and a missing one stops its own server only. */
async function missingPrograms(servers: readonly DeclaredMcpServer[], env: SettingSources["env"]): Promise<string[]> {
  const warnings = servers.map(async ({ name, transport }) => {
    if (transport.kind !== "stdio" || (await isProgram(transport, env))) return [];
    const command = plain(withVariables(transport.command, env));
    const remedy = /\s/.test(command)
      ? "what follows a space belongs into args"
      : "install it, or give its full path; as it is, this server cannot start";
    return [`servers.${name}.command: no program ${command} was found: ${remedy}.`];
  });
  return (await Promise.all(warnings)).flat();
}

/** Looks where the system will: on the PATH of the process, or from its working directory. */
async function isProgram({ command, cwd, env: own }: StdioTransport, env: SettingSources["env"]): Promise<boolean> {
  const folders = /[/\\]/.test(command) ? [cwd ?? "."] : (own["PATH"] ?? env["PATH"] ?? "").split(delimiter);
  const endings = process.platform === "win32" ? ["", ".exe", ".cmd", ".bat"] : [""];
  const candidates = folders.flatMap((folder) => endings.map((ending) => resolve(folder, `${command}${ending}`)));
  const found = await Promise.all(
    candidates.map((path) =>
      access(path, constants.X_OK).then(
        () => true,
        () => false,
      ),
    ),
  );
  return found.includes(true);
}

/** The text as it may have been written: values of variables, which may be secret, are their names again. */
function withVariables(text: string, env: SettingSources["env"]): string {
  const values = Object.entries(env).filter(
    ([name, value]) => value && value.length >= MIN_SHOWN_AS_VARIABLE && !INHERITED.test(name) && !OF_SHELLS.test(name),
  );
  const longestFirst = values.sort(([, a = ""], [, b = ""]) => b.length - a.length);
  return longestFirst.reduce((shownText, [name, value = ""]) => shownText.replaceAll(value, `\${${name}}`), text);
}
