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

const OURS = /^(BIFROST_|MCP_GATEWAY_)/;

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

const NO_GUARDS = "Guards for information flow are not supported: remove it once nothing relies on the protection.";
const NO_TLS = "The gateway speaks plain HTTP: put it behind a proxy that ends TLS, and remove the variable.";
const NO_DELEGATION = "Delegated identities are not supported: remove the variable.";

/** `MCP_GATEWAY_*` variables of a similar gateway that protect something. Set to nothing or to false they ask for nothing. */
const UNSUPPORTED: Readonly<Record<string, string>> = {
  MCP_GATEWAY_WASM_GUARDS_DIR: NO_GUARDS,
  MCP_GATEWAY_GUARDS_MODE: NO_GUARDS,
  MCP_GATEWAY_GUARDS_SINK_SERVER_IDS: NO_GUARDS,
  MCP_GATEWAY_GUARD_POLICY_JSON: NO_GUARDS,
  MCP_GATEWAY_ALLOWONLY_SCOPE_PUBLIC: NO_GUARDS,
  MCP_GATEWAY_ALLOWONLY_SCOPE_OWNER: NO_GUARDS,
  MCP_GATEWAY_ALLOWONLY_SCOPE_REPO: NO_GUARDS,
  MCP_GATEWAY_ALLOWONLY_MIN_INTEGRITY: NO_GUARDS,
  MCP_GATEWAY_FORCE_PUBLIC_REPOS: NO_GUARDS,
  MCP_GATEWAY_URL_DOMAIN_AUDIT: NO_GUARDS,
  MCP_GATEWAY_TLS_CERT: NO_TLS,
  MCP_GATEWAY_TLS_KEY: NO_TLS,
  MCP_GATEWAY_CA_CERT: NO_TLS,
  MCP_GATEWAY_HMAC_SECRET: "Signed requests are not supported: use virtual keys, and remove the variable.",
  MCP_GATEWAY_DELEGATION_ENVELOPE: NO_DELEGATION,
  MCP_GATEWAY_DELEGATION_CONTROL_KEY: NO_DELEGATION,
  MCP_GATEWAY_DELEGATION_STATE_PATH: NO_DELEGATION,
  MCP_GATEWAY_DELEGATION_GENERATION: NO_DELEGATION,
  MCP_GATEWAY_DELEGATION_CONTROL_LISTEN: NO_DELEGATION,
};

/** Of the same gateway, and read by its scripts or meant to tune it: harmless here. */
const WITHOUT_EFFECT: readonly string[] = ["MCP_GATEWAY_WASM_CACHE_DIR", "MCP_GATEWAY_HOST", "MCP_GATEWAY_MODE"];

const SIGNING_KEY_WARNING =
  "BIFROST_SIGNING_KEY has no effect: session tokens are random and kept as keyed hashes under BIFROST_ENCRYPTION_KEY. Remove it.";

export interface Overlay {
  /** Setting path (joined by dots) to the variable or command-line option that set it and its value. */
  readonly values: ReadonlyMap<string, { readonly variable: string; readonly value: unknown }>;
  readonly problems: readonly ConfigProblem[];
  readonly warnings: readonly string[];
}

/**
 * What the environment says about the settings. An empty variable counts as not set, since compose files
 * cannot leave one out, but for the few settings where empty means none. Unknown `BIFROST_*` and `MCP_GATEWAY_*`
 * variables are problems: a typo must not be silently ignored.
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
  const warnings = [
    ...(env["BIFROST_SIGNING_KEY"] ? [SIGNING_KEY_WARNING] : []),
    ...WITHOUT_EFFECT.filter((name) => env[name]).map((name) => `${name} has no effect: remove it.`),
  ];
  return { values, problems, warnings };
}

function givenVariables(leaf: Leaf, env: Environment, readSecret: (path: string, place: string) => string | null) {
  return (leaf.facts.env ?? []).flatMap((variable) => {
    const text = env[variable];
    const file = leaf.facts.secret ? env[`${variable}_FILE`] : undefined;
    const content = file ? readSecret(file, `${variable}_FILE`) : null;
    return [
      ...(text || (text === "" && leaf.facts.emptyCounts) ? [{ variable, text }] : []),
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
  if (inner instanceof z.ZodRecord) return toTable(text);
  return text;
}

/** `name=value,name=value`, percent-encoded, as OTEL_EXPORTER_OTLP_HEADERS is; another text stays as it is. */
function toTable(text: string): unknown {
  try {
    const pairs = text.split(",").filter((pair) => pair.trim() !== "");
    return Object.fromEntries(
      pairs.map((pair) => {
        const [, name, value] = /^\s*([^=\s]+)\s*=\s*(.*?)\s*$/.exec(pair) ?? [];
        if (name === undefined || value === undefined) throw new Error("not a pair");
        return [name, decodeURIComponent(value)];
      }),
    );
  } catch {
    return text;
  }
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
  const allowed = new Set([...known, ...CLI_VARIABLES, ...WITHOUT_EFFECT, "BIFROST_DB", "BIFROST_SIGNING_KEY"]);
  return Object.keys(env)
    .filter((name) => OURS.test(name) && !allowed.has(name) && env[name] !== undefined)
    .filter((name) => !Object.hasOwn(UNSUPPORTED, name) || !/^(|0|false|no|off)$/i.test(env[name] ?? ""))
    .sort()
    .map((name) => {
      const place = /^\w{1,64}$/.test(name) ? name : `${OURS.exec(name)?.[0]}… (unprintable name)`;
      const gone = Object.hasOwn(GONE, name) ? GONE[name] : undefined;
      if (gone !== undefined) return { place, message: "no longer has an effect", remedy: gone };
      const unsupported = Object.hasOwn(UNSUPPORTED, name) ? UNSUPPORTED[name] : undefined;
      if (unsupported !== undefined) return { place, message: "not supported by this release", remedy: unsupported };
      const near = suggest(name, known);
      return {
        place,
        message: "unknown variable",
        remedy: near === null ? "Remove it; docs/config.md lists all variables." : `Did you mean ${near}?`,
      };
    });
}
