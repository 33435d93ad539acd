import { addressRange } from "../core/address-range.ts";
import type { Config, DeclaredCredential, DeclaredMcpServer, GatewayConfig, McpTransport } from "./model.ts";
import type { McpServerInput } from "./mcp-server-schema.ts";
import type { ConfigInput } from "./schema.ts";
import { type Sources, readSecret, readText } from "./secret-source.ts";
import { type Containers, createContainers } from "./resolve-container.ts";
import { resolveStdio } from "./resolve-stdio.ts";
import { limitMs } from "./units.ts";

type HttpTransport = Extract<McpTransport, { kind: "http" }>;

const TYPES: Readonly<Record<string, "stdio" | HttpTransport["protocol"]>> = {
  stdio: "stdio",
  local: "stdio",
  http: "auto",
  "streamable-http": "streamable",
  streamable_http: "streamable",
  streamableHttp: "streamable",
  sse: "sse",
};
const STDIO_ONLY = [
  "command",
  "args",
  "cwd",
  "container",
  "entrypoint",
  "entrypoint_args",
  "mounts",
  "max_processes",
  "idle_timeout",
];
const HTTP_ONLY = ["url", "protocol", "headers", "auth", "connect_timeout", "allow_addresses"];
/** The transport sets them for each message. */
const OWN_HEADERS = /^(accept|content-type|mcp-.*|last-event-id)$/i;
/** Names that no public domain has. */
const LOCAL_NAME = /^[^.]+$|\.(internal|local|lan|home\.arpa)$/;

/**
 * The MCP servers of the configuration, without those that are disabled. A declared credential that a server sends may
 * go to the server's origin from then on.
 */
export function resolveMcpServers(
  input: ConfigInput,
  gateway: GatewayConfig,
  credentials: readonly DeclaredCredential[],
  sources: Sources,
): Pick<Config, "mcpServers" | "credentials"> {
  const containers = createContainers(input.gateway, sources);
  const known = new Map(credentials.map((credential) => [credential.id, credential]));
  const mcpServers = Object.entries(input.servers)
    .filter(([, server]) => !server.disabled)
    .flatMap(([name, server]): DeclaredMcpServer[] => {
      const transport = resolveTransport(name, server, gateway, containers, sources);
      if (!transport) return [];
      if (transport.kind === "http") allowOrigin(name, server, transport, known, sources);
      return [
        {
          name,
          org: server.org ?? null,
          transport,
          tools: server.tools === undefined || server.tools.includes("*") ? null : server.tools,
          startupTimeoutMs: server.startup_timeout ?? gateway.startupTimeoutMs,
          toolTimeoutMs: server.tool_timeout ? limitMs(server.tool_timeout) : gateway.toolTimeoutMs,
          toolTimeoutsMs: mapValues(server.tool_timeouts, limitMs),
          responseFilters: server.tool_response_filters,
          toolCallLimits: server.tool_call_limits,
          breaker: { threshold: server.rate_limit_threshold, cooldownMs: server.rate_limit_cooldown },
        },
      ];
    });
  return { mcpServers, credentials: [...known.values()] };
}

function resolveTransport(
  name: string,
  server: McpServerInput,
  gateway: GatewayConfig,
  containers: Containers,
  sources: Sources,
): McpTransport | null {
  const path = ["servers", name];
  const refuse = (field: string, message: string, remedy: string): null => {
    sources.report({ place: sources.placeOf([...path, field]), message, remedy });
    return null;
  };
  const given = server.type ?? (sources.isInFile([...path, "url"]) ? "http" : "stdio");
  const type = Object.hasOwn(TYPES, given) ? TYPES[given] : undefined;
  if (type === undefined) {
    return refuse(
      "type",
      "not a type of server that can be reached",
      'Write "stdio", "http" or "sse"; custom types are not supported.',
    );
  }
  for (const field of type === "stdio" ? HTTP_ONLY : STDIO_ONLY) {
    if (!sources.isInFile([...path, field])) continue;
    const other = type === "stdio" ? "a server that is a process" : "a server over HTTP";
    refuse(field, `has no meaning for ${other}`, "Remove it, or correct type.");
  }
  if (type === "stdio") return resolveStdio(name, server, gateway, containers, sources);
  if (server.url === undefined)
    return sources.isRefused([...path, "url"])
      ? null
      : refuse("url", "missing", "Write the server's http or https URL.");
  if (Object.keys(server.env).length > 0) sources.warn(`servers.${name}: env has no effect on a server over HTTP.`);
  const url = new URL(server.url);
  return {
    kind: "http",
    url: url.href,
    protocol: server.protocol ?? type,
    headers: resolveHeaders(name, server, sources),
    connectTimeoutMs: server.connect_timeout ?? 30_000,
    allowAddresses: server.allow_addresses ?? addressesOf(url.hostname),
    auth: resolveAuth(name, server, sources),
  };
}

function resolveHeaders(name: string, server: McpServerInput, sources: Sources): Record<string, string> {
  const headers: Record<string, string> = {};
  const seen = new Set<string>();
  for (const [header, value] of Object.entries(server.headers)) {
    const path = ["servers", name, "headers", header];
    if (OWN_HEADERS.test(header)) {
      sources.warn(`servers.${name}: the header ${header} has no effect: the transport sets it.`);
      continue;
    }
    const text = readText(value, path, sources);
    if (text === null) continue;
    const fail = (message: string, remedy: string) => sources.report({ place: sources.placeOf(path), message, remedy });
    if (!/^[\t\x20-\x7e]*$/.test(text))
      fail("has characters that a header cannot carry", "Write visible ASCII characters on one line.");
    if (seen.has(header.toLowerCase())) fail("the same header twice", "Remove one of them.");
    seen.add(header.toLowerCase());
    headers[header] = text;
  }
  return headers;
}

function resolveAuth(name: string, { auth }: McpServerInput, sources: Sources): HttpTransport["auth"] {
  if (auth === undefined || auth.type === "none") return { kind: "none" };
  if (auth.type === "bearer") return { kind: "credential", credential: auth.credential };
  return {
    kind: "oauth",
    tokenUrl: auth.token_url,
    clientId: auth.client_id,
    clientSecret: readSecret(auth.client_secret, ["servers", name, "auth", "client_secret"], sources) ?? "",
    scopes: auth.scopes,
    audience: auth.audience ?? null,
    resource: auth.resource ?? null,
    clientAuth: auth.client_auth,
  };
}

/** What the author meant by the host: an internal address that stands in the URL may be connected to. */
function addressesOf(hostname: string): string[] {
  const host = hostname.replace(/^\[|\]$/g, "").toLowerCase();
  if (host === "localhost" || host.endsWith(".localhost")) return ["loopback"];
  if (/^[\d.]+$/.test(host) || host.includes(":")) {
    return ["loopback", "private", "link_local"].includes(addressRange(host)) ? [host] : [];
  }
  return LOCAL_NAME.test(host) ? ["loopback", "private"] : [];
}

function allowOrigin(
  name: string,
  server: McpServerInput,
  transport: HttpTransport,
  known: Map<string, DeclaredCredential>,
  sources: Sources,
): void {
  if (transport.auth.kind !== "credential") return;
  const found = known.get(transport.auth.credential);
  // One that is not declared may be stored; that is known when the server is used.
  if (!found) return;
  if (found.org !== (server.org ?? null)) {
    sources.report({
      place: sources.placeOf(["servers", name, "auth", "credential"]),
      message: "the credential belongs to another organization",
      remedy: "Give both the same org: credentials are never shared between organizations.",
    });
    return;
  }
  const { origin } = new URL(transport.url);
  known.set(found.id, { ...found, origins: [...new Set([...found.origins, origin])] });
}

function mapValues<A, B>(table: Readonly<Record<string, A>>, convert: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(table).map(([key, value]) => [key, convert(value)]));
}
