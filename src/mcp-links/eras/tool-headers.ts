import { BoundedMap } from "../../core/bounded-map.ts";
import { elements, type JsonText, memberText, stringValue } from "../../jsonrpc/json-slice.ts";
import { encodeHeaderValue } from "./request-headers.ts";

/** An argument that a tool wants in a header too (`x-mcp-header`). */
export interface HeaderArgument {
  /** Names of nested properties, outermost first. */
  readonly path: readonly string[];
  /** The header without `mcp-param-`, as the server wrote it. */
  readonly header: string;
}

const ANNOTATION = "x-mcp-header";
const TYPES = ["string", "integer", "boolean"];
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** Keywords that hold a schema or an array of them; and those that hold an object of them (JSON Schema 2020-12). */
const SCHEMA_IN = new Set(
  [
    ["items", "prefixItems", "contains", "additionalProperties", "unevaluatedProperties", "unevaluatedItems"],
    ["propertyNames", "oneOf", "anyOf", "allOf", "not", "if", "then", "else"],
  ].flat(),
);
const SCHEMAS_IN = new Set(["patternProperties", "dependentSchemas", "$defs", "definitions"]);

/** A schema nested deeper is left alone: nothing sensible is, and the walk is recursive. */
const MAX_DEPTH = 64;

/** Tools with header arguments that one link remembers. */
const MAX_TOOLS = 10_000;

/**
 * The header arguments of a tool's input schema (2026-07-28, Streamable HTTP, Schema Extension), or null where an annotation
 * breaks a rule, which makes the whole tool invalid there.
 */
export function headerArgumentsOf(inputSchema: unknown): HeaderArgument[] | null {
  const found: HeaderArgument[] = [];
  const names = new Set<string>();
  return visit(inputSchema, [], found, names, 0) ? found : null;
}

type Node = Readonly<Record<string, unknown>>;

/** `path` is null where `properties` alone do not lead: nobody could say where the value is. */
function visit(
  node: unknown,
  path: string[] | null,
  found: HeaderArgument[],
  names: Set<string>,
  depth: number,
): boolean {
  if (!isObject(node) || depth > MAX_DEPTH) return true;
  if (ANNOTATION in node) {
    const { type, [ANNOTATION]: header } = node;
    if (path === null || path.length === 0 || typeof header !== "string" || !TOKEN.test(header)) return false;
    if (typeof type !== "string" || !TYPES.includes(type) || names.has(header.toLowerCase())) return false;
    names.add(header.toLowerCase());
    found.push({ path, header });
  }
  return Object.entries(node).every(([keyword, value]) => {
    if (keyword === "properties" && isObject(value)) {
      return Object.entries(value).every(([name, schema]) =>
        visit(schema, path && [...path, name], found, names, depth + 1),
      );
    }
    const inside = SCHEMA_IN.has(keyword)
      ? [value].flat()
      : SCHEMAS_IN.has(keyword) && isObject(value)
        ? Object.values(value)
        : [];
    return inside.every((schema) => visit(schema, null, found, names, depth + 1));
  });
}

function isObject(value: unknown): value is Node {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Which tools of one server want arguments in headers. Empty for nearly every server, and then it costs nothing. */
export interface ToolHeaders {
  /** Learns from a result of `tools/list`. */
  learn(result: JsonText): void;
  /** The `mcp-param-*` headers of a call, or undefined for a tool that wants none, or was never listed. */
  headersFor(params: JsonText | undefined): Record<string, string> | undefined;
}

export function createToolHeaders(): ToolHeaders {
  const known = new BoundedMap<string, readonly HeaderArgument[]>(MAX_TOOLS);

  function learn(result: JsonText): void {
    // A tool that lost its annotations has to be forgotten; where none is known, nothing is read.
    if (known.size === 0 && !result.includes(ANNOTATION)) return;
    const tools = memberText(result, "tools") ?? "[]";
    for (const { start, end } of elements(tools)) {
      const tool = tools.slice(start, end);
      const name = stringValue(memberText(tool, "name"));
      if (name === undefined) continue;
      const found = tool.includes(ANNOTATION) ? headerArgumentsOf(parsed(memberText(tool, "inputSchema"))) : null;
      if (found === null || found.length === 0) known.delete(name);
      else known.set(name, found);
    }
  }

  return {
    learn,
    headersFor(params) {
      if (known.size === 0 || params === undefined) return undefined;
      const wanted = known.peek(stringValue(memberText(params, "name")) ?? "");
      return wanted && argumentHeaders(wanted, parsed(memberText(params, "arguments")));
    },
  };
}

function argumentHeaders(wanted: readonly HeaderArgument[], args: unknown): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const { path, header } of wanted) {
    const value = path.reduce(ownProperty, args);
    const text = typeof value === "string" ? value : plainText(value);
    if (text !== undefined) headers[`mcp-param-${header.toLowerCase()}`] = encodeHeaderValue(text);
  }
  return headers;
}

/** Integers beyond the safe range have no text that both sides agree on; the specification excludes them. */
function plainText(value: unknown): string | undefined {
  return typeof value === "boolean" || Number.isSafeInteger(value) ? String(value) : undefined;
}

function ownProperty(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  return Object.getOwnPropertyDescriptor(value, name)?.value;
}

function parsed(text: JsonText | undefined): unknown {
  return text === undefined ? undefined : JSON.parse(text);
}
