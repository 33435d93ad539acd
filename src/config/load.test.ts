import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Environment } from "./environment.ts";
import { type Config, ConfigError, loadConfig } from "./load.ts";
import { ConfigSchema } from "./schema.ts";

const KEY = "8f3a91c20d7be4565b02f7a9c1de3348906fb7152ec4ad830b6e59f172c8da34";

function load(file: string | null, env: Environment = {}, files: Record<string, string> = {}): Config {
  const all = file === null ? files : { ...files, "bifrost.toml": file };
  return loadConfig({
    file: file === null ? undefined : "bifrost.toml",
    env,
    readFile: (path) => {
      const text = all[path];
      if (text === undefined) throw Object.assign(new Error("no such file"), { code: "ENOENT" });
      return text;
    },
  });
}

function problemsOf(work: () => unknown): Record<string, string> {
  try {
    work();
  } catch (error) {
    if (error instanceof ConfigError) {
      return Object.fromEntries(error.problems.map((p) => [p.place, `${p.message}. ${p.remedy}`]));
    }
    throw error;
  }
  return {};
}

describe("loading the configuration", () => {
  it("needs nothing: the defaults are a local gateway on SQLite", () => {
    const config = load(null);
    expect(config.server).toMatchObject({ host: "127.0.0.1", port: 3333, corsOrigins: [], trustedProxies: [] });
    expect(config.database).toMatchObject({ dialect: "sqlite" });
    expect(config.auth.tokenTtlMs).toBe(86_400_000);
    expect(config.mode).toBe("development");
    expect(config.warnings).toEqual([]);
  });

  it("freezes the result, all the way down", () => {
    const config = load('[services.a]\nendpoint = "https://a.example/v1/"');
    const frozen = (value: unknown): boolean =>
      typeof value !== "object" || value === null || (Object.isFrozen(value) && Object.values(value).every(frozen));
    expect(frozen(config)).toBe(true);
  });

  it("lets a variable win over the file, setting by setting", () => {
    const config = load('[server]\nport = 1\nhost = "::1"', {
      BIFROST_PORT: "2",
      BIFROST_CORS_ORIGINS: "https://a.b, https://c.d",
    });
    expect(config.server).toMatchObject({ port: 2, host: "::1", corsOrigins: ["https://a.b", "https://c.d"] });
  });

  it("reads JSON as well, by the extension or the first character", () => {
    const read = (path: string) =>
      loadConfig({ file: path, env: {}, readFile: () => '{ "server": { "port": 0 } }' }).server.port;
    expect([read("a.json"), read("a.conf")]).toEqual([0, 0]);
  });

  it("maps a declared service and its secret to the program's names", () => {
    const config = load(
      `[services.openai]
       endpoint = "https://api.openai.com/v1/"
       credential = { env = "OPENAI_API_KEY" }
       injection = { type = "bearer" }
       timeouts = { headers = "30s", idle = "none" }
       methods = ["get", "POST"]
       [credentials.shared]
       value = { file = "/run/secrets/shared" }
       [services.b]
       endpoint = "https://b.example"
       credential = "shared"`,
      { OPENAI_API_KEY: "sk-live" },
      { "/run/secrets/shared": "from-file\n" },
    );
    expect(config.services[0]).toMatchObject({
      id: "openai",
      origin: "https://api.openai.com",
      basePath: "/v1",
      credential: "openai",
      settings: {
        injection: { kind: "bearer" },
        methods: ["GET", "POST"],
        timeouts: { connectMs: 10_000, headersMs: 30_000, idleMs: 0, totalMs: 0 },
        credentialEcho: "redact",
      },
    });
    expect(config.credentials).toEqual([
      { id: "shared", org: null, secret: "from-file", origins: ["https://b.example"] },
      { id: "openai", org: null, secret: "sk-live", origins: ["https://api.openai.com"] },
    ]);
  });

  it("keeps the names that earlier gateways used", () => {
    const config = load(null, {
      BIFROST_DB: "postgres",
      POSTGRES_DSN: "postgres://u:p@db/bifrost",
      BIFROST_TOKEN_TTL: "1h",
      BIFROST_ENABLE_METRICS: "TRUE",
      BIFROST_LOG_LEVEL: "debug",
      REDIS_ADDR: "redis:6379",
      REDIS_PASSWORD: "p/w",
      BIFROST_ENCRYPTION_KEY: KEY,
    });
    expect(config.database).toEqual({ dialect: "postgres", url: "postgres://u:p@db/bifrost", poolSize: 10 });
    expect(config.redisUrl).toBe("redis://:p%2Fw@redis:6379/0");
    expect(config.metrics.enabled).toBe(true);
    expect(config.encryption.keys).toHaveLength(1);
  });

  it("reads a secret from the file that a _FILE variable names", () => {
    const config = load(null, { BIFROST_ENCRYPTION_KEY_FILE: "/k" }, { "/k": `${KEY}\n` });
    expect(config.encryption.keys).toHaveLength(1);
  });
});

describe("problems of the configuration", () => {
  it("come all at once, each with its place and remedy", () => {
    const problems = problemsOf(() =>
      load(
        `redis_ulr = "x"
         [server]
         port = 99999
         hots = "a"
         [auth]
         token_ttl = "30d"
         max_token_ttl = "7d"
         [services.openai]
         endpoint = "ftp://x"
         endpoitn = 1
         [services.b]
         endpoint = "https://b.example"
         credential = { env = "MISSING" }
         [services.c]
         credential = "nope"
         [credentials.d]
         value = "sk-live"`,
        { BIFROST_PROT: "1", BIFROST_SHUTDOWN_TIMEOUT: "soon", BIFROST_METRICS_ENABLED: "maybe" },
      ),
    );
    expect(Object.keys(problems).sort()).toEqual([
      "BIFROST_METRICS_ENABLED",
      "BIFROST_PROT",
      "BIFROST_SHUTDOWN_TIMEOUT",
      "auth.token_ttl",
      "credentials.d.value",
      "redis_ulr",
      "server.hots",
      "server.port",
      "services.b.credential",
      "services.c.endpoint",
      "services.openai.endpoint",
      "services.openai.endpoitn",
    ]);
    expect(problems["redis_ulr"]).toContain("Did you mean redis_url?");
    expect(problems["services.openai.endpoitn"]).toContain("Did you mean endpoint?");
    expect(problems["BIFROST_PROT"]).toContain("Did you mean BIFROST_PORT?");
    expect(problems["BIFROST_SHUTDOWN_TIMEOUT"]).toBe(
      'not a duration. Write a duration such as "30s", "15m", "24h" or "7d".',
    );
    expect(problems["services.c.endpoint"]).toMatch(/^missing\. Write an http or https URL/);
    expect(problems["credentials.d.value"]).toContain('{ env = "NAME" }');
    expect(problems["services.b.credential"]).toContain("MISSING is not set");
  });

  it.each([
    ["a = \n", "bifrost.toml:1:5"],
    ["[server]\nport = 1\nport = 2\n", "bifrost.toml:3:1"],
    ['{ "server": { "port": 1, } }', "bifrost.toml:1:"],
    ['{ "mcpServers": { "a": {\n "tools": [],\n "tools": ["*"] } } }', "bifrost.toml:3:2"],
    ['{ "a": [1, { "b": 1, "\\u0062": 2 }] }', "bifrost.toml:1:22"],
  ])("name line and column of %j", (text, place) => {
    const file = text.startsWith("{") ? "bifrost.conf" : "bifrost.toml";
    const problems = problemsOf(() => loadConfig({ file, env: {}, readFile: () => text }));
    expect(Object.keys(problems)[0]).toContain(place.replace("bifrost.toml", file));
  });

  it("stop a production gateway without an encryption key", () => {
    expect(problemsOf(() => load('mode = "production"'))).toHaveProperty("encryption_key");
    expect(load('mode = "production"', { BIFROST_ENCRYPTION_KEY: KEY }).mode).toBe("production");
  });

  it.each([
    ["too short", "abc"],
    ["one byte repeated", "ab".repeat(32)],
    ["counting up", Buffer.from(Array.from({ length: 32 }, (_, i) => i)).toString("hex")],
    ["a pass phrase in base64", Buffer.from("correct horse battery staple !!!").toString("base64")],
    ["32 characters, not bytes", "0123456789abcdef0123456789abcdef"],
  ])("refuse an encryption key that is %s", (_what, key) => {
    expect(problemsOf(() => load(null, { BIFROST_ENCRYPTION_KEY: key }))).toHaveProperty("BIFROST_ENCRYPTION_KEY");
  });

  it.each([
    ["BIFROST_STATIC_API_KEY", "secret"],
    ["BIFROST_MODE", "test"],
    ["BIFROST_DB", "memory"],
    ["BIFROST_DB", "postgres"],
    ["BIFROST_CORS_ORIGINS", "*"],
    ["DATABASE_DSN", "host=db user=u"],
    ["REDIS_ADDR", "redis"],
    ["BIFROST_TRUSTED_PROXIES", "10.0.0.0/33"],
    ["BIFROST_SETUP_TOKEN", "letmein"],
  ])("refuse %s=%s", (name, value) => {
    expect(problemsOf(() => load(null, { [name]: value }))).toHaveProperty(name);
  });

  it("warn of a signing key, which has no effect", () => {
    expect(load(null, { BIFROST_SIGNING_KEY: "x" }).warnings[0]).toContain("BIFROST_SIGNING_KEY has no effect");
  });

  it.each([
    "https://user:pw@host",
    "https://host/a/../b",
    "https://host/a/%2e%2E/b",
    "https://host/?x",
    "https://host/#x",
    "https://host\\@evil",
    "file:///etc/passwd",
    "",
  ])("refuse the endpoint %j", (endpoint) => {
    const problems = problemsOf(() => load(JSON.stringify({ services: { a: { endpoint } } }), {}, {}));
    expect(Object.keys(problems)).toEqual(
      expect.arrayContaining([expect.stringMatching(/services\.a\.endpoint|bifrost/)]),
    );
  });

  it("refuse headers that would break or forge the outbound request", () => {
    for (const name of ["Host", "content-length", "X-Bifrost-Key-ID", "a b", "Connection"]) {
      const text = `[services.a]\nendpoint = "https://a.b"\ninjection = { type = "header", name = "${name}" }`;
      expect(
        problemsOf(() => load(text)),
        name,
      ).toHaveProperty("services.a.injection.name");
    }
  });

  it("never hold a secret, wherever it was put", () => {
    const secret = "sk-Live9Secret7Value3Here";
    const places = [
      `[services.a]\nendpoint = "https://a.b"\ncredential = "${secret}"`,
      `[services.a]\nendpoint = "https://u:${secret}@a.b"`,
      `[credentials.a]\nvalue = "${secret}"`,
      `[credentials.a]\nvalue = { file = "${secret}x", extra = "${secret}" }`,
      `encryption_key = "${secret}"`,
      `redis_url = "${secret}"`,
      `[database]\nurl = "${secret}"`,
      `mode = "${secret}"`,
      `[auth]\nsetup_token = "${secret}`,
      `{ "auth": { "setup_token": "${secret}`,
      `[log]\nlevel = "${secret}"`,
    ];
    for (const text of places) {
      const file = text.startsWith("{") ? "a.json" : "a.toml";
      const error = thrownBy(() => loadConfig({ file, env: {}, readFile: fileOrFail(file, text) }));
      expect(error, text).toBeInstanceOf(ConfigError);
      expect(JSON.stringify(error.problems) + error.message, text).not.toContain(secret);
    }
    for (const name of [
      "BIFROST_ENCRYPTION_KEY",
      "BIFROST_REDIS_URL",
      "BIFROST_PORT",
      "DATABASE_DSN",
      "REDIS_ADDR",
      "BIFROST_DB",
    ]) {
      const error = thrownBy(() => load(null, { [name]: secret }));
      expect(JSON.stringify(error.problems) + error.message, name).not.toContain(secret);
    }
  });
});

describe("any input", () => {
  const paths = Object.keys(ConfigSchema.shape);
  const anyTable = fc.dictionary(
    fc.oneof(fc.constantFrom(...paths, "url", "value", "__proto__", "constructor", "endpoint"), fc.string()),
    fc.jsonValue(),
  );
  const isConfigOrError = (work: () => unknown): boolean => {
    try {
      work();
      return true;
    } catch (error) {
      return error instanceof ConfigError && error.problems.length > 0;
    }
  };

  it("gives a configuration or a ConfigError, as text", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.string({ unit: "binary" })),
        fc.constantFrom("a.toml", "a.json", "a"),
        (text, file) => isConfigOrError(() => loadConfig({ file, env: {}, readFile: () => text })),
      ),
      { numRuns: 400 },
    );
  });

  it("gives a configuration or a ConfigError, as settings", () => {
    const nested = fc.dictionary(
      fc.oneof(fc.constantFrom(...paths), fc.string()),
      fc.oneof(fc.jsonValue(), anyTable, fc.dictionary(fc.string(), anyTable)),
    );
    fc.assert(
      fc.property(nested, (settings) =>
        isConfigOrError(() => loadConfig({ file: "a.json", env: {}, readFile: () => JSON.stringify(settings) })),
      ),
      { numRuns: 400 },
    );
  });

  it("gives a configuration or a ConfigError, as environment", () => {
    const name = fc.oneof(
      fc.constantFrom(
        "BIFROST_PORT",
        "BIFROST_DB",
        "REDIS_ADDR",
        "REDIS_DB",
        "BIFROST_PREVIOUS_ENCRYPTION_KEYS",
        "DATABASE_DSN",
        "BIFROST_SETUP_TOKEN_FILE",
      ),
      fc.string().map((text) => `BIFROST_${text}`),
    );
    fc.assert(
      fc.property(fc.dictionary(name, fc.string()), (env) => isConfigOrError(() => load(null, env))),
      { numRuns: 400 },
    );
  });
});

function thrownBy(work: () => unknown): ConfigError {
  try {
    work();
  } catch (error) {
    return error as ConfigError;
  }
  throw new Error("nothing was thrown");
}

function fileOrFail(file: string, text: string): (path: string) => string {
  return (path) => {
    if (path === file) return text;
    throw new Error(`cannot read ${path}`);
  };
}
