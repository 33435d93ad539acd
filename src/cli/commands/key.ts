import { type Command, Option } from "commander";
import { path } from "../api-client.ts";
import {
  action,
  addListOptions,
  collect,
  type Context,
  examples,
  given,
  type ListFlags,
  positive,
  printList,
  requireChange,
} from "../context.ts";
import { CliFailure, EXIT } from "../failure.ts";
import { type McpGrantFlags, parseMcp, parseMcpArgument, parseMcpName, toMcpGrants } from "../mcp-grants.ts";
import { each, pair, seconds } from "../parse-option.ts";
import type { Item, Terminal } from "../terminal.ts";

interface KeyFlags extends McpGrantFlags {
  readonly id?: string;
  readonly name?: string;
  readonly service?: readonly string[];
  readonly method?: readonly string[];
  readonly path?: readonly string[];
  readonly scope?: string;
  readonly ttl?: number;
  readonly expiresAt?: string;
  readonly rateLimit?: number;
  readonly maxConcurrency?: number;
  readonly oneShot?: boolean;
  readonly maxUses?: number;
  readonly agent?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

interface KeyFilters extends ListFlags {
  readonly status?: string;
  readonly service?: string;
  readonly source?: string;
  readonly agent?: string;
  readonly owner?: string;
}

const COLUMNS = [
  { title: "id", value: "id" },
  { title: "target", value: targetOf },
  { title: "scope", value: "scope" },
  { title: "status", value: "status" },
  { title: "rate/min", value: "rate_limit" },
  { title: "agent", value: "agent_id" },
  { title: "source", value: "source" },
  { title: "expires", value: "expires_at" },
];

export function addKeyCommands(program: Command, terminal: Terminal): void {
  const key = program.command("key").description("virtual keys: what agents hold instead of real credentials");

  addGrantOptions(key.command("issue").alias("add").description("issue a key; prints its secret once"))
    .option("--id <id>", "public id; upstreams see it")
    .option("--name <name>", "for people")
    .addOption(
      new Option("--scope <scope>", "read: GET, HEAD and OPTIONS, and read-only tools; write: all")
        .choices(["read", "write"])
        .default("read"),
    )
    .addOption(
      new Option("--ttl <duration>", "life, such as 1h (default) or 7d").argParser(seconds).conflicts("expiresAt"),
    )
    .option("--expires-at <time>", "end, as RFC 3339 time")
    .option("--rate-limit <n>", "requests per minute (default: 60)", positive)
    .option("--max-concurrency <n>", "requests at once", positive)
    .addOption(new Option("--one-shot", "admit one request only").conflicts("maxUses"))
    .option("--max-uses <n>", "admit so many requests", positive)
    .option("--agent <id>", "agent it is for; upstreams see it")
    .option("--metadata <name=value>", "your own note on it (repeatable)", pair)
    .addHelpText(
      "after",
      examples(
        "bifrost key issue --service openai --scope write --ttl 1h",
        "bifrost key issue --service github --method GET --path '/repos/**' --agent reviewer",
        "bifrost key issue --mcp 'github:get_*,create_issue' --mcp-arg 'github:create_issue:owner=octo' --scope write",
        "KEY=$(bifrost key issue --service openai --one-shot --json | jq -r .virtual_key)",
      ),
    )
    .action(action<KeyFlags>(terminal, issueKey));

  addListOptions(key.command("list").description("list keys, without their secrets"))
    .option("--status <status>", "active, expired, revoked or used")
    .option("--service <id>", "only keys that reach it")
    .option("--source <source>", "api, mcp or service_account")
    .option("--agent <id>", "only of this agent")
    .option("--owner <id>", "only of this user or service account")
    .action(
      action<KeyFilters>(terminal, (context, _args, { status, service, source, agent, owner, ...flags }) =>
        printList(context, "/v1/keys", flags, {
          columns: COLUMNS,
          empty: "No keys. Issue one: bifrost key issue --service NAME",
          query: { status, target: service, source, agent_id: agent, owner },
        }),
      ),
    );

  key
    .command("show")
    .description("show a key, without its secret")
    .argument("<id>")
    .action(
      action<object>(terminal, async (context, [id = ""]) => {
        context.output.item(await context.api().get(path`/v1/keys/${id}`));
      }),
    );

  addChangeCommands(key, terminal);
}

function addChangeCommands(key: Command, terminal: Terminal): void {
  addGrantOptions(key.command("update").description("change a key; what is not named stays"))
    .argument("<id>")
    .option("--name <name>", "for people")
    .addOption(new Option("--scope <scope>").choices(["read", "write"]))
    .addOption(new Option("--ttl <duration>", "new life from now on").argParser(seconds).conflicts("expiresAt"))
    .option("--expires-at <time>", "new end, as RFC 3339 time")
    .option("--rate-limit <n>", "requests per minute", positive)
    .option("--max-concurrency <n>", "requests at once", positive)
    .option("--metadata <name=value>", "replaces all notes on it (repeatable)", pair)
    .addHelpText(
      "after",
      `\nThe services and MCP servers that are named replace all that it reaches.\n${examples(
        "bifrost key update vk_… --rate-limit 120 --ttl 7d",
        "bifrost key update vk_… --service openai --mcp 'github:get_*'",
      )}`,
    )
    .action(
      action<KeyFlags>(terminal, async (context, [id = ""], options) => {
        const grants = grantsOf(options);
        if (grants.length === 0 && (options.method ?? options.path) !== undefined)
          throw new CliFailure(EXIT.usage, "--method and --path need the --service that they are about.", {
            code: "cli.usage",
          });
        const fields = given({
          name: options.name,
          scope: options.scope,
          grants: grants.length > 0 ? grants : undefined,
          ...limitsOf(options),
        });
        const body = requireChange(fields, "the options of `bifrost key update --help`");
        context.output.item(await context.api().send("PUT", path`/v1/keys/${id}`, { body }));
      }),
    );

  key
    .command("rotate")
    .description("replace the secret; the old one works for a grace period")
    .argument("<id>")
    .option("--grace <duration>", "how long the old secret still works, such as 10m", seconds)
    .addHelpText("after", examples("bifrost key rotate vk_… --grace 10m"))
    .action(
      action<{ grace?: number }>(terminal, async (context, [id = ""], { grace }) => {
        const body = given({ grace_seconds: grace });
        context.output.item(await context.api().send("POST", path`/v1/keys/${id}/rotate`, { body }));
        context.output.note("\nThe secret is shown once.");
      }),
    );

  key
    .command("revoke")
    .alias("delete")
    .description("revoke a key at once; its open streams end")
    .argument("<id>")
    .action(
      action<object>(terminal, async (context, [id = ""]) => {
        await context.api().send("DELETE", path`/v1/keys/${id}`);
        context.output.done(`Revoked ${id}.`, { id, revoked: true });
      }),
    );
}

async function issueKey(context: Context, _args: readonly string[], options: KeyFlags): Promise<void> {
  const { service: services = [], method: methods, path: paths } = options;
  const servers = toMcpGrants(options);
  if (services.length + servers.length === 0)
    throw new CliFailure(EXIT.usage, "A key needs --service or --mcp: it would reach nothing.", { code: "cli.usage" });
  const isPlain = services.length === 1 && servers.length === 0 && methods === undefined && paths === undefined;
  const grants = grantsOf(options);
  const body = given({
    id: options.id,
    name: options.name,
    scope: options.scope,
    agent_id: options.agent,
    ...(isPlain ? { target: services[0] } : { grants }),
    one_shot: options.oneShot,
    max_uses: options.maxUses,
    ...limitsOf(options),
  });
  context.output.item(await context.api().send("POST", "/v1/keys", { body }));
  const base = services.length === 1 ? "/v1/proxy" : "/v1/services/SERVICE/proxy";
  const uses = [
    ...(services.length > 0 ? [`as API key with the base URL ${context.url}${base}`] : []),
    ...(servers.length > 0 ? [`as Bearer token with the MCP endpoint ${context.url}/mcp`] : []),
  ];
  context.output.note(`\nThe secret (virtual_key) is shown once. Use it ${uses.join(", and ")}`);
}

/** What a key reaches. */
function addGrantOptions(command: Command): Command {
  return command
    .option("--service <id>", "service it reaches (repeatable)", collect)
    .option("--method <method>", "allow only this method (repeatable)", collect)
    .option("--path <pattern>", "allow only paths of this pattern, such as '/v1/**' (repeatable)", collect)
    .option(
      "--mcp <server[:tools]>",
      "MCP server, with tools such as 'get_*,create_issue' (repeatable)",
      each(parseMcp),
    )
    .option("--mcp-prompt <server:pattern>", "also these prompts of it (repeatable)", each(parseMcpName))
    .option("--mcp-resource <server:pattern>", "also these resources of it (repeatable)", each(parseMcpName))
    .option(
      "--mcp-arg <server:tool:argument=value>",
      "what an argument may be, := for numbers, true and false (repeatable)",
      each(parseMcpArgument),
    );
}

function grantsOf(options: KeyFlags): Record<string, unknown>[] {
  const { service: services = [], method: methods, path: paths } = options;
  return [...services.map((service) => given({ service, methods, paths })), ...toMcpGrants(options)];
}

function limitsOf({ ttl, expiresAt, rateLimit, maxConcurrency, metadata }: KeyFlags) {
  if (expiresAt !== undefined && Number.isNaN(Date.parse(expiresAt))) {
    throw new CliFailure(EXIT.usage, "--expires-at is not a time; write such as 2030-01-31T12:00:00Z.", {
      code: "cli.usage",
    });
  }
  return {
    ttl: ttl === undefined ? undefined : `${ttl}s`,
    expires_at: expiresAt,
    rate_limit: rateLimit,
    max_concurrency: maxConcurrency,
    metadata,
  };
}

function targetOf(key: Item): unknown {
  if (typeof key["target"] === "string" && key["target"] !== "") return key["target"];
  const grants = key["grants"];
  if (!Array.isArray(grants)) return null;
  return grants.map((grant: unknown) => {
    if (typeof grant !== "object" || grant === null) return "?";
    if ("mcp_server" in grant) return `mcp:${String(grant.mcp_server)}`;
    return "service" in grant ? String(grant.service) : "?";
  });
}
