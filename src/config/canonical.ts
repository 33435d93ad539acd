import { z } from "zod";
import type { Environment } from "./environment.ts";
import { expandText } from "./expand.ts";
import type { ConfigProblem } from "./model.ts";
import { dotted } from "./problems.ts";
import { ConfigSchema } from "./schema.ts";
import { factsOf } from "./setting.ts";
import { refuseUnsupported } from "./unsupported.ts";
import { unwrap } from "./walk.ts";
import { isTable } from "./table.ts";

/** A file's or document's settings under the names of the schema, with how they were written. */
export interface CanonicalSettings {
  readonly settings: Record<string, unknown>;
  /** The path as the author wrote it, for problems. */
  readonly writtenAs: (path: readonly PropertyKey[]) => PropertyKey[];
  /** Whether the text there came out of a variable. */
  readonly isExpanded: (path: readonly PropertyKey[]) => boolean;
  /** The agents that `gateway.agent_policies` names, in its order; there the key is the position, from 1. */
  readonly policyAgents: readonly string[];
  readonly problems: readonly ConfigProblem[];
  readonly warnings: readonly string[];
}

/** Names that other programs use for the same thing. Case and hyphens need no entry. */
const ALIASES: Readonly<Record<string, string>> = {
  mcp_servers: "servers",
  working_directory: "cwd",
  server_url: "url",
  http_url: "url",
  tracing: "opentelemetry",
};

const MCP_SECTIONS = ["gateway", "servers"];

/**
 * Brings the MCP part (`gateway`, `servers`) of parsed settings to one form: `camelCase` and `kebab-case` names become
 * the schema's, other programs' names become ours, and `${NAME}` in texts is expanded, once. What the schema does not
 * know stays, so that it is refused there. Never throws; problems never hold a value.
 */
export function canonicalize(raw: Record<string, unknown>, env: Environment): CanonicalSettings {
  const names = new Map<string, string>();
  const expanded = new Set<string>();
  const policyAgents: string[] = [];
  const problems: ConfigProblem[] = [];
  const warnings: string[] = [];

  const writtenAs = (path: readonly PropertyKey[]) =>
    path.map((part, i) => names.get(idOf(path.slice(0, i + 1))) ?? part);
  const report = (path: readonly PropertyKey[], message: string, remedy: string) =>
    problems.push({ place: dotted(writtenAs(path)), message, remedy });

  function expand(text: string, path: readonly PropertyKey[]): string {
    const result = expandText(text, env);
    if ("message" in result) {
      report(path, result.message, result.remedy);
      return text;
    }
    if (result.isExpanded) expanded.add(idOf(path));
    return result.text;
  }

  function visit(schema: z.ZodType | undefined, value: unknown, path: readonly PropertyKey[]): unknown {
    if (schema && factsOf(schema)?.verbatim) return value;
    if (typeof value === "string") return expand(value, path);
    const inner = schema && unwrap(schema);
    if (Array.isArray(value)) {
      const element = inner instanceof z.ZodArray ? (inner.element as z.ZodType) : undefined;
      return value.map((item: unknown, i) => visit(element, item, [...path, i]));
    }
    if (!isTable(value)) return value;
    if (inner instanceof z.ZodRecord) return visitRecord(inner.valueType as z.ZodType, value, path);
    const shape = inner && shapeOf(inner);
    return shape ? visitTable(shape, value, path) : value;
  }

  function visitRecord(element: z.ZodType, value: Record<string, unknown>, path: readonly PropertyKey[]) {
    const isPolicies = path.join(".") === "gateway.agent_policies";
    return tableOf(
      Object.entries(value).map(([key, item], i) => {
        // Agent ids are secrets: they are expanded like values, and a position stands for them in every problem.
        if (isPolicies) policyAgents.push(expand(key, [...path, i + 1]));
        const name = isPolicies ? String(i + 1) : key;
        return [name, visit(element, item, [...path, name])];
      }),
    );
  }

  function visitTable(shape: Record<string, z.ZodType>, value: Record<string, unknown>, path: readonly PropertyKey[]) {
    const entries = new Map<string, unknown>();
    for (const [key, item] of Object.entries(value)) {
      const name = nameIn(shape, key);
      const at = [...path, name];
      if (entries.has(name)) {
        problems.push({
          place: dotted([...writtenAs(path), key]),
          message: `the same setting as ${String(writtenAs(at).at(-1))}`,
          remedy: "Remove one of them.",
        });
        continue;
      }
      if (name !== key) names.set(idOf(at), key);
      entries.set(name, visit(Object.hasOwn(shape, name) ? shape[name] : undefined, item, at));
    }
    return tableOf([...entries]);
  }

  const top: Record<string, z.ZodType> = ConfigSchema.shape;
  const known = Object.fromEntries(MCP_SECTIONS.map((name) => [name, top[name] as z.ZodType]));
  const entries: [string, unknown][] = [];
  const mcp: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(raw)) {
    if (Object.hasOwn(known, nameIn(known, key))) mcp[key] = item;
    else entries.push([key, item]);
  }
  const settings = tableOf([...entries, ...Object.entries(visitTable(known, mcp, []))]);
  refuseUnsupported(settings, { report, warn: (warning) => warnings.push(warning), writtenAs });
  return {
    settings,
    writtenAs,
    isExpanded: (path) => expanded.has(idOf(path)),
    policyAgents,
    problems,
    warnings,
  };
}

/** A key of `shape` that the written key means, else the written key. */
function nameIn(shape: Record<string, unknown>, key: string): string {
  if (Object.hasOwn(shape, key) || key.length > 64) return key;
  const snake = key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`).replaceAll("-", "_");
  const name = (Object.hasOwn(ALIASES, snake) ? ALIASES[snake] : undefined) ?? snake;
  return Object.hasOwn(shape, name) ? name : key;
}

/** The fields of a table, or of all tables that may stand there. */
function shapeOf(schema: z.ZodType): Record<string, z.ZodType> | null {
  if (schema instanceof z.ZodObject) return schema.shape as Record<string, z.ZodType>;
  if (!(schema instanceof z.ZodUnion)) return null;
  const shapes = schema.options.map((option) => shapeOf(unwrap(option as z.ZodType)) ?? {});
  return Object.assign({}, ...shapes) as Record<string, z.ZodType>;
}

/** As written, so also with names that mean something to JavaScript. */
function tableOf(entries: readonly (readonly [string, unknown])[]): Record<string, unknown> {
  return Object.fromEntries(entries);
}

function idOf(path: readonly PropertyKey[]): string {
  return path.map(String).join("\0");
}
