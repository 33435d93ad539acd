import type { Command } from "commander";
import {
  action,
  addConfigOption,
  addListOptions,
  collect,
  type ConfigFlags,
  type Context,
  examples,
  given,
  type ListFlags,
  printList,
} from "../context.ts";
import { CliFailure, EXIT } from "../failure.ts";
import { createMcpClient } from "../mcp-client.ts";
import { pair, seconds } from "../parse-option.ts";
import { type Item, plain, type Terminal } from "../terminal.ts";
import { toolArguments } from "../tool-arguments.ts";

interface McpFlags {
  readonly agent?: string;
  readonly timeout?: number;
  readonly args?: string;
}

interface AddFlags extends ConfigFlags {
  readonly serverUrl?: string;
  readonly container?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly header?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly tool?: readonly string[];
  readonly serverOrg?: string;
}

const DEFAULT_TIMEOUT_SECONDS = 120;

const SERVER_COLUMNS = [
  { title: "name", value: "name" },
  { title: "transport", value: "transport" },
  { title: "state", value: "state" },
  { title: "tools", value: (server: Item) => (Array.isArray(server["tools"]) ? server["tools"].length : null) },
  { title: "connections", value: "connections" },
  {
    title: "last error",
    value: (server: Item) => (isItem(server["last_error"]) ? server["last_error"]["message"] : null),
  },
];

const TOOL_COLUMNS = [
  { title: "name", value: "name" },
  {
    title: "read-only",
    value: (tool: Item) => isItem(tool["annotations"]) && tool["annotations"]["readOnlyHint"] === true,
  },
  { title: "arguments", value: argumentsOf },
  { title: "description", value: (tool: Item) => shorten(tool["description"] ?? tool["title"]) },
];

export function addMcpCommands(program: Command, terminal: Terminal): void {
  const mcp = program.command("mcp").description("MCP servers behind this gateway, and their tools");

  addListOptions(mcp.command("list").description("list the configured servers with their state")).action(
    action<ListFlags>(terminal, (context, _args, flags) =>
      printList(context, "/v1/mcp/servers", flags, {
        columns: SERVER_COLUMNS,
        empty: "No MCP servers. Add one to the configuration: bifrost mcp add NAME -- COMMAND",
      }),
    ),
  );

  addCallOptions(mcp.command("tools"))
    .description("list the tools that you may call")
    .argument("[server]", "only of this server; bifrost is the gateway itself")
    .action(
      action<McpFlags>(terminal, async (context, [server], flags) => {
        const tools = await clientOf(context, server ?? null, flags).list("tools/list", "tools");
        context.output.list(tools, TOOL_COLUMNS, "No tools that you may call.");
      }),
    );

  addCallOptions(mcp.command("call"))
    .description("call a tool and print its result; exits with 1 when the tool reports an error")
    .argument("<server>", "name of the server; bifrost is the gateway itself")
    .argument("<tool>")
    .argument("[arguments...]", "name=text, or name:=json for everything else")
    .option("--args <json>", "all arguments as one JSON object")
    .addHelpText(
      "after",
      examples(
        "bifrost mcp call github create_issue owner=octo repo=hello title=Hi labels:='[\"bug\"]'",
        "BIFROST_API_KEY=bfk_… bifrost mcp call bifrost list_services --json",
      ),
    )
    .action(action<McpFlags>(terminal, callTool));

  addAddCommand(mcp, terminal);
}

function addCallOptions(command: Command): Command {
  return command
    .option("--agent <id>", "act as this agent of yours (X-Agent-ID)")
    .option("--timeout <duration>", "wait at most so long (default: 2m)", seconds);
}

function addAddCommand(mcp: Command, terminal: Terminal): void {
  const add = mcp
    .command("add")
    .description("add a server to the configuration file; a running gateway is not touched")
    .argument("<name>", "part of its URL and of the names of its tools")
    .argument("[command...]", "program of a stdio server and its arguments, after --")
    .option("--server-url <url>", "address of a server over HTTP, instead of a command")
    .option("--container <image>", "image of a containerized server, instead of a command")
    .option(
      "--env <name=value>",
      "variable of the process; an empty value passes the gateway's own on (repeatable)",
      pair,
    )
    .option("--header <name=value>", "header for the server, such as 'X-Api-Key=${API_KEY}' (repeatable)", pair)
    .option("--cwd <path>", "working directory of the process")
    .option("--tool <pattern>", "allow only these tools (repeatable)", collect)
    .option("--server-org <id>", "organization it belongs to (default: the first)")
    .addHelpText(
      "after",
      examples(
        "bifrost mcp add everything -c bifrost.toml -- npx -y @modelcontextprotocol/server-everything",
        "bifrost mcp add github -c bifrost.toml --container ghcr.io/github/github-mcp-server --env GITHUB_TOKEN=",
        "bifrost mcp add docs -c mcp.json --server-url https://mcp.example.com/mcp --tool 'search_*'",
      ),
    )
    .action(
      action<AddFlags>(terminal, async (context, [name = "", command, ...args], flags) => {
        const ways = [command, flags.serverUrl, flags.container].filter((way) => way !== undefined);
        if (ways.length !== 1) throw usage("Give one of a command (after --), --server-url and --container.");
        const { addServer } = await import("../local/add-server.ts");
        const entry = given({
          command,
          args: args.length > 0 ? args : undefined,
          url: flags.serverUrl,
          container: flags.container,
          env: flags.env,
          headers: flags.header,
          cwd: flags.cwd,
          tools: flags.tool,
          org: flags.serverOrg,
        }) as Parameters<typeof addServer>[1]["entry"];
        addServer(context, { file: flags.config, name, entry });
      }),
    );
  addConfigOption(add);
}

async function callTool(
  context: Context,
  [server = "", tool = "", ...pairs]: readonly string[],
  flags: McpFlags,
): Promise<void> {
  const text = toolArguments(flags.args, pairs);
  const params = `{"name":${JSON.stringify(tool)},"arguments":${text}}`;
  const result = await clientOf(context, server, flags).request("tools/call", params, tool);
  context.output.done(resultText(result), result);
  if (result["isError"] !== true) return;
  const unquoted = pairs.find((pair) => /^[^=]*[^=:]=(?:-?\d+(?:\.\d+)?|true|false|null|[[{].*)$/s.test(pair));
  if (unquoted !== undefined)
    context.output.note("name=value sends text; for numbers, true, false, lists and objects write name:=json");
  // The result says why.
  throw new CliFailure(EXIT.failure, "");
}

function clientOf(context: Context, server: string | null, flags: McpFlags) {
  return createMcpClient(context.api(), {
    server,
    agent: flags.agent,
    timeoutMs: (flags.timeout ?? DEFAULT_TIMEOUT_SECONDS) * 1_000,
    onMessage: (text) => context.output.note(plain(text)),
  });
}

/** The content for people; what is no text is named with its type. */
function resultText(result: Item): string {
  const content = Array.isArray(result["content"]) ? (result["content"] as unknown[]) : [];
  const parts = content.filter(isItem).map((part) => {
    if (part["type"] === "text") return lines(String(part["text"]));
    const { type, uri, mimeType } = isItem(part["resource"]) ? { ...part, ...part["resource"] } : part;
    return `[${[type, mimeType, uri]
      .filter((fact) => typeof fact === "string")
      .map(plain)
      .join(" ")}]`;
  });
  if (parts.length > 0) return parts.join("\n");
  return lines(JSON.stringify(result["structuredContent"] ?? result, null, 2));
}

function lines(text: string): string {
  return text.split("\n").map(plain).join("\n");
}

function argumentsOf(tool: Item): unknown {
  const schema = tool["inputSchema"];
  if (!isItem(schema) || !isItem(schema["properties"])) return null;
  const required = new Set(Array.isArray(schema["required"]) ? schema["required"] : []);
  return Object.keys(schema["properties"]).map((name) => (required.has(name) ? name : `[${name}]`));
}

function shorten(text: unknown): string {
  if (typeof text !== "string") return "";
  const [first = ""] = text.trim().split("\n");
  return first.length > 80 ? `${first.slice(0, 79)}…` : first;
}

function isItem(value: unknown): value is Item {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function usage(message: string): CliFailure {
  return new CliFailure(EXIT.usage, message, { code: "cli.usage" });
}
