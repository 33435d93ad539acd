import { isIP } from "node:net";
import { z } from "zod";
import { isOrigin } from "../core/upstream-address.ts";
import { GatewaySchema } from "./gateway-schema.ts";
import { McpServerSchema, ServerName } from "./mcp-server-schema.ts";
import { CredentialSchema, Id, ServiceSchema } from "./service-schema.ts";
import { DURATION_TAKES, Duration, HOST_NAME, SecretText, isAddressBlock, setting } from "./setting.ts";

const duration = (fallback: string, env: string | readonly string[], description: string, risk?: string) =>
  setting(Duration.prefault(fallback), {
    takes: DURATION_TAKES,
    description,
    env: typeof env === "string" ? [env] : env,
    ...(risk ? { risk } : {}),
  });

const count = (fallback: number, max: number, env: string, description: string) =>
  setting(
    z
      .int({ error: "not a whole number" })
      .min(1, { error: "below 1" })
      .max(max, { error: `above ${max}` })
      .default(fallback),
    { takes: `a whole number from 1 to ${max}`, description, env: [env] },
  );

const flag = (fallback: boolean, env: readonly string[], description: string, risk?: string) =>
  setting(z.boolean({ error: "neither true nor false" }).default(fallback), {
    takes: "true or false",
    description,
    env,
    ...(risk ? { risk } : {}),
  });

const Server = z.strictObject({
  host: setting(
    z
      .string()
      .refine((text) => isIP(text) !== 0 || HOST_NAME.test(text), { error: "not an address" })
      .default("127.0.0.1"),
    {
      takes: 'an address or host name such as "127.0.0.1" or "0.0.0.0"',
      description: "Address to listen on.",
      env: ["BIFROST_HOST"],
      risk: "Bifrost speaks plain HTTP: beyond this machine, put it behind a proxy that ends TLS.",
    },
  ),
  port: setting(
    z
      .int({ error: "not a whole number" })
      .min(0, { error: "below 0" })
      .max(65_535, { error: "above 65535" })
      .default(3333),
    {
      takes: "a port from 0 to 65535; 0 lets the system choose",
      description: "Port to listen on.",
      env: ["BIFROST_PORT"],
    },
  ),
  public_url: setting(
    z
      .string()
      .refine((text) => isOrigin(text.replace(/\/$/, "")), { error: "not an origin" })
      .transform((text) => text.replace(/\/$/, ""))
      .optional(),
    {
      takes: 'scheme, host and port such as "https://bifrost.example.com"',
      description: "Address under which clients reach the gateway.",
      env: ["BIFROST_PUBLIC_URL"],
      otherwise: "taken from each request",
    },
  ),
  trusted_proxies: setting(
    z.array(z.string().refine(isAddressBlock, { error: "not an address or CIDR block" })).default([]),
    {
      takes: 'a list of addresses and CIDR blocks such as ["10.0.0.0/8"]',
      description: "Proxies whose `X-Forwarded-For` is believed.",
      env: ["BIFROST_TRUSTED_PROXIES"],
      risk: "Whoever connects from one of them chooses the client address that throttling and the audit trail see.",
    },
  ),
  cors_origins: setting(
    z.array(z.string().refine(isOrigin, { error: "not an origin (a wildcard is not accepted)" })).default([]),
    {
      takes: 'a list of origins such as ["https://console.example.com"]',
      description: "Web origins whose pages may call the management API.",
      env: ["BIFROST_CORS_ORIGINS"],
    },
  ),
  shutdown_timeout: duration(
    "30s",
    ["BIFROST_SHUTDOWN_TIMEOUT", "MCP_GATEWAY_SHUTDOWN_TIMEOUT"],
    "How long running requests may go on after a stop signal.",
  ),
});

const Database = z.strictObject({
  url: setting(SecretText.optional(), {
    takes: 'sqlite:PATH, such as "sqlite:./data/bifrost.db", or "postgres://user:password@host:5432/database"',
    description: "Where everything is kept.",
    env: ["BIFROST_DATABASE_URL", "DATABASE_DSN", "POSTGRES_DSN"],
    secret: true,
    otherwise: "`bifrost.db` in the data directory",
  }),
  pool_size: count(10, 500, "BIFROST_DATABASE_POOL_SIZE", "Connections to PostgreSQL."),
});

const Auth = z.strictObject({
  token_ttl: duration("24h", "BIFROST_TOKEN_TTL", "Life of a session token when the caller does not ask for another."),
  max_token_ttl: duration("7d", "BIFROST_MAX_TOKEN_TTL", "Longest life a session token can be asked for."),
  max_session_age: duration(
    "30d",
    "BIFROST_MAX_SESSION_AGE",
    "After this long, refreshing no longer works: log in again.",
  ),
  setup_token: setting(SecretText.optional(), {
    takes: "at least 32 random characters",
    description: "The one-time token for `bifrost setup`, for automated installations.",
    env: ["BIFROST_SETUP_TOKEN"],
    secret: true,
    otherwise: "made and printed at the first start",
  }),
});

const MAX_RATE = 1_000_000;
const Keys = z.strictObject({
  max_ttl: duration(
    "30d",
    "BIFROST_KEYS_MAX_TTL",
    "Longest life of any virtual key.",
    "A leaked key works until it expires or is revoked.",
  ),
  max_rate_limit: count(
    10_000,
    MAX_RATE,
    "BIFROST_KEYS_MAX_RATE_LIMIT",
    "Highest rate limit of any key, in requests per minute.",
  ),
  member_max_ttl: duration("7d", "BIFROST_KEYS_MEMBER_MAX_TTL", "The same for keys that members issue."),
  member_max_rate_limit: count(
    1_000,
    MAX_RATE,
    "BIFROST_KEYS_MEMBER_MAX_RATE_LIMIT",
    "The same for keys that members issue.",
  ),
  mcp_max_ttl: duration("24h", "BIFROST_KEYS_MCP_MAX_TTL", "The same for keys that agents request over MCP."),
  mcp_max_rate_limit: count(
    600,
    MAX_RATE,
    "BIFROST_KEYS_MCP_MAX_RATE_LIMIT",
    "The same for keys that agents request over MCP.",
  ),
  rotation_grace: duration(
    "1h",
    "BIFROST_KEYS_ROTATION_GRACE",
    "How long the old secret of a rotated key still works by default.",
  ),
});

const Limits = z.strictObject({
  redis_down: setting(z.enum(["refuse", "local"]).default("refuse"), {
    takes: '"refuse" or "local"',
    description: "While Redis cannot be reached: refuse requests, or count in each instance alone.",
    env: ["BIFROST_LIMITS_REDIS_DOWN"],
    risk: "`local` lets a key spend its limit once per instance.",
  }),
  redis_timeout: duration("250ms", "BIFROST_LIMITS_REDIS_TIMEOUT", "How long one admission may wait for Redis."),
  auth_failures_per_minute: count(
    30,
    100_000,
    "BIFROST_LIMITS_AUTH_FAILURES_PER_MINUTE",
    "Failed authentications from one address before it is refused unheard.",
  ),
});

/**
 * All settings of a gateway, as they are written in a file. The environment sets the same fields through
 * the variables in their facts. A key that is not here stops the start: a typo must not weaken a policy.
 */
export const ConfigSchema = z.strictObject({
  mode: setting(z.enum(["development", "production"]).default("development"), {
    takes: '"development" or "production"',
    description: "`production` refuses to start with what only serves a trial, such as a generated encryption key.",
    env: ["BIFROST_MODE"],
  }),
  data_dir: setting(z.string().min(1, { error: "empty" }).default("./data"), {
    takes: "a path; relative ones start at the working directory",
    description: "Folder for the SQLite database, the generated encryption key and the process id.",
    env: ["BIFROST_DATA_DIR"],
  }),
  encryption_key: setting(SecretText.optional(), {
    takes: "32 random bytes as 64 hex digits or base64, such as the output of `openssl rand -hex 32`",
    description: "Master key: everything secret in the database is encrypted or hashed under it.",
    env: ["BIFROST_ENCRYPTION_KEY"],
    secret: true,
    otherwise: "in development, made once in `encryption.key` in the data directory",
    risk: "Without it, stored root keys cannot be read and no issued key works. Keep a copy apart from the database.",
  }),
  previous_encryption_keys: setting(z.array(SecretText).max(10, { error: "more than 10" }).default([]), {
    takes: "a list of earlier master keys, the latest first",
    description:
      "Still accepted. Once `bifrost reencrypt` has moved what is stored to the current one, they are no longer needed.",
    env: ["BIFROST_PREVIOUS_ENCRYPTION_KEYS"],
    secret: true,
  }),
  redis_url: setting(SecretText.optional(), {
    takes: '"redis://[user:password@]host:6379[/0]", or "rediss://…" for TLS',
    description: "Shared counters and revocations: needed for more than one instance on PostgreSQL.",
    env: ["BIFROST_REDIS_URL"],
    secret: true,
    otherwise: "a single instance",
  }),
  server: Server.prefault({}),
  database: Database.prefault({}),
  auth: Auth.prefault({}),
  keys: Keys.prefault({}),
  limits: Limits.prefault({}),
  log: z
    .strictObject({
      level: setting(z.enum(["silent", "error", "warn", "info", "debug"]).default("info"), {
        takes: '"silent", "error", "warn", "info" or "debug"',
        description: "How much is logged, as JSON lines on standard error.",
        env: ["BIFROST_LOG_LEVEL"],
      }),
    })
    .prefault({}),
  metrics: z
    .strictObject({
      enabled: flag(
        false,
        ["BIFROST_METRICS_ENABLED", "BIFROST_ENABLE_METRICS"],
        "Serve Prometheus metrics at `/metrics`.",
      ),
      public: flag(
        false,
        ["BIFROST_METRICS_PUBLIC"],
        "Serve them without a credential.",
        "Service names and traffic figures are shown to everyone who reaches the port.",
      ),
    })
    .prefault({}),
  mcp: z
    .strictObject({ enabled: flag(true, ["BIFROST_MCP_ENABLED"], "Serve the MCP endpoint at `/mcp`.") })
    .prefault({}),
  retention: z
    .strictObject({
      keys: duration("90d", "BIFROST_RETENTION_KEYS", "How long keys are kept after they expired or were revoked."),
      sessions: duration("30d", "BIFROST_RETENTION_SESSIONS", "How long ended sessions are kept."),
    })
    .prefault({}),
  credentials: z.record(Id, CredentialSchema).default({}),
  services: z.record(Id, ServiceSchema).default({}),
  gateway: GatewaySchema.prefault({}),
  servers: z.record(ServerName, McpServerSchema).default({}),
});

export type ConfigInput = z.output<typeof ConfigSchema>;
