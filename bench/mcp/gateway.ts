import { join } from "node:path";
import { keysSection, post, RATE_LIMIT, startConfigured } from "../gateway.ts";
import type { Running } from "../processes.ts";
import type { Era, McpTarget } from "./session.ts";

/** The servers that the gateway stands before. */
export interface Upstreams {
  /** Address of the HTTP server of 2025. */
  readonly http: string;
  /** Address of the one that speaks the revision of 2026 too. */
  readonly modern: string;
  /** Command of the stdio server. */
  readonly stdio: readonly string[];
}

export interface McpGateway extends Running {
  /** Routed: one server, whose tools keep their names. */
  target(server: keyof Upstreams, era: Era): McpTarget;
  /** What its own metrics say of its JavaScript heap; rejects where they are off. */
  heapMib(): Promise<number>;
}

/**
 * The gateway as its users run it: its production flags, SQLite, and a virtual key that grants the servers, with a rate
 * limit that is counted but never reached.
 */
export async function startMcpGateway(
  folder: string,
  core: number | undefined,
  upstreams: Upstreams,
  { metrics = false, nodeOptions = [] }: { metrics?: boolean; nodeOptions?: readonly string[] } = {},
): Promise<McpGateway> {
  const [command, ...args] = upstreams.stdio;
  const servers = `
[metrics]
enabled = ${metrics}

[gateway]
max_sessions = 2000

[servers.http]
url = ${JSON.stringify(upstreams.http)}

[servers.modern]
url = ${JSON.stringify(upstreams.modern)}

[servers.stdio]
command = ${JSON.stringify(command)}
args = ${JSON.stringify(args)}
max_processes = 200
`;
  const running = await startConfigured(join(folder, "gateway"), core, keysSection() + servers, nodeOptions);
  try {
    const issued = await post(running.origin, "/v1/keys", running.headers, {
      id: "bench-mcp",
      grants: Object.keys(upstreams).map((server) => ({ mcp_server: server })),
      scope: "write",
      rate_limit: RATE_LIMIT,
      ttl: "2h",
    });
    const headers = { authorization: `Bearer ${String(issued["virtual_key"])}` };
    return {
      ...running,
      target: (server, era) => ({ url: `${running.origin}/mcp/${server}`, headers, era }),
      async heapMib() {
        const reply = await fetch(`${running.origin}/metrics`, { headers: running.headers });
        const bytes = /^bifrost_nodejs_heap_size_used_bytes (\S+)$/m.exec(await reply.text())?.[1];
        if (bytes === undefined) throw new Error(`GET /metrics answered ${reply.status} without the size of the heap`);
        return Number(bytes) / 2 ** 20;
      },
    };
  } catch (error) {
    await running.stop();
    throw error;
  }
}
