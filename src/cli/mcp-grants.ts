import { InvalidArgumentError } from "commander";
import { CliFailure, EXIT } from "./failure.ts";

interface McpGrant {
  readonly tools?: readonly string[];
  readonly prompts?: readonly string[];
  readonly resources?: readonly string[];
  readonly arguments?: readonly ArgumentRule[];
}

interface ArgumentRule {
  readonly tool: string;
  readonly argument: string;
  readonly allow: readonly (string | number | boolean)[];
}

/** `server` or `server:tool,tool`. Given again for a server, tools are added; without tools once, all are allowed. */
export function parseMcp(text: string): { server: string; tools: readonly string[] | null } {
  const [server, tools] = splitOnce(text, ":");
  if (server === "" || tools === "") throw new InvalidArgumentError("Write a server, or server:tool,tool.");
  return { server, tools: tools === undefined ? null : tools.split(",") };
}

/** `server:pattern`; the pattern may hold colons. */
export function parseMcpName(text: string): { server: string; pattern: string } {
  const [server, pattern] = splitOnce(text, ":");
  if (server === "" || !pattern) throw new InvalidArgumentError("Write server:pattern.");
  return { server, pattern };
}

/** `server:tool:argument=text`, or `server:tool:argument:=value` with a number, true or false. */
export function parseMcpArgument(text: string): { server: string; rule: ArgumentRule } {
  const match = /^([^:=]+):([^:=]+):([^=]+?)(:?=)(.*)$/s.exec(text);
  const [, server = "", tool = "", argument = "", sign, value = ""] = match ?? [];
  const allowed = sign === ":=" ? readLiteral(value) : value;
  if (!match || allowed === null)
    throw new InvalidArgumentError("Write server:tool:argument=text, or argument:=value for a number, true or false.");
  return { server, rule: { tool, argument, allow: [allowed] } };
}

export interface McpGrantFlags {
  readonly mcp?: readonly ReturnType<typeof parseMcp>[];
  readonly mcpPrompt?: readonly ReturnType<typeof parseMcpName>[];
  readonly mcpResource?: readonly ReturnType<typeof parseMcpName>[];
  readonly mcpArg?: readonly ReturnType<typeof parseMcpArgument>[];
}

/**
 * The grants of MCP servers that the options describe together, one for each server.
 *
 * @throws CliFailure for a prompt, resource or argument of a server that `--mcp` does not name
 */
export function toMcpGrants(flags: McpGrantFlags): Record<string, unknown>[] {
  const grants = new Map<string, { -readonly [Name in keyof McpGrant]: McpGrant[Name] }>();
  const unlimited = new Set<string>();
  for (const { server, tools } of flags.mcp ?? []) {
    const grant = grants.get(server) ?? {};
    if (tools === null) unlimited.add(server);
    else grant.tools = [...(grant.tools ?? []), ...tools];
    grants.set(server, grant);
  }
  const grantOf = (server: string) => {
    const grant = grants.get(server);
    if (grant) return grant;
    throw new CliFailure(EXIT.usage, `The server ${server} is not granted: add --mcp ${server}.`, {
      code: "cli.usage",
    });
  };
  for (const { server, pattern } of flags.mcpPrompt ?? []) {
    const grant = grantOf(server);
    grant.prompts = [...(grant.prompts ?? []), pattern];
  }
  for (const { server, pattern } of flags.mcpResource ?? []) {
    const grant = grantOf(server);
    grant.resources = [...(grant.resources ?? []), pattern];
  }
  for (const { server, rule } of flags.mcpArg ?? []) {
    const grant = grantOf(server);
    grant.arguments = addRule(grant.arguments ?? [], rule);
  }
  return [...grants].map(([server, { tools, ...rest }]) => ({
    mcp_server: server,
    ...(tools === undefined || unlimited.has(server) ? {} : { tools }),
    ...rest,
  }));
}

/** Several values for one argument are alternatives; the API would read two rules as "both". */
function addRule(rules: readonly ArgumentRule[], added: ArgumentRule): ArgumentRule[] {
  const at = rules.findIndex(({ tool, argument }) => tool === added.tool && argument === added.argument);
  const same = rules[at];
  return same ? rules.with(at, { ...same, allow: [...same.allow, ...added.allow] }) : [...rules, added];
}

function readLiteral(text: string): number | boolean | null {
  if (text === "true" || text === "false") return text === "true";
  return /^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(text) ? Number(text) : null;
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at === -1 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}
