import { type Environment, type Overlay, readEnvironment } from "./environment.ts";
import { type Config, ConfigError, type ConfigProblem } from "./model.ts";
import { parseFile } from "./parse-file.ts";
import { dotted, toProblems } from "./problems.ts";
import { resolveConfig } from "./resolve.ts";
import { type ConfigInput, ConfigSchema } from "./schema.ts";

export { type Config, ConfigError } from "./model.ts";

export interface LoadOptions {
  /** Path of the configuration file; without it only the environment counts. */
  readonly file?: string | undefined;
  readonly env: Environment;
  /** Reads the configuration file and the files of secrets. @throws what node:fs throws */
  readonly readFile: (path: string) => string;
}

const MAX_FILE_LENGTH = 1024 * 1024;

/**
 * The gateway's settings: defaults, then the file, then the environment. The result is frozen. Writes
 * nothing. @throws ConfigError with every problem at once, and nothing else, whatever the input
 */
export function loadConfig({ file, env, readFile }: LoadOptions): Config {
  const problems: ConfigProblem[] = [];
  const warnings: string[] = [];
  const raw = file === undefined ? {} : parseFile(file, readConfigFile(file, readFile));
  const overlay = readEnvironment(env, (path, place) => readSecretFile(path, place, readFile, problems));
  problems.push(...overlay.problems);
  warnings.push(...overlay.warnings);
  const merged = merge(raw, overlay);
  const placeOf = placeNamer(overlay);

  const { input, refused } = parseAll(merged, placeOf, problems);
  const config =
    input &&
    resolveConfig(input, file ?? null, {
      env,
      readFile,
      placeOf,
      isRefused: (path) => refused.has(placeOf(path)),
      report: (problem) => {
        if (!refused.has(problem.place)) problems.push(problem);
      },
      warn: (warning) => warnings.push(warning),
      credentialNames: keysOf(merged["credentials"]),
    });
  if (problems.length > 0 || !config) throw new ConfigError(unique(problems));
  return deepFreeze({ ...config, warnings });
}

function readConfigFile(file: string, readFile: (path: string) => string): string {
  const refuse = (message: string, remedy: string) => new ConfigError([{ place: file, message, remedy }]);
  let text: string;
  try {
    text = readFile(file);
  } catch (error) {
    const missing = error instanceof Error && "code" in error && error.code === "ENOENT";
    throw missing
      ? refuse("the file does not exist", "Check the path given with --config or BIFROST_CONFIG.")
      : refuse("the file cannot be read", "Check that it is a file and that this user may read it.");
  }
  if (text.length > MAX_FILE_LENGTH) throw refuse("larger than 1 MiB", "Check that this is the configuration file.");
  return text;
}

function readSecretFile(
  path: string,
  place: string,
  readFile: (path: string) => string,
  problems: ConfigProblem[],
): string | null {
  try {
    const text = readFile(path).replace(/\r?\n$/, "");
    if (text !== "") return text;
    problems.push({ place, message: "the file is empty", remedy: "Put the secret into it, on one line." });
  } catch {
    const remedy = "Check the path, and that the gateway's user may read the file.";
    problems.push({ place, message: "the file cannot be read", remedy });
  }
  return null;
}

/** The environment wins over the file, setting by setting. */
function merge(raw: Record<string, unknown>, overlay: Overlay): Record<string, unknown> {
  const merged = { ...raw };
  for (const [path, { value }] of overlay.values) {
    const [section = "", field] = path.split(".");
    if (field === undefined) merged[section] = value;
    else if (merged[section] === undefined) merged[section] = { [field]: value };
    else if (isTable(merged[section])) merged[section] = { ...merged[section], [field]: value };
    // Anything else is a problem of the file; the schema reports it.
  }
  return merged;
}

function placeNamer(overlay: Overlay): (path: readonly PropertyKey[]) => string {
  return (path) => {
    const variable = overlay.values.get(path.slice(0, 2).join(".")) ?? overlay.values.get(String(path[0]));
    return variable?.variable ?? (path.length === 0 ? "(top level)" : dotted(path));
  };
}

/**
 * Parses, and on failure parses again without what was refused, so that the checks over several settings
 * run too and all problems come out together.
 */
function parseAll(
  merged: Record<string, unknown>,
  placeOf: (path: readonly PropertyKey[]) => string,
  problems: ConfigProblem[],
): { input: ConfigInput | null; refused: ReadonlySet<string> } {
  const refused = new Set<string>();
  const first = ConfigSchema.safeParse(merged);
  if (first.success) return { input: first.data, refused };
  problems.push(...toProblems(ConfigSchema, first.error, placeOf));
  const rest = structuredClone(merged);
  for (const issue of first.error.issues) {
    refused.add(placeOf(issue.path));
    if (issue.code !== "unrecognized_keys") removeAt(rest, issue.path);
    else for (const key of issue.keys) removeAt(rest, [...issue.path, key]);
  }
  const second = ConfigSchema.safeParse(rest);
  if (second.success) return { input: second.data, refused };
  // An entry that lacks one of its parts has no meaning: it goes whole.
  for (const { path } of second.error.issues) removeAt(rest, path.slice(0, 2));
  const third = ConfigSchema.safeParse(rest);
  return { input: third.success ? third.data : null, refused };
}

/** Removes the value at a path; inside a list, the whole list. */
function removeAt(from: unknown, path: readonly PropertyKey[]): void {
  const [head, ...rest] = path;
  if (head === undefined || !isTable(from)) return;
  if (rest.length === 0) delete from[String(head)];
  else if (Array.isArray(from[String(head)])) delete from[String(head)];
  else removeAt(from[String(head)], rest);
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function keysOf(value: unknown): string[] {
  return isTable(value) ? Object.keys(value) : [];
}

function unique(problems: readonly ConfigProblem[]): ConfigProblem[] {
  const seen = new Set<string>();
  return problems.filter(({ place, message }) => {
    const key = `${place}\n${message}`;
    return !seen.has(key) && seen.add(key);
  });
}

function deepFreeze<T>(value: T): T {
  // A view of bytes cannot be frozen.
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return value;
  for (const part of Object.values(value)) deepFreeze(part);
  return Object.freeze(value);
}
