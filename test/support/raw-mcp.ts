import { createHash } from "node:crypto";

/** An answer of the gateway, read to its end: of an event stream, its last message. */
export interface RawAnswer {
  readonly status: number;
  readonly headers: Headers;
  // oxlint-disable-next-line typescript/no-explicit-any -- a test reads the fields that it expects
  readonly body: any;
  /** All messages of an event stream, in their order; of JSON, the one. */
  readonly messages: readonly RawMessage[];
}

export interface RawMessage {
  readonly id?: number | string | null;
  readonly method?: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- a test reads the fields that it expects
  readonly params?: any;
  // oxlint-disable-next-line typescript/no-explicit-any -- a test reads the fields that it expects
  readonly result?: any;
  readonly error?: { readonly code: number; readonly message: string; readonly data?: { readonly code?: string } };
}

export interface RawRequest {
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

const JSON_HEADERS = { "content-type": "application/json", accept: "application/json, text/event-stream" };

/** One HTTP request as no SDK would make it. */
export function openRaw(
  url: string,
  method: string,
  path: string,
  { headers = {}, body, signal }: RawRequest = {},
): Promise<Response> {
  const given = Object.entries({ ...JSON_HEADERS, ...headers }).filter((entry) => entry[1] !== undefined);
  return fetch(url + path, {
    method,
    headers: given as [string, string][],
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    ...(signal === undefined ? {} : { signal }),
  });
}

/** The same, read to its end. */
export async function askRaw(...args: Parameters<typeof openRaw>): Promise<RawAnswer> {
  const reply = await openRaw(...args);
  const text = await reply.text();
  const isStream = reply.headers.get("content-type")?.startsWith("text/event-stream") ?? false;
  const messages = isStream ? dataOf(text).map(parsed) : text === "" ? [] : [parsed(text)];
  return { status: reply.status, headers: reply.headers, body: messages.at(-1) ?? null, messages };
}

const parsed = (text: string) => JSON.parse(text) as RawMessage;

function dataOf(events: string): string[] {
  return events
    .split("\n")
    .filter((line) => line.startsWith("data:") && line.slice(5).trim() !== "")
    .map((line) => line.slice(5));
}

/** An event stream that is read as it comes. */
export interface RawStream {
  readonly status: number;
  readonly messages: readonly RawMessage[];
  /** Id of the last event. */
  lastEventId(): string;
  /** Resolves when the stream ended, in whatever way. */
  readonly ended: Promise<void>;
  close(): void;
}

/** Opens an event stream, and reads on in the background. */
export async function streamRaw(
  url: string,
  method: string,
  path: string,
  request: Omit<RawRequest, "signal"> = {},
): Promise<RawStream> {
  const stop = new AbortController();
  const reply = await openRaw(url, method, path, { ...request, signal: stop.signal });
  const messages: RawMessage[] = [];
  let lastId = "";
  async function read(): Promise<void> {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const chunk of reply.body ?? []) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line.startsWith("id:")) lastId = line.slice(3).trim();
        if (line.startsWith("data:") && line.slice(5).trim() !== "") messages.push(parsed(line.slice(5)));
      }
    }
  }
  return {
    status: reply.status,
    messages,
    lastEventId: () => lastId,
    ended: read().catch(() => undefined),
    close: () => stop.abort(),
  };
}

export const REVISION_2025 = "2025-11-25";
export const REVISION_2026 = "2026-07-28";

export const initializeMessage = (capabilities: object = {}) => ({
  jsonrpc: "2.0",
  id: 0,
  method: "initialize",
  params: { protocolVersion: REVISION_2025, capabilities, clientInfo: { name: "raw", version: "1" } },
});

/** Begins a session of the 2025 era and returns its id. */
export async function beginSession(
  url: string,
  path: string,
  headers: Readonly<Record<string, string | undefined>>,
  capabilities: object = {},
): Promise<string> {
  const {
    status,
    headers: given,
    body,
  } = await askRaw(url, "POST", path, {
    headers,
    body: initializeMessage(capabilities),
  });
  const id = given.get("mcp-session-id");
  if (status !== 200 || id === null) throw new Error(`initialize answered ${status}: ${JSON.stringify(body)}`);
  return id;
}

/** A request of the 2025 era. */
export const request2025 = (id: number | string, method: string, params: object = {}) => ({
  jsonrpc: "2.0",
  id,
  method,
  params,
});

/** A request of the 2026 era with the headers that must match it. */
export function request2026(id: number | string, method: string, params: Record<string, unknown> = {}, client = {}) {
  const name = params["name"] ?? params["uri"];
  return {
    headers: {
      "mcp-protocol-version": REVISION_2026,
      "mcp-method": method,
      ...(typeof name === "string" ? { "mcp-name": name } : {}),
    },
    body: {
      jsonrpc: "2.0",
      id,
      method,
      params: {
        ...params,
        _meta: {
          "io.modelcontextprotocol/protocolVersion": REVISION_2026,
          "io.modelcontextprotocol/clientInfo": { name: "raw", version: "1" },
          "io.modelcontextprotocol/clientCapabilities": client,
        },
      },
    },
  };
}

/** What can be compared of two refusals: everything but what differs from request to request. */
export function comparable({ status, headers, body }: RawAnswer): string {
  const names = [...headers.keys()].filter((name) => !["date", "x-request-id"].includes(name)).toSorted();
  const text = JSON.stringify(body).replaceAll(/req_[0-9A-Za-z]+/g, "R");
  return JSON.stringify([status, names.map((name) => [name, headers.get(name)]), text]);
}

/** A text of the right form that nobody was given. */
export const madeUp = (seed: string, length = 160) =>
  createHash("sha512").update(seed).digest("base64url").repeat(2).slice(0, length);
