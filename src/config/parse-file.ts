import { extname } from "node:path";
import { TomlError, parse as parseToml } from "smol-toml";
import { ConfigError } from "./model.ts";

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
    return parseToml(text, { unsafeKeyBehaviour: "throw", maxDepth: 32 });
  } catch (error) {
    const at = error instanceof TomlError ? `${path}:${error.line}:${error.column}` : path;
    throw unreadable(at, "not valid TOML", "Correct the syntax there; text needs quotes, tables are written [name].");
  }
}

function fromJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text, (key, value: unknown) => {
      if (key === "__proto__") throw unreadable(path, "has a key named __proto__", "Remove it.");
      return value;
    });
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    // V8 quotes the text around the mistake; only the position is taken from its message.
    const message = error instanceof Error ? error.message : "";
    const position = /at position (\d+)/.exec(message)?.[1];
    const offset = position === undefined ? text.length : Number(position);
    const before = text.slice(0, offset).split("\n");
    const at = `${path}:${before.length}:${(before.at(-1)?.length ?? 0) + 1}`;
    throw unreadable(
      at,
      "not valid JSON",
      "Correct the syntax there: double quotes, no comments, no comma at the end.",
    );
  }
}

function unreadable(place: string, message: string, remedy: string): ConfigError {
  return new ConfigError([{ place, message, remedy }]);
}
