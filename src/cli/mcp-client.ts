import { z } from "zod";
import { ERRORS } from "../core/errors.ts";
import { type JsonText, withMembers } from "../jsonrpc/json-slice.ts";
import { requestText } from "../jsonrpc/message.ts";
import { EventDecoder } from "../jsonrpc/sse.ts";
import { VERSION } from "../version.ts";
import { type Api, path, unreachable } from "./api-client.ts";
import { CliFailure, EXIT, exitCodeOf } from "./failure.ts";
import type { Item } from "./terminal.ts";

const REVISION = "2026-07-28";
const MAX_EVENT_BYTES = 64 * 1024 * 1024;
/** Of one list; a server that never ends one is not followed for ever. */
const MAX_PAGES = 1_000;

const Answer = z.union([
  z.object({ result: z.record(z.string(), z.unknown()) }),
  z.object({
    error: z.object({
      code: z.number(),
      message: z.string(),
      data: z.object({ code: z.string(), request_id: z.string() }).partial().optional(),
    }),
  }),
]);

export interface McpClientOptions {
  /** Null: all servers, with the names of unified mode. */
  readonly server: string | null;
  /** `X-Agent-ID`. */
  readonly agent: string | undefined;
  readonly timeoutMs: number;
  /** Progress and log messages, as one line each. */
  onMessage(text: string): void;
}

/** The gateway's own MCP endpoint, as any client of revision 2026-07-28 uses it: one POST a request, and no session. */
export interface McpClient {
  /** @param params the object, as text: numbers stay as they were typed. @throws CliFailure */
  request(method: string, params: JsonText, name?: string): Promise<Item>;
  /** All pages of a list. @throws CliFailure */
  list(method: string, member: string): Promise<Item[]>;
}

export function createMcpClient(api: Api, options: McpClientOptions): McpClient {
  const target = options.server === null ? "/mcp" : path`/mcp/${options.server}`;

  async function request(method: string, params: JsonText, name?: string): Promise<Item> {
    const meta = {
      "io.modelcontextprotocol/protocolVersion": REVISION,
      "io.modelcontextprotocol/clientInfo": { name: "bifrost-cli", version: VERSION },
      "io.modelcontextprotocol/clientCapabilities": {},
      "io.modelcontextprotocol/logLevel": "warning",
      progressToken: 1,
    };
    const body = requestText("1", method, withMembers(params, { _meta: JSON.stringify(meta) }));
    const headers = {
      accept: "application/json, text/event-stream",
      "mcp-protocol-version": REVISION,
      "mcp-method": method,
      ...(name === undefined ? {} : { "mcp-name": headerText(name) }),
      ...(options.agent === undefined ? {} : { "x-agent-id": options.agent }),
    };
    const response = await api.post(target, body, headers, options.timeoutMs);
    return resultOf(await readAnswer(response, api.url, options), response.status, api.url);
  }

  return {
    request,
    async list(method, member) {
      const items: Item[] = [];
      let cursor: unknown;
      for (let page = 0; page < MAX_PAGES; page++) {
        const result = await request(method, JSON.stringify(cursor === undefined ? {} : { cursor }));
        const part = result[member];
        if (Array.isArray(part)) items.push(...(part as Item[]));
        cursor = result["nextCursor"];
        if (typeof cursor !== "string") return items;
      }
      return items;
    },
  };
}

/** 2026-07-28, Transports: a header carries visible ASCII; every other name goes as Base64. */
function headerText(name: string): string {
  const isPlain = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(name) && !name.startsWith("=?base64?");
  return isPlain ? name : `=?base64?${Buffer.from(name).toString("base64")}?=`;
}

/** The JSON-RPC response, from a JSON body or from the end of an event stream; undefined where there is none. */
async function readAnswer(
  response: Response,
  url: string,
  { onMessage, timeoutMs }: McpClientOptions,
): Promise<unknown> {
  try {
    if (!response.headers.get("content-type")?.startsWith("text/event-stream") || !response.body) {
      return parseJson(await response.text());
    }
    let answer: unknown;
    const decoder = new EventDecoder(MAX_EVENT_BYTES, ({ data }) => {
      const message = parseJson(data);
      if (Answer.safeParse(message).success) answer = message;
      else tell(message, onMessage);
    });
    for await (const chunk of response.body) decoder.push(Buffer.from(chunk));
    return answer;
  } catch (error) {
    throw unreachable(url, error, timeoutMs);
  }
}

const Notification = z.union([
  z.object({
    method: z.literal("notifications/progress"),
    params: z.object({ progress: z.number(), total: z.number().optional(), message: z.string().optional() }),
  }),
  z.object({ method: z.literal("notifications/message"), params: z.object({ level: z.string(), data: z.unknown() }) }),
]);

function tell(message: unknown, onMessage: (text: string) => void): void {
  const parsed = Notification.safeParse(message);
  if (!parsed.success) return;
  if (parsed.data.method === "notifications/message") {
    const { level, data } = parsed.data.params;
    onMessage(`${level}: ${typeof data === "string" ? data : JSON.stringify(data)}`);
  } else {
    const { progress, total, message: text } = parsed.data.params;
    onMessage(`${progress}${total === undefined ? "" : `/${total}`}${text === undefined ? "" : ` ${text}`}`);
  }
}

/** @throws CliFailure for an error, with the gateway's stable code where it has one */
function resultOf(answer: unknown, status: number, url: string): Item {
  const parsed = Answer.safeParse(answer);
  if (!parsed.success) {
    throw new CliFailure(EXIT.failure, `${url} answered with status ${status}, and not as an MCP server does.`, {
      code: "cli.bad_answer",
    });
  }
  if ("result" in parsed.data) return parsed.data.result;
  const { message, code: rpcCode, data } = parsed.data.error;
  const code = data?.code;
  const known = code !== undefined && Object.hasOwn(ERRORS, code) ? ERRORS[code as keyof typeof ERRORS] : null;
  const exit = known ? exitCodeOf(known.status) : rpcCode === -32602 ? EXIT.usage : exitCodeOf(status);
  throw new CliFailure(exit, message, {
    code: code ?? `rpc.${rpcCode}`,
    ...(data?.request_id === undefined ? {} : { requestId: data.request_id }),
    ...(known ? { hint: known.remedy } : {}),
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
