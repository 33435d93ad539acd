import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { load, problemsOf } from "../../test/support/load-config.ts";

const gateway = (fields: object) => ({ file: JSON.stringify({ gateway: fields }) });

describe("settings of the MCP gateway", () => {
  it("have the defaults of the reference", () => {
    expect(load({}).gateway).toEqual({
      auth: "keys",
      agents: [],
      domain: null,
      startupTimeoutMs: 30_000,
      toolTimeoutMs: 60_000,
      keepaliveMs: 1_500_000,
      sessionTimeoutMs: 21_600_000,
      maxSessionsPerPrincipal: 1_000,
      requireContainers: false,
      payloads: {
        dir: join(tmpdir(), "bifrost-payloads"),
        pathPrefix: null,
        thresholdBytes: 524_288,
        maxAgeMs: 86_400_000,
      },
      logDir: null,
      logPayloads: "redacted",
      telemetry: null,
    });
  });

  it("can be given by the variables of the reference, which win over the file, and lose to the command line", () => {
    const env = {
      MCP_GATEWAY_PORT: "4001",
      MCP_GATEWAY_DOMAIN: "host.docker.internal",
      MCP_GATEWAY_LOG_DIR: "/var/log/mcp",
      MCP_GATEWAY_PAYLOAD_DIR: "/var/payloads",
      MCP_GATEWAY_PAYLOAD_PATH_PREFIX: "/host",
      MCP_GATEWAY_PAYLOAD_SIZE_THRESHOLD: "1000",
      MCP_GATEWAY_SESSION_TIMEOUT: "2h",
      MCP_GATEWAY_SHUTDOWN_TIMEOUT: "5s",
      MCP_GATEWAY_TOOL_TIMEOUT: "90",
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:4318/",
      OTEL_EXPORTER_OTLP_HEADERS: "x-team=a%20b,authorization=Bearer%20t",
      OTEL_SERVICE_NAME: "edge",
    };
    const file = JSON.stringify({ gateway: { port: 1, sessionTimeout: 10, toolTimeout: 10, logDir: "/x" } });
    const options = new Map([["gateway.log_dir", { variable: "--log-dir", value: "/cli" }]]);
    const config = load({ file, env, options });
    expect(config.server).toMatchObject({ port: 4001, shutdownTimeoutMs: 5_000 });
    expect(config.gateway).toMatchObject({
      domain: "host.docker.internal",
      logDir: "/cli",
      payloads: { dir: "/var/payloads", pathPrefix: "/host", thresholdBytes: 1_000 },
      sessionTimeoutMs: 7_200_000,
      toolTimeoutMs: 90_000,
      telemetry: {
        endpoint: "http://127.0.0.1:4318",
        headers: { "x-team": "a b", authorization: "Bearer t" },
        serviceName: "edge",
        sampleRate: 1,
        signalPath: "/v1/traces",
        exporterTimeoutMs: 10_000,
        traceId: null,
        spanId: null,
      },
    });
  });

  it("leave the port to server.port and BIFROST_PORT where these are given", () => {
    expect(load({ file: "[gateway]\nport = 4000" }).server.port).toBe(4_000);
    expect(load({ file: "[gateway]\nport = 4000\n[server]\nport = 5000" }).server.port).toBe(5_000);
    expect(load({ file: "[gateway]\nport = 4000", env: { BIFROST_PORT: "0" } }).server.port).toBe(0);
    expect(load({ file: '{"gateway":{"port":"${P}"}}', env: { P: "6000" } }).server.port).toBe(6_000);
  });

  it.each([
    [{ toolTimeout: 9 }, "gateway.toolTimeout", "below 10 s"],
    [{ tool_timeout: 9 }, "gateway.tool_timeout", "below 10 s"],
    [{ toolTimeout: "9s" }, "gateway.toolTimeout", "below 10 s"],
    [{ startupTimeout: 0 }, "gateway.startupTimeout", "below 1 s"],
    [{ keepaliveInterval: -2 }, "gateway.keepaliveInterval", "below 1 s"],
    [{ port: 0 }, "gateway.port", "below 1"],
    [{ port: 65_536 }, "gateway.port", "above 65535"],
    [{ payloadSizeThreshold: 0 }, "gateway.payloadSizeThreshold", ""],
    [{ domain: "a b" }, "gateway.domain", "not a host name"],
    [{ toolTimout: 20 }, "gateway.toolTimout", "Did you mean tool_timeout?"],
    [{ tool_timeout: 20, toolTimeout: 30 }, "gateway.toolTimeout", "the same setting as tool_timeout"],
    [{ opentelemetry: { serviceName: "x" } }, "gateway.opentelemetry.endpoint", "missing"],
    [
      { opentelemetry: { endpoint: "http://a", traceId: "0".repeat(32) } },
      "gateway.opentelemetry.traceId",
      "not a trace id",
    ],
    [
      { opentelemetry: { endpoint: "http://a", spanId: "1".repeat(16) } },
      "gateway.opentelemetry.spanId",
      "no trace id",
    ],
    [{ trustedBots: ["x"] }, "gateway.trustedBots", "not supported"],
    [{ forcePublicRepos: true }, "gateway.forcePublicRepos", "not supported"],
    [{ sinkVisibilityExemptServers: ["*"] }, "gateway.sinkVisibilityExemptServers", "not supported"],
  ])("refuse %j", (fields, place, message) => {
    expect(problemsOf(gateway(fields))[place]).toContain(message);
  });

  it("take -1 as off and 0 as the default between two pings", () => {
    const keepalive = (value: number) => load(gateway({ keepaliveInterval: value })).gateway.keepaliveMs;
    expect([-1, 0, 5].map(keepalive)).toEqual([0, 1_500_000, 5_000]);
  });

  it.each([
    ["127.0.0.1", true],
    ["127.8.8.8", true],
    ["::1", true],
    ["localhost", true],
    ["0.0.0.0", false],
    ["::", false],
    ["127.999.0.1", false],
    ["10.0.0.1", false],
    ["gateway.example", false],
  ])("let everyone in on %s: %s", (host, isAllowed) => {
    const file = JSON.stringify({ gateway: { auth: "none" }, server: { host } });
    expect("gateway.auth" in problemsOf({ file })).toBe(!isAllowed);
  });

  it.each([
    ["MCP_GATEWAY_TLS_CERT", "/c.pem"],
    ["MCP_GATEWAY_HMAC_SECRET", "x"],
    ["MCP_GATEWAY_GUARDS_MODE", "strict"],
    ["MCP_GATEWAY_GUARD_POLICY_JSON", "{}"],
    ["MCP_GATEWAY_FORCE_PUBLIC_REPOS", "true"],
    ["MCP_GATEWAY_DELEGATION_ENVELOPE", "{}"],
    ["MCP_GATEWAY_AGENT_IDS", "a"],
    ["MCP_GATEWAY_TOOL_TIMEOUT", "9"],
    ["MCP_GATEWAY_PORT", "none"],
    ["OTEL_EXPORTER_OTLP_HEADERS", "no pairs"],
  ])("refuse the variable %s=%s, and never ignore it", (name, value) => {
    expect(problemsOf({ env: { [name]: value } })).toHaveProperty(name);
  });

  it("warn of variables that only tune another gateway, and take a protection that is off as none", () => {
    const env = { MCP_GATEWAY_WASM_CACHE_DIR: "/x", MCP_GATEWAY_FORCE_PUBLIC_REPOS: "false", MCP_GATEWAY_TLS_CERT: "" };
    expect(load({ env }).warnings).toEqual(["MCP_GATEWAY_WASM_CACHE_DIR has no effect: remove it."]);
  });
});

describe("protections of other gateways", () => {
  it.each([
    ["guards", { guards: { g: { type: "wasm", path: "x" } } }, "guards"],
    ["a mode of guards", { guards_mode: "strict" }, "guards_mode"],
    ["a guard of a server", { servers: { a: { command: "x", guard: "g" } } }, "servers.a.guard"],
    [
      "policies of a server",
      { mcpServers: { a: { command: "x", "guard-policies": { "allow-only": { repos: "all" } } } } },
      "mcpServers.a.guard-policies",
    ],
    [
      "tokens of GitHub Actions",
      { mcpServers: { a: { url: "https://a.b", auth: { type: "github-oidc" } } } },
      "mcpServers.a.auth",
    ],
    [
      "tools that a client has switched off",
      { mcpServers: { a: { command: "x", disabledTools: ["rm"] } } },
      "mcpServers.a.disabledTools",
    ],
  ])("stop the start: %s", (_what, file, place) => {
    expect(problemsOf({ file: JSON.stringify(file) })).toHaveProperty([place]);
  });

  it("do not stop it where they are set to nothing", () => {
    const file = { guards: {}, sequential_launch: true, mcpServers: { a: { command: "x", autoApprove: ["y"] } } };
    expect(load({ file: JSON.stringify(file) }).warnings).toEqual([
      "sequential_launch has no effect: servers start in parallel, each with its own time limit.",
    ]);
  });
});
