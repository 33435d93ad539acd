import { z } from "zod";
import { isAllowEntry } from "../core/address-range.ts";
import { CALLER_ID } from "../core/ids.ts";
import { Id } from "./service-schema.ts";
import { HeaderName, SecretText, setting } from "./setting.ts";
import { seconds, secondsTake, wholeNumber, type SecondsRule } from "./units.ts";

/** Name of a server: part of addresses and of tool names, where `___` separates it from the tool. */
export const ServerName = z
  .string()
  .refine((name) => CALLER_ID.test(name) && !name.includes("___") && !name.endsWith("_") && name !== "bifrost", {
    error: "not a usable name of a server",
  });

const NO_NUL = /^[^\0]*$/;
const Argument = z.string().regex(NO_NUL, { error: "has a NUL character" });
const ToolName = z
  .string()
  .min(1, { error: "has an empty name" })
  .max(256, { error: "has a name above 256 characters" });

const time = (rule: SecondsRule, description: string, otherwise: string) =>
  setting(seconds(rule).optional(), { takes: secondsTake(rule), description, otherwise });

const HttpUrl = z
  .string()
  .refine((text) => /^https?:\/\/[\x21-\x7e]+$/i.test(text) && URL.canParse(text) && !/[\\#]/.test(text), {
    error: "not an http or https URL",
  })
  .refine((text) => !URL.canParse(text) || (new URL(text).username === "" && new URL(text).password === ""), {
    error: "has a user or password; use headers or auth",
  });

const Auth = z.discriminatedUnion(
  "type",
  [
    z.strictObject({ type: z.literal("none") }),
    z.strictObject({ type: z.literal("bearer"), credential: Id }),
    z.strictObject({
      type: z.literal("oauth"),
      token_url: HttpUrl,
      client_id: z.string().min(1, { error: "empty" }).max(1_000),
      client_secret: SecretText,
      scopes: z.array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, { error: "not a scope" })).default([]),
      audience: z.string().min(1, { error: "empty" }).max(2_000).optional(),
      resource: HttpUrl.optional(),
      client_auth: z.enum(["basic", "post"]).default("basic"),
    }),
  ],
  { error: "unknown type of authentication" },
);

/** An MCP server: an entry of `servers` (TOML) or `mcpServers` (JSON). Which fields go together: resolve-mcp-servers.ts. */
export const McpServerSchema = z.strictObject({
  type: setting(z.string().optional(), {
    takes: '"stdio" (also "local"), "http" (also "streamable-http") or "sse"',
    description: "How the server is reached.",
    otherwise: '"http" where there is a `url`, else "stdio"',
  }),
  disabled: setting(z.boolean({ error: "neither true nor false" }).default(false), {
    takes: "true or false",
    description: "Leave the server out.",
  }),
  org: setting(Id.optional(), {
    takes: "the id of an organization",
    description: "Organization it belongs to.",
    otherwise: "the first organization",
  }),
  registry: setting(z.string().max(2_000).optional(), {
    takes: "text",
    description: "Where it is published; for people.",
  }),
  command: setting(Argument.min(1, { error: "empty" }).optional(), {
    takes: "a program name or path, without arguments",
    description: "Program of a stdio server. It is started directly, never through a shell.",
  }),
  args: setting(z.array(Argument).default([]), {
    takes: 'a list of texts such as ["-y", "@modelcontextprotocol/server-everything"]',
    description: "Arguments of the command; of a container, options of `run` before the image.",
  }),
  env: setting(z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/), SecretText).default({}), {
    takes: 'a table of variables; "" passes the gateway\'s own value on',
    description: "Environment of the process: these variables and a few that every process needs, nothing else.",
    secret: true,
  }),
  cwd: setting(Argument.min(1, { error: "empty" }).optional(), {
    takes: "a path",
    description: "Working directory of the process. Also written `working_directory`.",
    otherwise: "the gateway's own",
  }),
  container: setting(
    z
      .string()
      .regex(/^[a-z0-9][A-Za-z0-9._/:@-]{0,511}$/, { error: "not the name of an image" })
      .optional(),
    {
      takes: 'an image such as "ghcr.io/github/github-mcp-server:v1" or "name@sha256:…"',
      description: "Image of a containerized stdio server, instead of a command.",
    },
  ),
  entrypoint: setting(Argument.min(1, { error: "empty" }).optional(), {
    takes: "a program inside the container",
    description: "Replaces the image's entry point.",
  }),
  entrypoint_args: setting(z.array(Argument).default([]), {
    takes: "a list of texts",
    description: "Arguments after the image.",
  }),
  mounts: setting(z.array(z.string().regex(/^\/[^:\0]*:\/[^:\0]*:(ro|rw)$/, { error: "not a mount" })).default([]), {
    takes: 'a list such as ["/srv/data:/data:ro"]: absolute path outside and inside, then ro or rw',
    description: "Folders that the container sees.",
  }),
  max_processes: setting(wholeNumber(1, 10_000).prefault(100), {
    takes: "a whole number from 1 to 10000",
    description: "Processes at a time; when one more is needed, the one idle longest ends.",
  }),
  idle_timeout: time({ min: 1, none: true }, "A process that nobody used for this long ends.", "the session timeout"),
  url: setting(HttpUrl.optional(), {
    takes: "an http or https URL without user and fragment",
    description: "Address of a server over HTTP.",
  }),
  protocol: setting(z.enum(["auto", "streamable", "sse"]).optional(), {
    takes: '"auto", "streamable" or "sse"',
    description: "`auto` tries streamable HTTP, then the older SSE transport.",
    otherwise: '"auto"',
  }),
  headers: setting(z.record(HeaderName, SecretText).default({}), {
    takes: 'a table of headers such as { "X-Api-Key" = "${API_KEY}" }',
    description: "Sent with each request to it.",
    secret: true,
  }),
  auth: setting(Auth.optional(), {
    takes:
      '{ type = "none" }, { type = "bearer", credential = "ID" } or { type = "oauth", token_url, client_id, client_secret, scopes?, audience?, resource?, client_auth? }',
    description: "`bearer` sends a stored root key; `oauth` fetches tokens by client credentials.",
    otherwise: "only the headers above",
  }),
  connect_timeout: time({ min: 1 }, "To an answer to the first message, per transport that is tried.", "30 s"),
  allow_addresses: setting(z.array(z.string().refine(isAllowEntry, { error: "not an address range" })).optional(), {
    takes: 'a list of "loopback", "private", "link_local" and CIDR blocks such as "10.1.0.0/16"',
    description: "Internal address ranges that the server may be in.",
    otherwise: "what the host in `url` says: an internal address, `localhost`, or a name without a public domain",
  }),
  tools: setting(z.array(ToolName).optional(), {
    takes: 'a list of names, with * for any characters, such as ["get_*"]',
    description: "Tools that exist for clients.",
    otherwise: "all",
  }),
  startup_timeout: time({ min: 1 }, "Longest time it may take to start.", "`gateway.startup_timeout`"),
  tool_timeout: setting(seconds({ min: 10, special: [0], none: true }).optional(), {
    takes: `${secondsTake({ min: 10, none: true })}; 0 is the same as leaving it out`,
    description: "Longest time of a tool call.",
    otherwise: "`gateway.tool_timeout`",
  }),
  tool_timeouts: setting(z.record(ToolName, seconds({ min: 1, none: true })).default({}), {
    takes: 'a table from tool to time, such as { slow_query = "10m" }',
    description: "The same for single tools.",
  }),
  tool_response_filters: setting(
    z
      .record(
        ToolName,
        z.string().min(1, { error: "has an empty program" }).max(16_384, { error: "has a program above 16 KiB" }),
      )
      .default({}),
    {
      takes: "a table from tool to jq program",
      description:
        "Applied to the tool's results; a program that fails withholds the result. `${…}` is not expanded here.",
      verbatim: true,
    },
  ),
  tool_call_limits: setting(z.record(ToolName, wholeNumber(0, 1_000_000_000)).default({}), {
    takes: "a table from tool to number; 0 is no limit",
    description: "Calls per session.",
  }),
  rate_limit_threshold: setting(wholeNumber(1, 1_000).prefault(3), {
    takes: "a whole number from 1 to 1000",
    description: "After so many answers in a row that report a rate limit, calls are refused for a while.",
  }),
  rate_limit_cooldown: setting(seconds({ min: 1 }).prefault(60), {
    takes: secondsTake({ min: 1 }),
    description: "For how long, where the answer does not say.",
  }),
});

export type McpServerInput = z.output<typeof McpServerSchema>;
