import { openConnection, type Connection, type HttpReply } from "./connection.ts";

export type Method = "tools/call" | "tools/list";
export type Era = "2025-11-25" | "2026-07-28";

/** One way to an MCP server. */
export interface McpTarget {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly era: Era;
}

/** One client: its connection and, in the era of 2025, its session. */
export interface Session {
  /** Rejects when the answer is not the one to this request, byte for byte in what counts. */
  call(method: Method): Promise<void>;
  /** The status of a GET for the session's own stream, which then stays open on another connection. */
  stream(): Promise<number>;
  /** Drops the connection; the next call makes a new one. Servers close idle ones at times of their own. */
  rest(): void;
  end(): Promise<void>;
}

const META = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientInfo": { name: "bench", version: "1" },
  "io.modelcontextprotocol/clientCapabilities": {},
};
const PADDING = "x".repeat(100);
/** Unique over all sessions of this process: an answer that went to the wrong one is noticed. */
let lastId = 0;

/** In the era of 2025 the initialize has been answered when this resolves; otherwise nothing was sent. */
export async function openSession(target: McpTarget): Promise<Session> {
  const url = new URL(target.url);
  const modern = target.era === "2026-07-28";
  let sessionId: string | null = null;
  let connection: Connection | null = null;
  const streams: Connection[] = [];

  const head = (verb: string, more: Readonly<Record<string, string>>): string => {
    const headers = {
      accept: verb === "GET" ? "text/event-stream" : "application/json, text/event-stream",
      ...target.headers,
      ...(sessionId === null ? {} : { "mcp-session-id": sessionId }),
      ...(sessionId === null && !modern ? {} : { "mcp-protocol-version": target.era }),
      ...more,
    };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    return `${verb} ${url.pathname} HTTP/1.1\r\n${lines.join("")}`;
  };
  const json = { "content-type": "application/json" };
  const post = (prefix: string, body: string): Promise<HttpReply> =>
    (connection ??= openConnection(url)).send(prefix, body);

  if (!modern) {
    const params = { protocolVersion: target.era, capabilities: {}, clientInfo: { name: "bench", version: "1" } };
    const id = ++lastId;
    const reply = await post(head("POST", json), JSON.stringify({ jsonrpc: "2.0", id, method: "initialize", params }));
    if (resultOf(reply, id)["serverInfo"] === undefined) throw unexpected(reply);
    sessionId = reply.headers.get("mcp-session-id") ?? null;
    const ready = JSON.stringify({ jsonrpc: "2.0", method: "notifications/initialized" });
    const { status } = await post(head("POST", json), ready);
    if (status !== 202) throw new Error(`notifications/initialized was answered ${status}`);
  }
  const heads = {
    "tools/call": head("POST", modern ? { ...json, "mcp-method": "tools/call", "mcp-name": "echo" } : json),
    "tools/list": head("POST", modern ? { ...json, "mcp-method": "tools/list" } : json),
  };
  const envelope = modern ? { _meta: META } : {};

  return {
    async call(method) {
      const id = ++lastId;
      const message = `call ${id} ${PADDING}`;
      const params = method === "tools/call" ? { name: "echo", arguments: { message } } : {};
      const reply = await post(
        heads[method],
        JSON.stringify({ jsonrpc: "2.0", id, method, params: { ...params, ...envelope } }),
      );
      const result = resultOf(reply, id);
      if (method === "tools/call" ? !isEcho(result, message) : !isToolList(result)) throw unexpected(reply);
    },
    async stream() {
      const own = openConnection(url);
      streams.push(own);
      return own.follow(head("GET", {}));
    },
    rest() {
      connection?.close();
      connection = null;
    },
    async end() {
      for (const stream of streams.splice(0)) stream.close();
      if (sessionId !== null) {
        connection ??= openConnection(url);
        await connection.send(head("DELETE", {}), "").catch(() => undefined);
      }
      connection?.close();
      connection = null;
    },
  };
}

/** The result of the response with this id, alone or as an event of a stream. */
function resultOf(reply: HttpReply, id: number): Record<string, unknown> {
  if (reply.status !== 200) throw unexpected(reply);
  const isStream = reply.headers.get("content-type")?.startsWith("text/event-stream");
  const texts = isStream
    ? reply.body.split("\n").flatMap((line) => (line.startsWith("data: {") ? [line.slice(6)] : []))
    : [reply.body];
  for (const text of texts) {
    const message: { id?: unknown; result?: Record<string, unknown> } = JSON.parse(text);
    if (message.id === id && message.result !== undefined) return message.result;
  }
  throw unexpected(reply);
}

function isEcho(result: Record<string, unknown>, message: string): boolean {
  const [first, ...others]: { text?: unknown }[] = Array.isArray(result["content"]) ? result["content"] : [];
  return others.length === 0 && first?.text === message;
}

function isToolList(result: Record<string, unknown>): boolean {
  const tools: { name?: unknown }[] = Array.isArray(result["tools"]) ? result["tools"] : [];
  return tools.length === 10 && tools[0]?.name === "echo";
}

function unexpected({ status, body }: HttpReply): Error {
  return new Error(`answered ${status}, not what the server sends: ${body.slice(0, 300)}`);
}
