/** The settings of one gateway: parsed, checked and frozen. Holds secrets: never log or serialize it whole. */
export interface Config {
  readonly mode: "development" | "production";
  /** Absolute. */
  readonly dataDir: string;
  /** The file it was read from; null when only the environment was used. */
  readonly file: string | null;
  readonly server: {
    readonly host: string;
    /** 0 lets the system choose. */
    readonly port: number;
    /** Origin under which clients reach the gateway; null takes it from each request. */
    readonly publicUrl: string | null;
    /** Addresses and CIDR blocks whose `X-Forwarded-For` is believed. */
    readonly trustedProxies: readonly string[];
    readonly corsOrigins: readonly string[];
    readonly shutdownTimeoutMs: number;
  };
  readonly database:
    | { readonly dialect: "sqlite"; readonly path: string }
    | { readonly dialect: "postgres"; readonly url: string; readonly poolSize: number };
  readonly redisUrl: string | null;
  readonly encryption: {
    /** The current master key first. Empty only in development: then `keyFile` is read or made (config/master-key.ts). */
    readonly keys: readonly Buffer[];
    /** Absolute. */
    readonly keyFile: string;
  };
  readonly auth: {
    readonly tokenTtlMs: number;
    readonly maxTokenTtlMs: number;
    readonly maxSessionAgeMs: number;
    readonly setupToken: string | null;
  };
  readonly keys: {
    readonly maxTtlMs: number;
    readonly maxRateLimit: number;
    readonly memberMaxTtlMs: number;
    readonly memberMaxRateLimit: number;
    readonly mcpMaxTtlMs: number;
    readonly mcpMaxRateLimit: number;
    /** How long the old secret of a rotated key works when the caller does not say. */
    readonly rotationGraceMs: number;
  };
  readonly limits: {
    readonly redisDown: "refuse" | "local";
    readonly redisTimeoutMs: number;
    readonly authFailuresPerMinute: number;
  };
  readonly log: { readonly level: "silent" | "error" | "warn" | "info" | "debug" };
  readonly metrics: { readonly enabled: boolean; readonly public: boolean };
  readonly mcp: { readonly enabled: boolean };
  readonly retention: { readonly keysMs: number; readonly sessionsMs: number };
  readonly credentials: readonly DeclaredCredential[];
  readonly services: readonly DeclaredService[];
  /** Choices that work but deserve a look. Hold no secret. */
  readonly warnings: readonly string[];
}

/** A root key from the configuration, with its secret. */
export interface DeclaredCredential {
  readonly id: string;
  /** Public id of its organization; null means the first one, which set-up made. */
  readonly org: string | null;
  readonly secret: string;
  /** Origins it may be sent to: those given, and those of the declared services that use it. */
  readonly origins: readonly string[];
}

/** A service from the configuration. `settings` has the shape of the services' own model. */
export interface DeclaredService {
  readonly id: string;
  readonly org: string | null;
  readonly description: string;
  readonly endpoint: string;
  /** As URL.origin writes it. */
  readonly origin: string;
  /** Without trailing slash; "" for none. */
  readonly basePath: string;
  /** Id of a credential in {@link Config.credentials} of the same organization. */
  readonly credential: string | null;
  readonly settings: DeclaredServiceSettings;
}

export interface DeclaredServiceSettings {
  readonly injection:
    | { readonly kind: "header"; readonly name: string; readonly prefix: string; readonly template: string | null }
    | { readonly kind: "bearer" }
    | { readonly kind: "basic"; readonly username: string | null }
    | { readonly kind: "query"; readonly name: string };
  readonly methods: readonly string[] | null;
  readonly paths: readonly string[] | null;
  /** 0 means no limit. */
  readonly timeouts: {
    readonly connectMs: number;
    readonly headersMs: number;
    readonly idleMs: number;
    readonly totalMs: number;
  };
  readonly http2: "auto" | "off" | "prior_knowledge";
  readonly allowAddresses: readonly string[];
  readonly allowHeaders: readonly string[] | null;
  readonly forwardCookies: boolean;
  readonly forwardClientAddress: boolean;
  readonly allowKeyInQuery: boolean;
  readonly credentialEcho: "redact" | "strict" | "off";
  readonly identityAssertion: boolean;
  readonly identityAudience: string | null;
}

/** One thing wrong with the configuration. Never holds the value of a setting, which may be a secret. */
export interface ConfigProblem {
  /** A setting (`services.openai.endpoint`), a variable (`BIFROST_PORT`) or a place in the file (`bifrost.toml:3:7`). */
  readonly place: string;
  readonly message: string;
  readonly remedy: string;
}

/** The configuration cannot be used. Carries every problem that was found, not only the first. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    super(formatProblems(problems));
    this.problems = problems;
  }
}

/** The problems for people, one per paragraph. */
export function formatProblems(problems: readonly ConfigProblem[]): string {
  const count = problems.length === 1 ? "a problem" : `${problems.length} problems`;
  const lines = problems.map(({ place, message, remedy }) => `  ${place}: ${message}\n    ${remedy}`);
  return `The configuration has ${count}:\n${lines.join("\n")}`;
}
