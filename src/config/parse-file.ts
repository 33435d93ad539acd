import { extname } from "node:path";
import { TomlError, parse as parseToml } from "smol-toml";
import { elements, members } from "../jsonrpc/json-slice.ts";
import { ConfigError } from "./model.ts";

const MAX_DEPTH = 32;

/**
 * The file's content as plain data: JSON or TOML by the extension, else by the first character. Problems
 * name line and column and never quote the text, which may hold a secret. @throws ConfigError
 */
export function parseFile(path: string, text: string): Record<string, unknown> {
  const bare = text.replace(/^\uFEFF/, "");
  const extension = extname(path).toLowerCase();
  const isJson = extension === ".json" || (extension !== ".toml" && bare.trimStart().startsWith("{"));
  return tableIn(path, isJson ? fromJson(path, bare) : fromToml(path, bare));
}

/** The same for a text that is JSON. @throws ConfigError */
export function parseJson(place: string, text: string): Record<string, unknown> {
  return tableIn(place, fromJson(place, text.replace(/^\uFEFF/, "")));
}

function tableIn(path: string, data: unknown): Record<string, unknown> {
  if (typeof data !== "object" || data === null || Array.isArray(data)) {
    throw new ConfigError([
      { place: path, message: "does not hold an object", remedy: "Write an object of settings at the top level." },
    ]);
  }
  return data as Record<string, unknown>;
}

function fromToml(path: string, text: string): unknown {
  try {
    return parseToml(text, { unsafeKeyBehaviour: "throw", maxDepth: MAX_DEPTH });
  } catch (error) {
    const at = error instanceof TomlError ? `${path}:${error.line}:${error.column}` : path;
    throw unreadable(at, "not valid TOML", "Correct the syntax there; text needs quotes, tables are written [name].");
  }
}

function fromJson(path: string, text: string): unknown {
  let data: unknown;
  try {
    data = JSON.parse(text, (key, value: unknown) => {
      if (key === "__proto__") throw unreadable(path, "has a key named __proto__", "Remove it.");
      return value;
    });
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    // V8 quotes the text around the mistake; only the position is taken from its message.
    const message = error instanceof Error ? error.message : "";
    const position = /at position (\d+)/.exec(message)?.[1];
    throw unreadable(
      placeIn(path, text, position === undefined ? text.length : Number(position)),
      "not valid JSON",
      "Correct the syntax there: double quotes, no comments, no comma at the end.",
    );
  }
  const twice = repeatedName(text, 0, 0);
  if (twice !== null) {
    throw unreadable(placeIn(path, text, twice), "the same name a second time in one object", "Keep one of the two.");
  }
  return data;
}

/**
 * Where an object of a valid JSON text names a member again, or null. The last one would win without a word, also over a
 * restriction that was meant (RFC 8259 §4). Deeper than any setting is nobody's.
 */
function repeatedName(text: string, at: number, depth: number): number | null {
  if (depth > MAX_DEPTH) return null;
  const seen = new Set<string>();
  for (const { name, nameStart } of members(text, at)) {
    if (seen.has(name)) return nameStart;
    seen.add(name);
  }
  for (const { start } of [...members(text, at), ...elements(text, at)]) {
    const found = repeatedName(text, start, depth + 1);
    if (found !== null) return found;
  }
  return null;
}

function placeIn(path: string, text: string, offset: number): string {
  const before = text.slice(0, offset).split("\n");
  return `${path}:${before.length}:${(before.at(-1)?.length ?? 0) + 1}`;
}

function unreadable(place: string, message: string, remedy: string): ConfigError {
  return new ConfigError([{ place, message, remedy }]);
}
