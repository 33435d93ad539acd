import type { Config } from "../config/model.ts";

/** How the client configuration names the servers: one address for each, or one for all. */
export type Mode = "routed" | "unified";

/**
 * The client configuration that `serve --config-stdin` prints: what an MCP client needs to reach this gateway. With
 * several agents it is the first one's, with the servers that its policy allows.
 *
 * @param url where the gateway listens; a wildcard address already replaced
 */
export function clientConfiguration(config: Config, url: string, mode: Mode): Record<string, unknown> {
  const base = publicBase(config, url);
  const [agent] = config.gateway.agents;
  const headers = agent ? { headers: { Authorization: agent.secret } } : {};
  if (mode === "unified") {
    return { mcpServers: { bifrost: { type: "http", url: `${base}/mcp`, ...headers } } };
  }
  const entries = config.mcpServers.flatMap(({ name, tools }) => {
    const policy = agent?.servers?.find((entry) => entry.server === name);
    if (agent?.servers && !policy) return [];
    const allowed = policy?.tools ?? tools;
    return [[name, { type: "http", url: `${base}/mcp/${name}`, ...headers, ...(allowed ? { tools: allowed } : {}) }]];
  });
  return { mcpServers: Object.fromEntries(entries) as Record<string, unknown> };
}

/** The public address where there is one, else `gateway.domain` with the port in use, else the address listened on. */
function publicBase(config: Config, url: string): string {
  if (config.server.publicUrl !== null) return config.server.publicUrl;
  const { domain } = config.gateway;
  if (domain === null) return url;
  return `http://${domain.includes(":") ? `[${domain}]` : domain}:${new URL(url).port || "80"}`;
}
