import type { DeclaredMcpServer } from "../config/model.ts";
import type { Plane } from "../http/gateway-server.ts";
import type { McpServers } from "../mcp-servers/types.ts";
import type { McpEndpoint } from "./endpoint.ts";
import type { OpenSession } from "./legacy/clients.ts";
import { isMcpTarget } from "./path.ts";
import type { McpParts, McpWiring } from "./wire.ts";

export interface McpPlane extends Plane {
  /** Begins to look for the configured servers. */
  start(): void;
  /** The configured servers; empty until there are any to look for. */
  servers(): Promise<McpServers | null>;
  /** Whose sessions of the 2025 era are open here. */
  sessions(): Promise<readonly OpenSession[]>;
  /** Takes over the servers of a changed configuration. */
  reload(declared: readonly DeclaredMcpServer[]): Promise<void>;
  /** Ends the streams that would otherwise stay open for ever; calls go on. */
  drain(): void;
  close(): Promise<void>;
}

/**
 * The MCP plane of the gateway. Loaded when the first server is configured, or by the first request: a gateway that nobody
 * calls over MCP spends no memory on it.
 */
export function createMcpPlane(parts: McpParts): McpPlane {
  let loading: Promise<McpWiring> | null = null;
  let endpoint: McpEndpoint | null = null;
  let declared = parts.config.mcpServers;
  const load = () =>
    (loading ??= import("./wire.ts").then(({ wireMcp }) =>
      wireMcp({ ...parts, config: { ...parts.config, mcpServers: declared } }),
    ));

  return {
    owns: isMcpTarget,
    handle(req, res) {
      if (endpoint) return endpoint.handle(req, res);
      return load().then((wiring) => {
        endpoint = wiring.endpoint;
        return endpoint.handle(req, res);
      });
    },
    start() {
      if (declared.length > 0) load().then(({ servers }) => servers.start(), parts.onFault);
    },
    servers: async () => (declared.length > 0 ? (await load()).servers : null),
    sessions: async () => (await loading)?.sessions() ?? [],
    async reload(next) {
      const wasLoaded = loading;
      declared = next;
      if (wasLoaded) (await wasLoaded).reload(next);
      else if (next.length > 0) (await load()).servers.start();
    },
    drain() {
      loading?.then(
        (wiring) => wiring.drain(),
        () => undefined,
      );
    },
    close: async () => (await loading)?.close(),
  };
}
