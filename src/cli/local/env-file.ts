import { readFileSync } from "node:fs";
import { ConfigError } from "../../config/model.ts";

/**
 * The variables of a file of `NAME=value` lines. Empty lines and lines that start with `#` are skipped, `export` before a
 * name too. `$NAME` and `${NAME}` in a value stand for a variable of `env` or of an earlier line. Quotes are part of the
 * value. Problems name the line, never what it holds. @throws ConfigError
 */
export function readEnvFile(
  path: string,
  env: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string>> {
  const values: Record<string, string> = {};
  const refuse = (line: number | null, message: string, remedy: string) =>
    new ConfigError([{ place: line === null ? path : `${path}:${line}`, message, remedy }]);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    throw refuse(null, "the file cannot be read", "Check the path given with --env, and that this user may read it.");
  }
  for (const [i, line] of text
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .entries()) {
    if (/^\s*(#|$)/.test(line)) continue;
    const [, name, value = ""] = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$/.exec(line) ?? [];
    if (name === undefined)
      throw refuse(i + 1, "not NAME=value", "Write one variable per line; comments start with #.");
    values[name] = value.replace(/\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))/g, (_all, braced?: string, bare?: string) => {
      const used = braced ?? bare ?? "";
      const found = Object.hasOwn(values, used) ? values[used] : env[used];
      if (found !== undefined) return found;
      throw refuse(
        i + 1,
        `the variable ${used} is not set`,
        `Set ${used} first, in the environment or on an earlier line.`,
      );
    });
  }
  return values;
}
