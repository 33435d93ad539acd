import { type JsonText, memberText } from "../jsonrpc/json-slice.ts";
import type { HeaderArgument } from "./types.ts";

/** RFC 9110 §5.6.2. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const PRIMITIVE = new Set(["string", "integer", "boolean"]);
/** A schema deeper than this is not looked at; nobody annotates an argument there. */
const MAX_DEPTH = 32;
const KEY = "x-mcp-header";

/**
 * The arguments of a tool that its server wants in headers too (2026-07-28, Streamable HTTP, Custom Headers from Tool
 * Parameters). An annotation may only stand on a string, integer or boolean that is reached through `properties` alone, with
 * a header token that occurs once; null where one is different, and then a client of an HTTP server must not offer the tool.
 */
export function readHeaderArguments(tool: JsonText): readonly HeaderArgument[] | null {
  if (!tool.includes(KEY)) return [];
  const schema = memberText(tool, "inputSchema");
  if (schema === undefined || !schema.includes(KEY)) return [];
  const found: HeaderArgument[] = [];
  return visit(JSON.parse(schema), [], true, found) ? found : null;
}

/** False where something is annotated that must not be. */
function visit(schema: unknown, path: readonly string[], reachable: boolean, found: HeaderArgument[]): boolean {
  if (typeof schema !== "object" || schema === null) return true;
  if (path.length > MAX_DEPTH) return false;
  for (const [name, value] of Object.entries(schema)) {
    // The values of `properties` are schemas under names that the server chose, so a property may be called like the key.
    if (name === "properties" && isObject(value)) {
      for (const [property, child] of Object.entries(value))
        if (!visit(child, [...path, property], reachable, found)) return false;
    } else if (name === KEY) {
      if (!reachable || path.length === 0 || !add(schema, value, path, found)) return false;
    } else if (!VALUES.has(name) && !visit(value, [...path, name], false, found)) return false;
  }
  return true;
}

/** Keywords whose values are data and not schemas. */
const VALUES = new Set(["default", "const", "enum", "examples", "required"]);

function add(schema: object, header: unknown, path: readonly string[], found: HeaderArgument[]): boolean {
  const type = "type" in schema ? schema.type : undefined;
  if (typeof type !== "string" || !PRIMITIVE.has(type)) return false;
  if (typeof header !== "string" || !TOKEN.test(header)) return false;
  if (found.some((other) => other.header.toLowerCase() === header.toLowerCase())) return false;
  found.push({ path, header });
  return true;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
