import { z } from "zod";
import { isAllowed } from "../access/authorize.ts";
import { ERRORS } from "../core/errors.ts";
import { timestamp, toIso, toIsoOrNull } from "../http/fields.ts";
import { listQuery, listReply, pageRequest } from "../http/list.ts";
import { route, type Route } from "../http/route.ts";
import { createAccess, type ServerAccess } from "../mcp-policy/access.ts";
import type { CatalogTool, McpServer, McpServers } from "../mcp-servers/types.ts";
import type { Page, PageRequest } from "../storage/page.ts";

export interface McpServerRouteDeps {
  /** Null while no server is configured. */
  servers(): Promise<Pick<McpServers, "all"> | null>;
  /** Takes secrets out: the last words of a process that died may hold what it was given. */
  redact(text: string): string;
}

const ServerBody = z
  .object({
    name: z.string().describe("As in `/mcp/{server}`."),
    transport: z.enum(["stdio", "http"]),
    state: z
      .enum(["starting", "running", "stopped", "error"])
      .describe(
        "`running`: it answered when it was last tried. `error`: it did not; the gateway tries again by itself.",
      ),
    since: timestamp.describe("When it entered the state."),
    revision: z.string().nullable().describe("MCP revision that it speaks; null until it answered."),
    tools: z
      .array(z.string())
      .nullable()
      .describe(
        "Names of the tools that the caller may call; null until the server listed them, and where it lists others to each caller.",
      ),
    tools_offered: z.int().nullable().describe("How many it offers, before any policy; null until it answered."),
    tools_left_out: z.int().nullable().describe("How many more are unusable: no name, or a name twice."),
    allowed_tools: z.array(z.string()).nullable().describe("The configured list, with `*`; null allows all."),
    connections: z.int().describe("Open conversations; of a stdio server, its processes."),
    last_error: z
      .object({ code: z.string(), message: z.string(), at: timestamp })
      .meta({ id: "McpServerError" })
      .nullable()
      .describe("The last failure, also of a server that runs again. Only owners and admins see more than its title."),
    next_try_at: timestamp.nullable().describe("In `error`: when the gateway tries again."),
  })
  .meta({ id: "McpServer" });

type ServerBody = z.input<typeof ServerBody>;

/** The MCP servers of the configuration, for people. Changing them is the configuration's affair: nothing here starts a command. */
export function mcpServerRoutes(deps: McpServerRouteDeps): Route[] {
  const accessTo = createAccess();
  return [
    route({
      method: "GET",
      path: "/v1/mcp/servers",
      operationId: "listMcpServers",
      tag: "MCP servers",
      summary: "List the configured MCP servers with their state, by name.",
      description:
        "Those that the caller may use: of its organization; for service accounts, only if they may use all services.",
      permission: "mcpservers:read",
      query: z.strictObject(listQuery),
      replies: { 200: z.array(ServerBody).meta({ id: "McpServers" }) },
      async handle({ query, principal }) {
        const all = (await deps.servers())?.all() ?? [];
        const visible = all.flatMap((server) => {
          const access = accessTo({ principal, live: null }, server.declared);
          return access === null ? [] : [{ server, access }];
        });
        const inFull = isAllowed(principal, "services:write");
        return listReply(pageOf(visible, pageRequest(query)), (entry) => toBody(entry, inFull ? deps.redact : null));
      },
    }),
  ];
}

/** A server with what the caller may do with it. */
interface Visible {
  readonly server: McpServer;
  readonly access: ServerAccess;
}

/** By name: they have no time of creation. */
function pageOf(servers: readonly Visible[], { limit, after }: PageRequest): Page<Visible> {
  const nameOf = ({ server }: Visible) => server.declared.name;
  const rest = servers
    .toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))
    .filter((entry) => after === null || nameOf(entry) > after.uid);
  const items = rest.slice(0, limit);
  const last = items.at(-1);
  return { items, next: rest.length > limit && last ? { createdAtMs: 0, uid: nameOf(last) } : null };
}

/** @param redact null: only the title of the last error is shown */
function toBody({ server, access }: Visible, redact: McpServerRouteDeps["redact"] | null): ServerBody {
  const { name, transport, tools } = server.declared;
  const status = server.status();
  const { lastError } = status;
  return {
    name,
    transport: transport.kind,
    state: status.state,
    since: toIso(status.sinceMs),
    revision: status.hello?.revision ?? null,
    tools: status.toolList && namesOf(status.toolList, access),
    tools_offered: status.tools,
    tools_left_out: status.toolsLeftOut,
    allowed_tools: tools === null ? null : [...tools],
    connections: status.links,
    last_error: lastError && {
      code: lastError.code,
      // The whole may name hosts and paths.
      message: redact ? redact(lastError.message) : ERRORS[lastError.code].title,
      at: toIso(lastError.atMs),
    },
    next_try_at: toIsoOrNull(status.nextTryAtMs),
  };
}

function namesOf(tools: readonly CatalogTool[], access: ServerAccess): string[] {
  return tools.flatMap(({ name, readOnlyHint }) => (access.allowsTool(name, { readOnly: readOnlyHint }) ? [name] : []));
}
