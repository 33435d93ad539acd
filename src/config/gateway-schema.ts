import { isIP } from "node:net";
import { z } from "zod";
import { HOST_NAME, HeaderName, SecretText, setting } from "./setting.ts";
import { seconds, secondsTake, wholeNumber, type SecondsRule } from "./units.ts";

const time = (rule: SecondsRule, fallback: number | string, description: string, env?: string) =>
  setting(seconds(rule).prefault(fallback), {
    takes: secondsTake(rule),
    description,
    ...(env === undefined ? {} : { env: [env] }),
  });

const path = (description: string, otherwise: string, env?: string) =>
  setting(z.string().min(1, { error: "empty" }).optional(), {
    takes: "a path; relative ones start at the working directory",
    description,
    otherwise,
    ...(env === undefined ? {} : { env: [env] }),
  });

const Name = z
  .string()
  .min(1, { error: "has an empty name" })
  .max(256, { error: "has a name above 256 characters" })
  .refine((text) => text.trim() === text, { error: "has a name with blanks around it" });
const Names = z.array(Name).refine((list) => new Set(list).size === list.length, { error: "names something twice" });

/** What one of the configured agents may use. */
const AgentPolicy = z.strictObject({
  servers: setting(Names, {
    takes: 'a list of servers such as ["github"]; [] allows nothing',
    description: "Servers that the agent may use.",
  }),
  tools: setting(z.record(Name, Names).default({}), {
    takes: 'a table from server to a list of its tools, such as { github = ["get_issue"] }; "*" is all',
    description: "Tools that the agent may use, by server.",
    otherwise: "all tools of each listed server",
  }),
});

const Telemetry = z.strictObject({
  endpoint: setting(
    z
      .string()
      .refine((text) => /^https?:\/\//.test(text) && URL.canParse(text) && new URL(text).username === "", {
        error: "not an http or https URL",
      })
      .optional(),
    {
      takes: 'an http or https URL such as "http://127.0.0.1:4318", without the signal path',
      description: "OTLP collector that traces are sent to.",
      env: ["OTEL_EXPORTER_OTLP_ENDPOINT"],
      otherwise: "no traces",
    },
  ),
  headers: setting(z.record(HeaderName, SecretText).default({}), {
    takes: 'a table of headers such as { authorization = "${OTLP_TOKEN}" }',
    description: "Headers sent to the collector. In the variable: `name=value,name=value`, percent-encoded.",
    env: ["OTEL_EXPORTER_OTLP_HEADERS"],
    secret: true,
  }),
  service_name: setting(z.string().min(1, { error: "empty" }).max(200).default("bifrost"), {
    takes: "up to 200 characters",
    description: "Name of this gateway in traces.",
    env: ["OTEL_SERVICE_NAME"],
  }),
  sample_rate: setting(
    z.number({ error: "not a number" }).min(0, { error: "below 0" }).max(1, { error: "above 1" }).default(1),
    {
      takes: "a number from 0 to 1",
      description: "Share of requests that are traced.",
    },
  ),
  signal_path: setting(
    z
      .string()
      .regex(/^\/[\x21-\x7e]*$/, { error: "not a path" })
      .default("/v1/traces"),
    {
      takes: 'a path such as "/v1/traces"',
      description: "Appended to the endpoint.",
    },
  ),
  exporter_timeout: time({ min: 1 }, 10, "Longest time one export may take."),
  trace_id: setting(
    z
      .string()
      .regex(/^(?!0{32})[0-9a-f]{32}$/, { error: "not a trace id" })
      .optional(),
    {
      takes: "32 lower-case hex digits, not all zero",
      description: "Trace that all spans belong to.",
      otherwise: "a new one each",
    },
  ),
  span_id: setting(
    z
      .string()
      .regex(/^(?!0{16})[0-9a-f]{16}$/, { error: "not a span id" })
      .optional(),
    { takes: "16 lower-case hex digits, not all zero", description: "Parent of all spans; needs a trace id." },
  ),
});

/** The MCP plane as a whole: `gateway` in the file. */
export const GatewaySchema = z.strictObject({
  auth: setting(z.enum(["keys", "none"]).default("keys"), {
    takes: '"keys" or "none"',
    description: "`keys` asks every MCP client for a key or agent id; `none` lets everyone in who reaches the port.",
    risk: "`none` starts on a loopback address only, and every program of this machine can use the servers.",
  }),
  agent_id: setting(SecretText.optional(), {
    takes: "the value that the agent sends in `Authorization`; empty for none",
    description: "Authenticates one agent that needs no key of its own.",
    env: ["MCP_GATEWAY_AGENT_ID"],
    emptyCounts: true,
    secret: true,
    otherwise: "users, service accounts and virtual keys only",
    risk: "However it is called, whoever knows it may use every server: make it random, such as `openssl rand -hex 32`.",
  }),
  api_key: setting(SecretText.optional(), {
    takes: "what `agent_id` takes, which is the current name",
    description: "Deprecated name of `agent_id`, which wins when both are present, also when it is empty.",
    env: ["MCP_GATEWAY_API_KEY"],
    secret: true,
    deprecated: true,
  }),
  agent_ids: setting(
    z.array(SecretText).min(1, { error: "empty" }).max(1_000, { error: "more than 1000" }).optional(),
    {
      takes: "a list of agent ids, instead of `agent_id`",
      description: "Authenticates several agents; each needs an entry in `agent_policies`.",
      secret: true,
    },
  ),
  agent_policies: z.record(z.string(), AgentPolicy).optional(),
  port: setting(wholeNumber(1, 65_535).optional(), {
    takes: "a port from 1 to 65535",
    description: "Port to listen on where `server.port` does not say.",
    env: ["MCP_GATEWAY_PORT"],
  }),
  domain: setting(
    z
      .string()
      .refine((text) => isIP(text) !== 0 || HOST_NAME.test(text), { error: "not a host name" })
      .optional(),
    {
      takes: 'a host name such as "localhost" or "host.docker.internal"',
      description: "Host in the addresses that `serve --config-stdin` prints for clients.",
      env: ["MCP_GATEWAY_DOMAIN"],
      otherwise: "the address listened on",
    },
  ),
  startup_timeout: time({ min: 1 }, 30, "Longest time a server may take to start and answer its first message."),
  tool_timeout: time({ min: 10, none: true }, 60, "Longest time of a tool call.", "MCP_GATEWAY_TOOL_TIMEOUT"),
  keepalive_interval: setting(seconds({ min: 1, special: [0, -1] }).prefault(0), {
    takes: "a whole number of seconds; -1 is off, 0 the default of 1500",
    description: "Between two pings to a server over HTTP.",
  }),
  session_timeout: time(
    { min: 1 },
    "6h",
    "A session that nobody used for this long ends, with its processes.",
    "MCP_GATEWAY_SESSION_TIMEOUT",
  ),
  max_sessions: setting(wholeNumber(1, 1_000_000).prefault(1_000), {
    takes: "a whole number from 1 to 1000000",
    description: "Sessions per principal; one more ends the one that was idle longest.",
  }),
  require_containers: setting(z.boolean({ error: "neither true nor false" }).default(false), {
    takes: "true or false",
    description: "Refuse servers whose command is not a container.",
  }),
  container_runtime: setting(z.enum(["docker", "podman"]).optional(), {
    takes: '"docker" or "podman"',
    description: "What runs the containers of servers.",
    env: ["MCP_GATEWAY_CONTAINER_RUNTIME"],
    otherwise: "docker",
  }),
  container_runtime_command: setting(z.string().min(1, { error: "empty" }).optional(), {
    takes: "a program name or path",
    description: "Program to start instead of the runtime's own name.",
  }),
  container_runtime_args: setting(z.array(z.string()).default([]), {
    takes: "a list of arguments",
    description: "Arguments before `run`.",
  }),
  dockerless: setting(z.boolean({ error: "neither true nor false" }).default(false), {
    takes: "true or false",
    description: 'Podman without a daemon: the same as `container_runtime = "podman"`.',
  }),
  allowed_mount_roots: setting(z.array(z.string().min(1, { error: "has an empty path" })).optional(), {
    takes: 'a list of absolute paths with ":ro" or ":rw", such as ["/srv/data:ro"]',
    description: "Folders whose content may be mounted into containers.",
    env: ["MCP_GATEWAY_ALLOWED_MOUNT_ROOTS"],
    otherwise: "`$GITHUB_WORKSPACE` and the working directory read-only, the temporary directory writable",
  }),
  payload_dir: path(
    "Folder for results that are too large to be sent to an agent.",
    "`bifrost-payloads` in the temporary directory",
    "MCP_GATEWAY_PAYLOAD_DIR",
  ),
  payload_path_prefix: path(
    "What stands for that folder in the paths told to agents, which may see it elsewhere.",
    "the folder itself",
    "MCP_GATEWAY_PAYLOAD_PATH_PREFIX",
  ),
  payload_size_threshold: setting(z.union([wholeNumber(1, 1_073_741_824), z.literal("none")]).prefault(524_288), {
    takes: 'a whole number of bytes from 1 up, or "none"',
    description: "A longer result is put into a file.",
    env: ["MCP_GATEWAY_PAYLOAD_SIZE_THRESHOLD"],
  }),
  payload_max_age: time({ min: 60 }, "24h", "After this long such a file is deleted."),
  log_dir: path("Folder for the log files of the MCP plane.", "no log files", "MCP_GATEWAY_LOG_DIR"),
  log_payloads: setting(z.enum(["redacted", "none"]).default("redacted"), {
    takes: '"redacted" or "none"',
    description:
      "What the log files show of messages: their beginning, with each secret that the gateway knows taken out, or nothing.",
    env: ["MCP_GATEWAY_LOG_PAYLOADS"],
    risk: "What tools are given and answer may be private without being a secret of the gateway.",
  }),
  opentelemetry: Telemetry.prefault({}),
});

export type GatewayInput = z.output<typeof GatewaySchema>;
