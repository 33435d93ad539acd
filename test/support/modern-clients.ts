import { createServer, type IncomingMessage, request as httpRequest, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { GatewayError } from "../../src/core/errors.ts";
import { readMessage, type Reply } from "../../src/jsonrpc/message.ts";
import { EventDecoder } from "../../src/jsonrpc/sse.ts";
import type { Backend, BackendRequest, Backends, InboundMessage, Target } from "../../src/mcp/backend.ts";
import { classify } from "../../src/mcp/modern/classify.ts";
import { createModernClients, type ModernLimits } from "../../src/mcp/modern/clients.ts";
import type { ClientFacts, ServerHello, WatchFilter } from "../../src/mcp-links/types.ts";
import { createManualClock } from "./manual-clock.ts";

/** A backend that does as it is told; what is not scripted fails. */
export interface ScriptedBackend extends Partial<Backend> {
  readonly hello?: () => Promise<ServerHello>;
}

export const HELLO_2026: ServerHello = {
  revision: "2026-07-28",
  capabilities: '{"tools":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true}}',
  info: '{"name":"fixture","version":"1.2.3"}',
  instructions: "Be brief.",
};
export const HELLO_2025: ServerHello = { ...HELLO_2026, revision: "2025-11-25" };

export interface TestClientsOptions {
  readonly target?: Target;
  readonly limits?: Partial<ModernLimits>;
  shared?(caller: InboundMessage["caller"], facts: ClientFacts): Backend;
}

/** The adapter of the 2026 era behind a real HTTP server; `x-test-principal` and `x-agent-id` say who calls. */
export async function startModernClients(script: ScriptedBackend, options: TestClientsOptions = {}) {
  const clock = createManualClock();
  const logged: unknown[] = [];
  const watches = new Set<{ readonly uid: string; end(reason: GatewayError): void }>();
  const backend: Backend = { ...unscripted, ...script };
  const backends: Pick<Backends, "shared"> = {
    shared: (caller, _target, facts) => options.shared?.(caller, facts) ?? backend,
  };
  const clients = createModernClients({
    backends,
    clock,
    log: { error: (...line: unknown[]) => void logged.push(line) },
    version: "0.0.0-test",
    watchCaller: ({ principal }, end) => {
      const watch = { uid: principal.uid, end };
      watches.add(watch);
      return () => void watches.delete(watch);
    },
    ...(options.limits && { limits: options.limits }),
  });
  const server = createServer((request, response) => void serve(request, response));
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const message = readMessage(text);
    const era = classify(request.headers, message);
    if (era.kind === "legacy") return void response.writeHead(418).end();
    await clients.handle(inboundOf(request, response, message, text), era);
  }

  function inboundOf(
    request: IncomingMessage,
    response: ServerResponse,
    message: InboundMessage["message"],
    text: string,
  ): InboundMessage {
    const uid = String(request.headers["x-test-principal"] ?? "usr_1");
    return {
      request,
      response,
      message,
      text,
      requestId: "req_1",
      forwardHeaders: { "x-bifrost-key-id": "vk_1" },
      target: options.target ?? { kind: "routed", server: "fixture" },
      caller: {
        live: null,
        principal: { kind: "virtual_key", uid, id: uid, orgUid: "org_1", orgId: "acme", services: [] },
        agentId: request.headers["x-agent-id"] === undefined ? null : String(request.headers["x-agent-id"]),
        context: {
          requestId: "req_1",
          clientAddress: "127.0.0.1",
          publicUrl: `http://127.0.0.1:${port}`,
          header: (name) => request.headers[name]?.toString(),
        },
      },
    };
  }

  return {
    clients,
    clock,
    logged,
    port,
    /** What is watched for the end of its caller. */
    watches,
    /** The principal's right ends. */
    revoke(uid: string): void {
      for (const watch of [...watches]) if (watch.uid === uid) watch.end(new GatewayError("key.revoked"));
    },
    async [Symbol.asyncDispose]() {
      clients.close();
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

const missing = (name: string) => () => {
  throw new Error(`${name} is not scripted`);
};
const unscripted: Backend = {
  hello: missing("hello"),
  request: missing("request"),
  notify: missing("notify"),
  setLogLevel: missing("setLogLevel"),
  watch: missing("watch"),
  listen: missing("listen"),
  close: missing("close"),
};

export const ENVELOPE = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientInfo": { name: "test", version: "1" },
  "io.modelcontextprotocol/clientCapabilities": { elicitation: {}, sampling: {}, roots: {} },
};

export interface PostOptions {
  readonly id?: string | number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly meta?: Readonly<Record<string, unknown>>;
  readonly signal?: AbortSignal;
}

/** One answer, taken apart: plain JSON, or the messages of an event stream. */
export interface Posted {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
  /** Each message in order; the last is the answer, if the stream ended. */
  readonly messages: readonly WireMessage[];
}

export interface WireMessage {
  readonly id?: string | number | null;
  readonly method?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly code: number; readonly message: string; readonly data?: unknown };
}

/** A well-formed POST of the 2026 era, with what `options` replaces. Reads the answer to its end. */
export async function post(
  port: number,
  method: string,
  params: Readonly<Record<string, unknown>> = {},
  options: PostOptions = {},
): Promise<Posted> {
  const response = await openPost(port, method, params, options);
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  const { statusCode: status = 0, headers } = response;
  return { status, headers, text, messages: messagesOf(text, headers["content-type"]) };
}

/** The same, given back when the head of the answer is there. */
export function openPost(
  port: number,
  method: string,
  params: Readonly<Record<string, unknown>> = {},
  { id = 1, headers = {}, meta = {}, signal }: PostOptions = {},
): Promise<IncomingMessage> {
  const body = JSON.stringify({ jsonrpc: "2.0", id, method, params: { ...params, _meta: { ...ENVELOPE, ...meta } } });
  const name = method === "resources/read" ? params["uri"] : params["name"];
  return postText(
    port,
    body,
    {
      "mcp-protocol-version": "2026-07-28",
      "mcp-method": method,
      ...(typeof name === "string" && { "mcp-name": name }),
      ...headers,
    },
    signal,
  );
}

export function postText(
  port: number,
  body: string,
  headers: Readonly<Record<string, string>>,
  signal?: AbortSignal,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(
      {
        port,
        host: "127.0.0.1",
        method: "POST",
        path: "/mcp",
        headers: { "content-type": "application/json", ...headers },
        ...(signal && { signal }),
      },
      resolve,
    );
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

function messagesOf(text: string, contentType: string | undefined): WireMessage[] {
  if (text === "") return [];
  if (contentType !== "text/event-stream") return [JSON.parse(text) as WireMessage];
  return eventsOf(text);
}

function eventsOf(text: string): WireMessage[] {
  const messages: WireMessage[] = [];
  new EventDecoder(1024 * 1024, ({ data }) => void messages.push(JSON.parse(data) as WireMessage)).push(
    Buffer.from(text),
  );
  return messages;
}

/** Reads a stream's messages one by one, as they come. */
export async function* readStream(response: IncomingMessage): AsyncGenerator<WireMessage> {
  const arrived: WireMessage[] = [];
  const decoder = new EventDecoder(1024 * 1024, ({ data }) => void arrived.push(JSON.parse(data) as WireMessage));
  for await (const chunk of response) {
    decoder.push(chunk as Buffer);
    yield* arrived.splice(0);
  }
}

/** A reply whose result is this. */
export function result(value: unknown): Reply {
  return { result: JSON.stringify(value) };
}

/** A request that stays open until the test ends it, and what the backend was given. */
export function heldRequest() {
  const started = Promise.withResolvers<BackendRequest>();
  const reply = Promise.withResolvers<Reply>();
  return {
    started: started.promise,
    reply,
    request: (request: BackendRequest): Promise<Reply> => {
      started.resolve(request);
      request.signal?.addEventListener("abort", () => reply.reject(new Error("aborted")), { once: true });
      return reply.promise;
    },
  };
}

export const ALL: WatchFilter = { tools: true, prompts: true, resources: true, resourceUris: [] };
