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
  readonly gateway: GatewayConfig;
  readonly mcpServers: readonly DeclaredMcpServer[];
  /** The few harmless names of the gateway's environment that processes of MCP servers inherit. */
  readonly inheritedEnvironment: Readonly<Record<string, string>>;
  /** Choices that work but deserve a look. Hold no secret. */
  readonly warnings: readonly string[];
}

/** The MCP plane as a whole. */
export interface GatewayConfig {
  /**
   * `keys`: users, service accounts and virtual keys (and the agents below, if any). `none`: whoever reaches the loopback
   * port; refused on any other address.
   */
  readonly auth: "keys" | "none";
  /** Secrets that authenticate a configured agent, with what it may use. Empty: the gateway's own keys only. */
  readonly agents: readonly GatewayAgent[];
  /** Host in the addresses told to clients; null: the one listened on. */
  readonly domain: string | null;
  /** Longest time a server may take to start and say hello. */
  readonly startupTimeoutMs: number;
  /** Longest time one tool call may take, where the server does not say. 0 means no limit. */
  readonly toolTimeoutMs: number;
  /** Between pings to HTTP servers; 0 means none. */
  readonly keepaliveMs: number;
  /** A session that nobody used for this long ends, with its processes. */
  readonly sessionTimeoutMs: number;
  /** Per principal; opening one more ends the one that was idle longest. */
  readonly maxSessionsPerPrincipal: number;
  readonly requireContainers: boolean;
  readonly payloads: {
    /** Absolute. */
    readonly dir: string;
    /** What stands for `dir` in paths told to agents; null: `dir` itself. */
    readonly pathPrefix: string | null;
    /** Results longer than this many bytes are put into a file; null: none. */
    readonly thresholdBytes: number | null;
    readonly maxAgeMs: number;
  };
  /** Folder of the log files; null writes none. Absolute. */
  readonly logDir: string | null;
  /** What they show of messages: their beginning without known secrets, or nothing. */
  readonly logPayloads: "redacted" | "none";
  readonly telemetry: {
    /** OTLP over HTTP, without signal path. */
    readonly endpoint: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly serviceName: string;
    readonly sampleRate: number;
    readonly signalPath: string;
    readonly exporterTimeoutMs: number;
    /** Parent of every trace: 32 and 16 lower-case hex digits. */
    readonly traceId: string | null;
    readonly spanId: string | null;
  } | null;
}

/** An agent that the configuration names. Its value is a secret, however it is called. */
export interface GatewayAgent {
  readonly secret: string;
  /** What it may use; null: every server (only where it is the single agent and no policy is given). */
  readonly servers: readonly { readonly server: string; readonly tools: readonly string[] | null }[] | null;
}

/** An MCP server from the configuration. */
export interface DeclaredMcpServer {
  /** Part of URLs and tool names: CALLER_ID without `___`, and not `bifrost`. */
  readonly name: string;
  /** Public id of its organization; null means the first one. */
  readonly org: string | null;
  readonly transport: McpTransport;
  /** Names or patterns with `*`; null allows all. */
  readonly tools: readonly string[] | null;
  readonly startupTimeoutMs: number;
  /** 0 means no limit. */
  readonly toolTimeoutMs: number;
  /** By tool name; overrides `toolTimeoutMs`. */
  readonly toolTimeoutsMs: Readonly<Record<string, number>>;
  /** jq programs by tool name. */
  readonly responseFilters: Readonly<Record<string, string>>;
  /** Calls per session, by tool name; 0 means no limit. */
  readonly toolCallLimits: Readonly<Record<string, number>>;
  readonly breaker: { readonly threshold: number; readonly cooldownMs: number };
}

export type McpTransport =
  | {
      readonly kind: "stdio";
      readonly command: string;
      readonly args: readonly string[];
      /** The whole environment of the process but for the few names every process gets. */
      readonly env: Readonly<Record<string, string>>;
      /** Absolute; null: the gateway's own. */
      readonly cwd: string | null;
      /** Set where the process is `docker` or `podman`: how to end a container that outlives it. */
      readonly container: {
        readonly name: string;
        readonly runtime: string;
        readonly runtimeArgs: readonly string[];
      } | null;
      /** Processes at a time, all callers together; the one idle longest makes room. */
      readonly maxProcesses: number;
      /** A process that nobody used for this long is stopped; 0 means never. */
      readonly idleTimeoutMs: number;
    }
  | {
      readonly kind: "http";
      readonly url: string;
      /** `auto`: streamable HTTP, then legacy SSE. */
      readonly protocol: "auto" | "streamable" | "sse";
      readonly headers: Readonly<Record<string, string>>;
      readonly connectTimeoutMs: number;
      readonly allowAddresses: readonly string[];
      readonly auth:
        | { readonly kind: "none" }
        /** A stored credential of the same organization, sent as Bearer. */
        | { readonly kind: "credential"; readonly credential: string }
        | {
            readonly kind: "oauth";
            readonly tokenUrl: string;
            readonly clientId: string;
            readonly clientSecret: string;
            readonly scopes: readonly string[];
            readonly audience: string | null;
            readonly resource: string | null;
            readonly clientAuth: "basic" | "post";
          };
    };

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
