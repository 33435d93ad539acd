import type { DeclaredMcpServer } from "../../config/model.ts";
import type { Context, SourceFlags } from "../context.ts";
import { plain } from "../terminal.ts";
import { loadFrom, openSources, type SettingSources } from "./open-config.ts";

/** A value shorter than this is too common to stand for a variable. */
const MIN_SHOWN_AS_VARIABLE = 4;

/** Says what would run: names and addresses, never a secret. @throws ConfigError with every problem */
export async function checkConfig({ output, terminal }: Context, flags: SourceFlags): Promise<void> {
  const sources = await openSources(terminal, flags);
  const settings = loadFrom(flags, sources);
  for (const warning of settings.warnings) output.note(`warning: ${warning}`);
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
    warnings: settings.warnings,
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

/** The text as it may have been written: values of variables, which may be secret, are their names again. */
function withVariables(text: string, env: SettingSources["env"]): string {
  const values = Object.entries(env).filter(([, value]) => value && value.length >= MIN_SHOWN_AS_VARIABLE);
  const longestFirst = values.sort(([, a = ""], [, b = ""]) => b.length - a.length);
  return longestFirst.reduce((shownText, [name, value = ""]) => shownText.replaceAll(value, `\${${name}}`), text);
}
