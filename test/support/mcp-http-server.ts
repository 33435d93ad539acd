import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { HttpTransport } from "../../src/mcp-links/http/upstreams.ts";

/** One request that a scripted MCP server got. */
export interface Received {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
  /** The message in the body; an empty object where there is none. */
  readonly message: { id?: number | string; method?: string; params?: unknown; result?: unknown; error?: unknown };
}

/** What it returns is awaited, and else of no account. */
export type Answer = (received: Received, response: ServerResponse) => unknown;

/** An MCP server whose every answer the test writes. Listens on loopback. */
export interface ScriptedServer {
  readonly url: string;
  readonly received: readonly Received[];
  /** Resolves with the next request that fits, also one that already came. */
  seen(fits: (received: Received) => boolean): Promise<Received>;
  /** Sockets that are open now. */
  connections(): Promise<number>;
  close(): Promise<void>;
}

export async function scriptedServer(answer: Answer): Promise<ScriptedServer> {
  const received: Received[] = [];
  const waiting: { fits: (received: Received) => boolean; resolve: (received: Received) => void }[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(Buffer.from(chunk));
      const body = Buffer.concat(chunks).toString();
      const one: Received = {
        method: request.method ?? "",
        url: request.url ?? "",
        headers: request.headers,
        body,
        message: body.startsWith("{") ? JSON.parse(body) : {},
      };
      received.push(one);
      for (const each of waiting) if (each.fits(one)) each.resolve(one);
      await answer(one, response);
    })().catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;

  return {
    url: `http://127.0.0.1:${port}/mcp`,
    received,
    async seen(fits) {
      const already = received.find(fits);
      if (already) return already;
      const { promise, resolve } = Promise.withResolvers<Received>();
      waiting.push({ fits, resolve });
      return promise;
    },
    connections: () => new Promise((resolve) => server.getConnections((_error, count) => resolve(count))),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Answers with one JSON body. */
export function sendJson(
  response: ServerResponse,
  body: unknown,
  status = 200,
  headers: Record<string, string> = {},
): void {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(text),
    ...headers,
  });
  response.end(text);
}

/** Begins an event stream. */
export function sendEvents(response: ServerResponse, events = ""): ServerResponse {
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.write(events);
  return response;
}

export function httpTransport(url: string, changes: Partial<HttpTransport> = {}): HttpTransport {
  return {
    kind: "http",
    url,
    protocol: "streamable",
    headers: {},
    connectTimeoutMs: 5_000,
    allowAddresses: [],
    auth: { kind: "none" },
    ...changes,
  };
}
