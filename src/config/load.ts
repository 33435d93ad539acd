import { type CanonicalSettings, canonicalize } from "./canonical.ts";
import { type Environment, type Overlay, readEnvironment } from "./environment.ts";
import { aliasWarnings } from "./identity.ts";
import { type Config, ConfigError, type ConfigProblem } from "./model.ts";
import { parseFile } from "./parse-file.ts";
import { dotted, toProblems } from "./problems.ts";
import { resolveConfig } from "./resolve.ts";
import { type ConfigInput, ConfigSchema } from "./schema.ts";
import { checkStdinIdentity, parseStdin, STDIN, takeCustomSchemas } from "./stdin-format.ts";
import { isTable } from "./table.ts";

export { type Config, ConfigError } from "./model.ts";

export interface LoadOptions {
  /** Path of the configuration file; without it only the environment counts. */
  readonly file?: string | undefined;
  /** The JSON document that came on standard input, instead of a file. */
  readonly stdin?: string | undefined;
  readonly env: Environment;
  /** What the command line says, by setting path (`server.port`); it wins over the environment. */
  readonly options?: Overlay["values"] | undefined;
  /** Reads the configuration file and the files of secrets. @throws what node:fs throws */
  readonly readFile: (path: string) => string;
}

const MAX_FILE_LENGTH = 1024 * 1024;

/**
 * The gateway's settings: defaults, then the file or document, then the environment, then the command line. The result
 * is frozen. Writes nothing. @throws ConfigError with every problem at once, and nothing else, whatever the input
 */
export function loadConfig({ file, stdin, env, readFile, options = new Map() }: LoadOptions): Config {
  const problems: ConfigProblem[] = [];
  const warnings: string[] = [];
  const raw =
    stdin === undefined
      ? file === undefined
        ? {}
        : parseFile(file, readConfigFile(file, readFile))
      : parseStdin(checkLength(STDIN, stdin), problems);
  takeCustomSchemas(raw, problems);
  const canonical = canonicalize(raw, env);
  problems.push(...canonical.problems);
  const fromEnv = readEnvironment(env, (path, place) => readSecretFile(path, place, readFile, problems));
  problems.push(...fromEnv.problems);
  const overlay = { ...fromEnv, values: new Map([...fromEnv.values, ...options]) };
  const placeOf = placeNamer(overlay, canonical);
  const written = (field: string) => dotted(canonical.writtenAs(["gateway", field]));
  if (stdin !== undefined) checkStdinIdentity(canonical.settings, written, problems);
  warnings.push(...fromEnv.warnings, ...canonical.warnings);
  warnings.push(...aliasWarnings(canonical.settings, overlay, written));

  const merged = merge(canonical.settings, overlay);
  const { input, refused } = parseAll(merged, placeOf, problems);
  const config =
    input &&
    resolveConfig(input, stdin === undefined ? (file ?? null) : null, {
      env,
      readFile,
      placeOf,
      isRefused: (path) => refused.has(placeOf(path)),
      report: (problem) => {
        if (!refused.has(problem.place)) problems.push(problem);
      },
      warn: (warning) => warnings.push(warning),
      isInFile: (path) => valueAt(canonical.settings, path) !== undefined,
      isExpanded: canonical.isExpanded,
      policyAgents: canonical.policyAgents,
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
  return checkLength(file, text);
}

function checkLength(place: string, text: string): string {
  if (text.length <= MAX_FILE_LENGTH) return text;
  const remedy = "Check that this is the configuration.";
  throw new ConfigError([{ place, message: "larger than 1 MiB", remedy }]);
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

/** What the environment and the command line say wins over the file, setting by setting. */
function merge(raw: Record<string, unknown>, overlay: Overlay): Record<string, unknown> {
  const merged = { ...raw };
  for (const [path, { value }] of overlay.values) setAt(merged, path.split("."), value);
  useGatewayPort(merged);
  return merged;
}

/** Tables on the way are copied, never changed. What is no table is a problem of the file; the schema reports it. */
function setAt(table: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [head = "", ...rest] = path;
  if (rest.length === 0) {
    table[head] = value;
    return;
  }
  const before = table[head] ?? {};
  if (!isTable(before)) return;
  const copy = { ...before };
  table[head] = copy;
  setAt(copy, rest, value);
}

/** `gateway.port` is where to listen unless `server.port` says so. A wrong one is reported as what it is. */
function useGatewayPort(merged: Record<string, unknown>): void {
  if (valueAt(merged, ["server", "port"]) !== undefined) return;
  const port = valueAt(merged, ["gateway", "port"]);
  const number = typeof port === "string" && /^\d{1,5}$/.test(port) ? Number(port) : port;
  if (typeof number === "number" && Number.isInteger(number) && number >= 1 && number <= 65_535) {
    setAt(merged, ["server", "port"], number);
  }
}

function placeNamer(overlay: Overlay, { writtenAs }: CanonicalSettings): (path: readonly PropertyKey[]) => string {
  return (path) => {
    for (let length = path.length; length > 0; length--) {
      const found = overlay.values.get(path.slice(0, length).join("."));
      if (found) return found.variable;
    }
    return path.length === 0 ? "(top level)" : dotted(writtenAs(path));
  };
}

function valueAt(from: unknown, path: readonly PropertyKey[]): unknown {
  let at = from;
  for (const part of path) {
    if (!isTable(at) || !Object.hasOwn(at, part)) return undefined;
    at = at[String(part)];
  }
  return at;
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
