import type { Config } from "../config/model.ts";
import type { Plane } from "../http/gateway-server.ts";
import type { McpEndpoint } from "./endpoint.ts";
import type { McpParts } from "./wire.ts";

/** The paths of the MCP endpoint; a trailing slash is ignored. */
const PATHS: readonly string[] = ["/mcp", "/mcp/bifrost"];

/**
 * The MCP endpoint as a plane of the gateway. Loaded by the first request to it (a quarter of a second): the
 * SDK costs memory that a gateway which nobody calls over MCP need not spend.
 */
export function createMcpPlane(parts: McpParts, server: Config["server"]): Plane & { close(): Promise<void> } {
  let endpoint: Promise<McpEndpoint> | null = null;
  return {
    owns(url) {
      if (!url.startsWith("/mcp")) return false;
      const path = url.split("?", 1)[0] ?? "";
      return PATHS.includes(path.endsWith("/") ? path.slice(0, -1) : path);
    },
    async handle(req, res) {
      endpoint ??= load(parts, server);
      await (await endpoint).handle(req, res);
    },
    close: async () => (await endpoint)?.close(),
  };
}

async function load(parts: McpParts, server: Config["server"]): Promise<McpEndpoint> {
  const [{ createMcpEndpoint }, { frontDoorFor }, { wireMcp }] = await Promise.all([
    import("./endpoint.ts"),
    import("./front-door.ts"),
    import("./wire.ts"),
  ]);
  return createMcpEndpoint(wireMcp(parts), frontDoorFor(server));
}
