import { z } from "zod";
import { ConfigSchema } from "./schema.ts";
import { type Leaf, leavesOf } from "./walk.ts";

const INTRODUCTION = `# Configuration

<!-- Generated from src/config/schema.ts by \`npm run docs\`. Do not edit. -->

Settings come from a file (\`bifrost serve --config bifrost.toml\`, or \`BIFROST_CONFIG\`), in TOML or JSON, and from the
environment; a variable wins over the file, and an option of \`serve\` over both. Every setting has a default, so that a gateway starts without any.
\`bifrost config check\` reports every problem at once, with its place and remedy; the gateway makes the same check before
it listens. Unknown settings and unknown \`BIFROST_*\` and \`MCP_GATEWAY_*\` variables are problems too.

- Lists are separated by commas in variables. An empty variable counts as not set.
- Secrets can be given as \`<VARIABLE>_FILE\`, the path of a file that holds the secret, and in the file as
  \`{ env = "NAME" }\` or \`{ file = "/path" }\`.
- Relative paths start at the working directory of the gateway.
- \`bifrost reload\` (or \`SIGHUP\`) applies a changed file to the running gateway, or refuses it whole and changes nothing.
- Editors check the file against [config.schema.json](config.schema.json).

\`\`\`toml
mode = "production"

[server]
host = "0.0.0.0"
public_url = "https://bifrost.example.com"

[database]
url = { env = "DATABASE_DSN" }

[services.openai]
description = "OpenAI API"
endpoint = "https://api.openai.com/v1"
credential = { env = "OPENAI_API_KEY" }
injection = { type = "bearer" }
methods = ["GET", "POST"]
\`\`\`

What is declared here (\`[credentials.NAME]\`, \`[services.NAME]\`) is read-only over the API and marked \`managed_by: config\`.

## MCP servers

\`[gateway]\` and \`[servers.NAME]\` describe the MCP plane. In JSON they are written \`gateway\` and \`mcpServers\`, with names
in \`camelCase\`; both spellings are accepted in both formats. The \`mcpServers\` block of a desktop client (\`command\`,
\`args\`, \`env\`, \`url\`, \`headers\`, \`type\`, \`disabled\`) works as it is.

\`\`\`toml
[gateway]
agent_id = "\${AGENT_ID}"

[servers.github]
container = "ghcr.io/github/github-mcp-server:v1"
env = { GITHUB_PERSONAL_ACCESS_TOKEN = "" }
tools = ["get_*", "list_*"]

[servers.files]
command = "npx"
args = ["-y", "@modelcontextprotocol/server-filesystem", "/srv/docs"]

[servers.search]
url = "https://mcp.example.com/mcp"
headers = { Authorization = "Bearer \${SEARCH_TOKEN}" }
\`\`\`

\`\`\`json
{
  "mcpServers": {
    "files": { "command": "npx", "args": ["-y", "@modelcontextprotocol/server-filesystem", "/srv/docs"] },
    "search": { "type": "http", "url": "https://mcp.example.com/mcp", "headers": { "Authorization": "Bearer \${SEARCH_TOKEN}" } }
  },
  "gateway": { "port": 3333, "domain": "localhost", "agentId": "\${AGENT_ID}" }
}
\`\`\`

- \`bifrost serve --config-stdin\` reads such a JSON document, of \`mcpServers\`, \`gateway\` and \`customSchemas\` only
  ([stdin.schema.json](stdin.schema.json)), and prints one JSON document for MCP clients on standard output: an address for
  each server, or with \`--unified\` one for all, with the headers to send. Of several agents it is the first one's. The
  document must say who may call: \`agentId\`, \`agentIds\`, the deprecated \`apiKey\`, or \`"auth": "none"\`.
- \`\${NAME}\` in a text below \`gateway\` and \`servers\` stands for a variable, \`\${NAME:-text}\` for the text where it is not
  set; \`$\${\` is a literal \`\${\`. It is replaced once, after the file was parsed: a value can hold quotes, line breaks and
  \`\${\` without changing anything else. A variable that is not set stops the start.
- \`env = { NAME = "" }\` passes the gateway's own variable on. Nothing else of its environment reaches a server.
- \`agent_id\` wins over \`api_key\`, its older name, wherever the two stand: in the file, in \`MCP_GATEWAY_AGENT_ID\` or in
  \`MCP_GATEWAY_API_KEY\`; also when it is empty, which means that only keys authenticate. Each use of the older name is a
  warning. Several agents are named by \`agent_ids\`, and each then needs an entry in \`agent_policies\`.
- \`agent_policies\` is a table from agent id to \`{ servers, tools }\`; the key may be a \`\${NAME}\`. Problems name an entry by
  its position, from 1, since the id is a secret.
- Guards for information flow, signed requests, TLS and tokens of GitHub Actions, which similar gateways have, stop the
  start where they are configured: no protection is ignored.
`;

/** docs/config.md: every setting with type, default, variables, meaning and risk. */
export function describeConfig(): string {
  const sections = new Map<string, Leaf[]>();
  for (const leaf of leavesOf(ConfigSchema)) {
    const section = leaf.path.slice(0, -1).join(".");
    sections.set(section, [...(sections.get(section) ?? []), leaf]);
  }
  const parts = [...sections].map(([section, leaves]) => {
    const title = section === "" ? "Top level" : `\`[${section}]\``;
    return `## ${title}\n\n${leaves.map(entry).join("\n")}`;
  });
  return `${INTRODUCTION}\n${parts.join("\n")}`;
}

function entry({ path, schema, facts }: Leaf): string {
  const name = path.at(-1) ?? "";
  const lines = [
    `- **\`${name}\`**: ${facts.description}`,
    `  Takes ${facts.takes.replaceAll("*", "\\*")}.`,
    `  Default: ${facts.otherwise ?? defaultOf(schema)}.`,
    ...(facts.env ? [`  Variable: ${facts.env.map((variable) => `\`${variable}\``).join(", also ")}.`] : []),
    ...(facts.risk ? [`  **Risk:** ${facts.risk}`] : []),
  ];
  return `${lines.join("\n")}\n`;
}

function defaultOf(schema: z.ZodType): string {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) {
    const value: unknown = schema.def.defaultValue;
    return Array.isArray(value) && value.length === 0 ? "none" : `\`${JSON.stringify(value)}\``;
  }
  return schema instanceof z.ZodOptional ? "none" : "none, required";
}
