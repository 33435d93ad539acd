import { join, resolve as absolute } from "node:path";
import { parseMasterKey } from "../vault/keyring.ts";
import { weaknessOf } from "./master-key.ts";
import { inheritedEnvironment } from "./inherited-environment.ts";
import type { Config } from "./model.ts";
import { resolveDeclared } from "./resolve-declared.ts";
import { isLoopback, resolveGateway } from "./resolve-gateway.ts";
import { resolveMcpServers } from "./resolve-mcp-servers.ts";
import type { ConfigInput } from "./schema.ts";
import { type Sources, readSecret } from "./secret-source.ts";

/** Resolves secrets, checks what several settings say together, and maps to the program's names and units. */
export function resolveConfig(input: ConfigInput, file: string | null, sources: Sources): Omit<Config, "warnings"> {
  const dataDir = absolute(input.data_dir);
  const { server, auth, keys, limits } = input;
  checkTogether(input, sources);
  const gateway = resolveGateway(input, sources);
  const declared = resolveDeclared(input, sources);
  return {
    mode: input.mode,
    dataDir,
    file,
    server: {
      host: server.host,
      port: server.port,
      publicUrl: server.public_url ?? null,
      trustedProxies: server.trusted_proxies,
      corsOrigins: server.cors_origins,
      shutdownTimeoutMs: server.shutdown_timeout,
    },
    database: resolveDatabase(input, dataDir, sources),
    redisUrl: resolveRedis(input, sources),
    encryption: { keys: resolveKeys(input, sources), keyFile: join(dataDir, "encryption.key") },
    auth: {
      tokenTtlMs: auth.token_ttl,
      maxTokenTtlMs: auth.max_token_ttl,
      maxSessionAgeMs: auth.max_session_age,
      setupToken: resolveSetupToken(input, sources),
    },
    keys: {
      maxTtlMs: keys.max_ttl,
      maxRateLimit: keys.max_rate_limit,
      memberMaxTtlMs: keys.member_max_ttl,
      memberMaxRateLimit: keys.member_max_rate_limit,
      mcpMaxTtlMs: keys.mcp_max_ttl,
      mcpMaxRateLimit: keys.mcp_max_rate_limit,
      rotationGraceMs: keys.rotation_grace,
    },
    limits: {
      redisDown: limits.redis_down,
      redisTimeoutMs: limits.redis_timeout,
      authFailuresPerMinute: limits.auth_failures_per_minute,
    },
    log: input.log,
    metrics: input.metrics,
    mcp: input.mcp,
    retention: { keysMs: input.retention.keys, sessionsMs: input.retention.sessions },
    gateway,
    services: declared.services,
    inheritedEnvironment: inheritedEnvironment(sources.env),
    ...resolveMcpServers(input, gateway, declared.credentials, sources),
  };
}

function resolveDatabase(input: ConfigInput, dataDir: string, sources: Sources): Config["database"] {
  const path = ["database", "url"];
  const fallback = { dialect: "sqlite", path: join(dataDir, "bifrost.db") } as const;
  if (input.database.url === undefined) return fallback;
  const url = readSecret(input.database.url, path, sources);
  if (url === null) return fallback;
  const fail = (message: string, remedy: string): typeof fallback => {
    sources.report({ place: sources.placeOf(path), message, remedy });
    return fallback;
  };

  if (url.startsWith("sqlite:")) {
    const location = url.slice("sqlite:".length).replace(/^\/\/(?=\/)/, "");
    if (location === "" || location.startsWith("//")) return fail("names no file", 'Write "sqlite:./data/bifrost.db".');
    if (location !== ":memory:") return { dialect: "sqlite", path: absolute(location) };
    return input.mode === "production"
      ? fail("an in-memory database loses everything at each stop", 'Write "sqlite:PATH" or "postgres://…".')
      : { dialect: "sqlite", path: location };
  }
  if (/^postgres(ql)?:\/\//.test(url) && URL.canParse(url)) {
    return { dialect: "postgres", url, poolSize: input.database.pool_size };
  }
  return fail(
    "not a database address",
    'Write "sqlite:./data/bifrost.db" or "postgres://user:password@host:5432/database" (special characters of the password percent-encoded).',
  );
}

function resolveRedis(input: ConfigInput, sources: Sources): string | null {
  if (input.redis_url === undefined) return null;
  const url = readSecret(input.redis_url, ["redis_url"], sources);
  if (url === null) return null;
  if (/^rediss?:\/\//.test(url) && URL.canParse(url)) return url;
  sources.report({
    place: sources.placeOf(["redis_url"]),
    message: "not a Redis address",
    remedy: 'Write "redis://[user:password@]host:6379[/0]", or "rediss://…" for TLS.',
  });
  return null;
}

function resolveKeys(input: ConfigInput, sources: Sources): Buffer[] {
  const given = [
    ...(input.encryption_key === undefined ? [] : [{ source: input.encryption_key, path: ["encryption_key"] }]),
    ...input.previous_encryption_keys.map((source, i) => ({ source, path: ["previous_encryption_keys", String(i)] })),
  ];
  if (input.encryption_key === undefined) reportMissingKey(input, sources);
  const keys: Buffer[] = [];
  for (const { source, path } of given) {
    const text = readSecret(source, path, sources);
    if (text === null) continue;
    const key = parseMasterKey(text);
    const weakness = key ? weaknessOf(key) : "not 32 bytes in hex or base64";
    const message = weakness ?? (key && keys.some((other) => other.equals(key)) ? "given twice" : null);
    if (message !== null) {
      sources.report({
        place: sources.placeOf(path),
        message,
        remedy: "Write 64 hex digits (or base64 of 32 random bytes), such as the output of: openssl rand -hex 32",
      });
    } else if (key) keys.push(key);
  }
  return keys;
}

function reportMissingKey(input: ConfigInput, sources: Sources): void {
  const why =
    input.mode === "production"
      ? "missing: production needs an explicit encryption key"
      : input.redis_url !== undefined
        ? "missing: several instances must share one encryption key"
        : input.previous_encryption_keys.length > 0
          ? "missing, though earlier keys are given"
          : null;
  if (why === null) return;
  sources.report({
    place: "encryption_key",
    message: why,
    remedy: "Set BIFROST_ENCRYPTION_KEY (or _FILE) to the output of: openssl rand -hex 32",
  });
}

function resolveSetupToken(input: ConfigInput, sources: Sources): string | null {
  if (input.auth.setup_token === undefined) return null;
  const path = ["auth", "setup_token"];
  const token = readSecret(input.auth.setup_token, path, sources);
  if (token !== null && (token.length < 32 || new Set(token).size < 10)) {
    sources.report({
      place: sources.placeOf(path),
      message: "too easy to guess: whoever knows it becomes the owner",
      remedy: "Write at least 32 random characters, such as the output of: openssl rand -hex 32",
    });
  }
  return token;
}

/** What no single setting can see. */
function checkTogether(input: ConfigInput, { placeOf, isRefused, report, warn }: Sources): void {
  const above = (path: readonly [string, string], limit: readonly [string, string], value: number, max: number) => {
    if (value <= max || isRefused(limit)) return;
    report({
      place: placeOf(path),
      message: `above ${limit.join(".")}`,
      remedy: `Lower it, or raise ${limit.join(".")}.`,
    });
  };
  const { auth, keys, server } = input;
  above(["auth", "token_ttl"], ["auth", "max_token_ttl"], auth.token_ttl, auth.max_token_ttl);
  above(["auth", "max_token_ttl"], ["auth", "max_session_age"], auth.max_token_ttl, auth.max_session_age);
  above(["keys", "member_max_ttl"], ["keys", "max_ttl"], keys.member_max_ttl, keys.max_ttl);
  above(["keys", "mcp_max_ttl"], ["keys", "max_ttl"], keys.mcp_max_ttl, keys.max_ttl);
  above(["keys", "member_max_rate_limit"], ["keys", "max_rate_limit"], keys.member_max_rate_limit, keys.max_rate_limit);
  above(["keys", "mcp_max_rate_limit"], ["keys", "max_rate_limit"], keys.mcp_max_rate_limit, keys.max_rate_limit);
  if (!isLoopback(server.host)) {
    if (input.mode === "development")
      warn(`The gateway can be reached from other machines in development mode (server.host).`);
    if (!server.public_url?.startsWith("https:")) {
      warn("Keys travel in clear text unless a proxy in front ends TLS; set server.public_url to its https address.");
    }
  }
  if (input.metrics.public && !input.metrics.enabled) warn("metrics.public has no effect: metrics.enabled is false.");
}
