import { isDeepStrictEqual } from "node:util";
import type { DeclaredMcpServer } from "../config/model.ts";
import { createMcpServer, type ManagedServer, type McpServerDeps } from "./server.ts";
import type { McpServers } from "./types.ts";

/** For calls that run when their server is taken away, in milliseconds. */
const REPLACE_GRACE_MS = 10_000;

/** The servers of the configuration. Nothing is started before `start`; each lives for itself, a dead one harms no other. */
export function createMcpServers(declared: readonly DeclaredMcpServer[], deps: McpServerDeps): McpServers {
  let byName = new Map(declared.map((server) => [server.name, createMcpServer(server, deps)]));
  const leaving = new Set<Promise<void>>();
  let isStarted = false;

  function take(server: DeclaredMcpServer): ManagedServer {
    const current = byName.get(server.name);
    if (current && isDeepStrictEqual(current.declared, server)) return current;
    const fresh = createMcpServer(server, deps);
    if (isStarted) fresh.start();
    return fresh;
  }

  return {
    find: (name) => byName.get(name),
    all: () => [...byName.values()],
    start() {
      isStarted = true;
      for (const server of byName.values()) server.start();
    },
    replace(next) {
      const before = [...byName.values()];
      byName = new Map(next.map((server) => [server.name, take(server)]));
      const gone = before.filter((server) => byName.get(server.declared.name) !== server);
      for (const server of gone) {
        const left = server.close(REPLACE_GRACE_MS).finally(() => leaving.delete(left));
        leaving.add(left);
      }
      return gone.map((server) => server.declared);
    },
    async close(graceMs) {
      await Promise.all([...[...byName.values()].map((server) => server.close(graceMs)), ...leaving]);
    },
  };
}
