import { z } from "zod";
import type { ConfigProblem } from "./model.ts";
import { ConfigSchema } from "./schema.ts";
import { suggest } from "./suggest.ts";
import { type Leaf, leavesOf, unwrap } from "./walk.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** Variables with our prefix that are not settings: the command line reads them. */
const CLI_VARIABLES: readonly string[] = [
  "BIFROST_CONFIG",
  "BIFROST_URL",
  "BIFROST_TOKEN",
  "BIFROST_API_KEY",
  "BIFROST_ORG",
  "BIFROST_CREDENTIALS",
];

/** Variables of earlier or similar gateways that would be believed to work. */
const GONE: Readonly<Record<string, string>> = {
  BIFROST_STATIC_API_KEY:
    "There is no shared API key: run `bifrost setup`, then give each user and service account its own.",
  BIFROST_TRACK_TOKENS: "Token tracking is not part of this release: remove the variable.",
  BIFROST_USAGE_RETENTION_DAYS: "Set BIFROST_RETENTION_KEYS to a duration such as 90d.",
  BIFROST_LOG_FORMAT: "Logs are JSON lines: remove the variable.",
  BIFROST_ADMIN_API_KEY:
    "The first owner is made by `bifrost setup`; keys are made by the gateway. Remove the variable.",
  BIFROST_ADMIN_NAME: "The first owner is made by `bifrost setup`. Remove the variable.",
  BIFROST_ADMIN_EMAIL: "The first owner is made by `bifrost setup`. Remove the variable.",
};

const SIGNING_KEY_WARNING =
  "BIFROST_SIGNING_KEY has no effect: session tokens are random and kept as keyed hashes under BIFROST_ENCRYPTION_KEY. Remove it.";

export interface Overlay {
  /** Setting path (joined by dots) to the variable that set it and its value. */
  readonly values: ReadonlyMap<string, { readonly variable: string; readonly value: unknown }>;
  readonly problems: readonly ConfigProblem[];
  readonly warnings: readonly string[];
}

/**
 * What the environment says about the settings. An empty variable counts as not set, since compose files
 * cannot leave one out. Unknown `BIFROST_*` variables are problems: a typo must not be silently ignored.
 *
 * @param readSecret content of the file that a `<variable>_FILE` names; returns null after reporting a problem
 */
export function readEnvironment(env: Environment, readSecret: (path: string, place: string) => string | null): Overlay {
  const leaves = leavesOf(ConfigSchema).filter((leaf) => leaf.facts.env !== undefined);
  const values = new Map<string, { variable: string; value: unknown }>();
  const problems: ConfigProblem[] = [];

  for (const leaf of leaves) {
    const found = givenVariables(leaf, env, readSecret);
    const [first, ...others] = found;
    if (!first) continue;
    const different = others.find((other) => other.text !== first.text);
    if (different) {
      problems.push({
        place: different.variable,
        message: `contradicts ${first.variable}: both set ${leaf.path.join(".")}`,
        remedy: `Remove one of them; ${leaf.facts.env?.[0]} is the current name.`,
      });
    }
    values.set(leaf.path.join("."), { variable: first.variable, value: toValue(leaf, first.text) });
  }
  addRedisParts(env, values, problems);
  checkDatabaseKind(env, values, problems);
  problems.push(...unknownVariables(env, leaves));
  const warnings = env["BIFROST_SIGNING_KEY"] ? [SIGNING_KEY_WARNING] : [];
  return { values, problems, warnings };
}

function givenVariables(leaf: Leaf, env: Environment, readSecret: (path: string, place: string) => string | null) {
  return (leaf.facts.env ?? []).flatMap((variable) => {
    const text = env[variable];
    const file = leaf.facts.secret ? env[`${variable}_FILE`] : undefined;
    const content = file ? readSecret(file, `${variable}_FILE`) : null;
    return [
      ...(text ? [{ variable, text }] : []),
      ...(content === null ? [] : [{ variable: `${variable}_FILE`, text: content }]),
    ];
  });
}

/** A variable's text as the value that the schema expects. What cannot be one stays text: the schema refuses it. */
function toValue(leaf: Leaf, text: string): unknown {
  const inner = unwrap(leaf.schema);
  if (inner instanceof z.ZodNumber) return /^-?\d{1,15}$/.test(text.trim()) ? Number(text) : text;
  if (inner instanceof z.ZodBoolean) {
    const word = text.trim().toLowerCase();
    return ["1", "true", "yes", "on"].includes(word) ? true : ["0", "false", "no", "off"].includes(word) ? false : text;
  }
  if (inner instanceof z.ZodArray) {
    const items = text.split(",").map((item) => item.trim());
    return items.filter((item) => item !== "");
  }
  return text;
}

/** `REDIS_ADDR` and its companions, as other tools name them. */
function addRedisParts(
  env: Environment,
  values: Map<string, { variable: string; value: unknown }>,
  problems: ConfigProblem[],
): void {
  const address = env["REDIS_ADDR"];
  if (!address || values.has("redis_url")) return;
  const database = env["REDIS_DB"] ?? "";
  if (!/^[A-Za-z0-9.-]+:\d{1,5}$/.test(address) || !/^\d{0,3}$/.test(database)) {
    problems.push({
      place: "REDIS_ADDR",
      message: "not host:port",
      remedy: 'Write "host:6379", or set BIFROST_REDIS_URL to "redis://…" instead.',
    });
    return;
  }
  const password = env["REDIS_PASSWORD"] ? `:${encodeURIComponent(env["REDIS_PASSWORD"])}@` : "";
  values.set("redis_url", { variable: "REDIS_ADDR", value: `redis://${password}${address}/${database || "0"}` });
}

/** `BIFROST_DB` names the engine: it must agree with the address, so that data never lands in the wrong place. */
function checkDatabaseKind(
  env: Environment,
  values: Map<string, { variable: string; value: unknown }>,
  problems: ConfigProblem[],
): void {
  const kind = env["BIFROST_DB"];
  if (!kind) return;
  const url = values.get("database.url");
  if (kind.includes(":") && !url) {
    values.set("database.url", { variable: "BIFROST_DB", value: kind });
    return;
  }
  const isPostgres = typeof url?.value === "string" && /^postgres(ql)?:/.test(url.value);
  if (kind === "postgres" && !isPostgres) {
    problems.push({
      place: "BIFROST_DB",
      message: "asks for PostgreSQL, but no PostgreSQL address is given",
      remedy: 'Set BIFROST_DATABASE_URL to "postgres://user:password@host:5432/database".',
    });
  } else if (kind === "sqlite" && isPostgres) {
    problems.push({
      place: "BIFROST_DB",
      message: `asks for SQLite, but ${url?.variable} names PostgreSQL`,
      remedy: "Remove one of them.",
    });
  } else if (kind !== "postgres" && kind !== "sqlite") {
    problems.push({
      place: "BIFROST_DB",
      message: "not a database that is supported",
      remedy: 'Write "sqlite" or "postgres", or set BIFROST_DATABASE_URL alone.',
    });
  }
}

function unknownVariables(env: Environment, leaves: readonly Leaf[]): ConfigProblem[] {
  const known = leaves.flatMap((leaf) =>
    (leaf.facts.env ?? []).flatMap((name) => (leaf.facts.secret ? [name, `${name}_FILE`] : [name])),
  );
  const allowed = new Set([...known, ...CLI_VARIABLES, "BIFROST_DB", "BIFROST_SIGNING_KEY"]);
  return Object.keys(env)
    .filter((name) => name.startsWith("BIFROST_") && !allowed.has(name) && env[name] !== undefined)
    .sort()
    .map((name) => {
      const place = /^\w{1,64}$/.test(name) ? name : "BIFROST_… (unprintable name)";
      const gone = GONE[name];
      if (gone !== undefined) return { place, message: "no longer has an effect", remedy: gone };
      const near = suggest(name, known);
      return {
        place,
        message: "unknown variable",
        remedy: near === null ? "Remove it; docs/config.md lists all variables." : `Did you mean ${near}?`,
      };
    });
}
