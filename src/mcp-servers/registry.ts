import type { DeclaredMcpServer } from "../config/model.ts";
import { createMcpServer, type McpServerDeps } from "./server.ts";
import type { McpServers } from "./types.ts";

/** The servers of the configuration. Nothing is started before `start`; each lives for itself, a dead one harms no other. */
export function createMcpServers(declared: readonly DeclaredMcpServer[], deps: McpServerDeps): McpServers {
  const byName = new Map(declared.map((server) => [server.name, createMcpServer(server, deps)]));
  const all = [...byName.values()];
  return {
    find: (name) => byName.get(name),
    all: () => all,
    start() {
      for (const server of all) server.start();
    },
    async close(graceMs) {
      await Promise.all(all.map((server) => server.close(graceMs)));
    },
  };
}
