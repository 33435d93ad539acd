import { extname } from "node:path";
import { stringify as toToml } from "smol-toml";
import { parseFile } from "../../config/parse-file.ts";
import { members } from "../../jsonrpc/json-slice.ts";
import { CliFailure, EXIT } from "../failure.ts";

/** One entry of `servers`, as it is written. */
export type ServerEntry = Readonly<Record<string, string | readonly string[] | Readonly<Record<string, string>>>>;

/** Other spellings that the configuration takes for the table of servers: config/canonical.ts. */
const TABLE_NAMES = new Set(["servers", "mcpservers"]);

/**
 * The text of a configuration file with one more MCP server. What is there stays as it is: comments, order and spaces. An empty
 * text becomes a file with this server alone.
 *
 * @throws ConfigError for a text that is neither TOML nor JSON, CliFailure where the server is there already or the text is
 *   written in a way that cannot be continued (an inline table of TOML)
 */
export function withServer(path: string, text: string, name: string, entry: ServerEntry): string {
  const isJson = extname(path).toLowerCase() === ".json" || text.trimStart().startsWith("{");
  const start = text.trim() === "" && isJson ? "{\n}\n" : text;
  const before = parseFile(path, start);
  const table = Object.keys(before).find((key) => TABLE_NAMES.has(key.toLowerCase().replaceAll(/[_-]/g, "")));
  const servers = table === undefined ? undefined : before[table];
  if (typeof servers === "object" && servers !== null && Object.hasOwn(servers, name)) {
    throw new CliFailure(EXIT.conflict, `The file ${path} has a server ${name} already.`, {
      code: "cli.exists",
      hint: "Choose another name, or change the file by hand.",
    });
  }
  const added = isJson ? intoJson(start, table, name, entry) : intoToml(start, table ?? "servers", name, entry);
  assertAdded(path, { before, added, table: table ?? (isJson ? "mcpServers" : "servers"), name, entry });
  return added;
}

/** A new table can always follow at the end, except where `servers` is written as an inline table. */
function intoToml(text: string, table: string, name: string, entry: ServerEntry): string {
  const end = text === "" || text.endsWith("\n") ? "" : "\n";
  return `${text}${end}${text.trim() === "" ? "" : "\n"}${toToml({ [table]: { [name]: entry } })}`;
}

function intoJson(text: string, table: string | undefined, name: string, entry: ServerEntry): string {
  const open = text.indexOf("{");
  const found = table === undefined ? undefined : members(text, open).find((member) => member.name === table);
  if (found === undefined) return insertMember(text, open, "mcpServers", { [name]: entry });
  if (text[found.start] !== "{") return text;
  return insertMember(text, found.start, name, entry);
}

/** Behind the last member, indented like it; on one line where the object is written so. */
function insertMember(text: string, open: number, name: string, value: unknown): string {
  const last = members(text, open).at(-1);
  if (!last) {
    const outer = indentAt(text, open) ?? "";
    const close = text.indexOf("}", open);
    const inner = `${outer}  `;
    return `${text.slice(0, open + 1)}\n${inner}${memberText(name, value, inner)}\n${outer}${text.slice(close)}`;
  }
  const indent = indentAt(text, last.nameStart);
  const added =
    indent === null
      ? `, ${JSON.stringify(name)}: ${JSON.stringify(value)}`
      : `,\n${indent}${memberText(name, value, indent)}`;
  return text.slice(0, last.end) + added + text.slice(last.end);
}

function memberText(name: string, value: unknown, indent: string): string {
  return `${JSON.stringify(name)}: ${JSON.stringify(value, null, 2).replaceAll("\n", `\n${indent}`)}`;
}

/** The blanks before this place, where nothing else is before it on its line; for an opening brace, those of its line. */
function indentAt(text: string, at: number): string | null {
  const line = text.slice(text.lastIndexOf("\n", at - 1) + 1, at);
  if (text[at] === "{") return /^[ \t]*/.exec(line)?.[0] ?? "";
  return /^[ \t]*$/.test(line) && text.lastIndexOf("\n", at - 1) !== -1 ? line : null;
}

/** Read again, the text must hold what it held and the new server, or nothing is written. */
function assertAdded(
  path: string,
  change: { before: Record<string, unknown>; added: string; table: string; name: string; entry: ServerEntry },
): void {
  const { before, added, table, name, entry } = change;
  let after: Record<string, unknown> | null = null;
  try {
    after = parseFile(path, added);
  } catch {
    // Said below.
  }
  const servers = typeof before[table] === "object" ? before[table] : {};
  const wanted = { ...before, [table]: { ...servers, [name]: entry } };
  if (after !== null && sameData(after, wanted)) return;
  throw new CliFailure(EXIT.failure, `The file ${path} is written in a way that this command cannot continue.`, {
    code: "cli.config_form",
    hint: `Add the server by hand:\n${extname(path) === ".json" ? JSON.stringify({ [name]: entry }, null, 2) : toToml({ [table]: { [name]: entry } })}`,
  });
}

function sameData(a: unknown, b: unknown): boolean {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return Object.is(a, b);
  const [left, right] = [Object.entries(a), new Map(Object.entries(b))];
  if (left.length !== right.size) return a instanceof Date && b instanceof Date && a.getTime() === b.getTime();
  return left.every(([key, value]) => right.has(key) && sameData(value, right.get(key)));
}
