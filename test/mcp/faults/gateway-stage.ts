import type { Config, DeclaredMcpServer } from "../../../src/config/model.ts";
import { type FaultyState, type FaultyUpstream, startFaulty } from "../../support/faulty-upstream.ts";
import { startGateway, type TestGateway } from "../../support/gateway.ts";
import {
  askRaw,
  beginSession,
  openRaw,
  type RawAnswer,
  request2025,
  request2026,
  streamRaw,
} from "../../support/raw-mcp.ts";
import { declareServer } from "../fixtures/declare.ts";

/** A tool that answers nothing is given up after this time. */
export const TOOL_TIMEOUT_MS = 3_000;

export const ERAS = ["2025", "2026"] as const;
export type EraName = (typeof ERAS)[number];

/** The whole gateway in front of `faulty`, a server that fails on command, and `healthy`, one that never does. */
export interface FaultyGateway {
  readonly gateway: TestGateway;
  readonly faulty: FaultyUpstream;
  readonly healthy: FaultyUpstream;
  /** A client with a session of its own where it is of the 2025 era. */
  client(era: EraName, options?: ClientOptions): Promise<RawClient>;
  stateOf(server: string): Promise<string>;
  /** Closes all, and expects that no process is left. */
  [Symbol.asyncDispose](): Promise<void>;
}

interface ClientOptions {
  /** `/mcp/faulty` where nothing else is said. */
  readonly path?: string;
  readonly authorization?: string;
  readonly agentId?: string;
}

export interface RawClient {
  readonly path: string;
  /** `name` as the path has it: `faulty___echo` on `/mcp`. */
  call(tool: string, options?: { args?: object; signal?: AbortSignal }): Promise<RawAnswer>;
  ask(method: string, params?: Record<string, unknown>): Promise<RawAnswer>;
  /** The same call as an unread answer. */
  open(tool: string, signal?: AbortSignal): Promise<Response>;
  /** The request as it goes over the wire. */
  request(method: string, params: Record<string, unknown>): { headers: Record<string, string>; body: object };
  /** What tells changes: the GET stream, or `subscriptions/listen`. */
  listen(): ReturnType<typeof streamRaw>;
  headers: Record<string, string>;
}

export async function stageGateway(
  kind: "stdio" | "http",
  options: {
    state?: FaultyState;
    declared?: Partial<DeclaredMcpServer>;
    change?: (config: Config) => Config;
    env?: Record<string, string>;
  } = {},
): Promise<FaultyGateway> {
  const [faulty, healthy] = await Promise.all([startFaulty(kind, options.state), startFaulty("http")]);
  const own = { toolTimeoutMs: TOOL_TIMEOUT_MS, ...options.declared };
  const gateway = await startGateway(options.env, {}, (config) => {
    const mcpServers = [
      declareServer("faulty", faulty.transport, own),
      declareServer("healthy", healthy.transport, { toolTimeoutMs: TOOL_TIMEOUT_MS }),
    ];
    const given = { ...config, mcpServers };
    return options.change?.(given) ?? given;
  });
  return {
    gateway,
    faulty,
    healthy,
    client: (era, more = {}) => connectRaw(gateway.url, `Bearer ${gateway.owner.apiKey}`, era, more),
    async stateOf(server) {
      const { body } = await gateway.call("GET", "/health");
      return body.servers[server].status;
    },
    async [Symbol.asyncDispose]() {
      await gateway.close();
      await Promise.all([faulty.close(), healthy.close()]);
    },
  };
}

/** A client that shows what comes over the wire. */
export async function connectRaw(
  url: string,
  authorization: string,
  era: EraName,
  { path = "/mcp/faulty", agentId, ...more }: ClientOptions = {},
): Promise<RawClient> {
  const headers: Record<string, string> = {
    authorization: more.authorization ?? authorization,
    ...(agentId !== undefined && { "x-agent-id": agentId }),
  };
  if (era === "2025") headers["mcp-session-id"] = await beginSession(url, path, headers);
  let count = 0;
  const request = (method: string, params: Record<string, unknown>) => {
    const id = ++count;
    if (era === "2025") return { headers, body: request2025(id, method, params) };
    const sent = request2026(id, method, params);
    return { body: sent.body, headers: { ...headers, ...sent.headers } };
  };
  const ask = (method: string, params: Record<string, unknown> = {}, signal?: AbortSignal) =>
    askRaw(url, "POST", path, { ...request(method, params), ...(signal && { signal }) });
  return {
    path,
    headers,
    request,
    ask: (method, params) => ask(method, params),
    call: (tool, { args = {}, signal } = {}) => ask("tools/call", { name: tool, arguments: args }, signal),
    open: (tool, signal) =>
      openRaw(url, "POST", path, {
        ...request("tools/call", { name: tool, arguments: {} }),
        ...(signal && { signal }),
      }),
    listen() {
      if (era === "2025") return streamRaw(url, "GET", path, { headers });
      const notifications = { toolsListChanged: true, promptsListChanged: true, resourcesListChanged: true };
      return streamRaw(url, "POST", path, request("subscriptions/listen", { notifications }));
    },
  };
}

/** What became of a call: the text of its result, or the stable code of its error. */
export function outcomeOf({ status, body }: RawAnswer): string {
  const text = body?.result?.content?.[0]?.text;
  if (typeof text === "string") return body.result.isError === true ? `isError: ${text}` : text;
  return body?.error?.data?.code ?? `${status} ${JSON.stringify(body)}`;
}
