import type { KeyOrder } from "../../src/keys/model.ts";
import type { Service, ServiceSettings } from "../../src/services/model.ts";
import { type ProxyGateway, startProxyGateway } from "./proxy-gateway.ts";
import { exchangeRaw } from "./raw-sockets.ts";
import { startUpstream, type Upstream } from "./upstream.ts";

/** What an upstream that echoes saw of a request. */
export interface Echo {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface StageKey {
  readonly service: Service;
  readonly secret: string;
  readonly id: string;
  readonly uid: string;
}

/** A gateway in front of one upstream, for attacks on it: raw bytes in, raw bytes out. */
export interface Stage extends AsyncDisposable {
  readonly gateway: ProxyGateway;
  readonly upstream: Upstream;
  /** A key for a fresh service on the upstream. */
  key(
    settings?: Partial<ServiceSettings>,
    order?: Partial<KeyOrder>,
    given?: { secret?: string | null; basePath?: string },
  ): Promise<StageKey>;
  /** Sends a request exactly as written, closes the connection after it, and returns the whole answer. */
  raw(requestLine: string, headers?: readonly string[], body?: string): Promise<string>;
  /** The same with a key, and what the upstream saw, where it answered. */
  echo(key: Pick<StageKey, "secret">, requestLine: string, headers?: readonly string[], body?: string): Promise<Echo>;
}

export async function startStage(
  options: Parameters<typeof startProxyGateway>[0] = {},
  behaviours: Parameters<typeof startUpstream>[0] = {},
): Promise<Stage> {
  const gateway = await startProxyGateway(options);
  const upstream = await startUpstream(behaviours);
  const raw = (requestLine: string, headers: readonly string[] = [], body = "") =>
    exchangeRaw(
      gateway.url,
      [`${requestLine} HTTP/1.1`, "Host: gateway.test", ...headers, "Connection: close", "", ""].join("\r\n") + body,
    );
  return {
    gateway,
    upstream,
    async key(settings = {}, order = {}, given = {}) {
      const service = await gateway.service(upstream.origin, { settings, ...given });
      return { service, ...(await gateway.key(service, order)) };
    },
    raw,
    async echo({ secret }, requestLine, headers = [], body = "") {
      const answer = await raw(requestLine, [`Authorization: Bearer ${secret}`, ...headers], body);
      const json = answer.slice(answer.indexOf("\r\n\r\n") + 4);
      if (!answer.startsWith("HTTP/1.1 200 ")) throw new Error(`not answered by the upstream: ${answer}`);
      return JSON.parse(json) as Echo;
    },
    async [Symbol.asyncDispose]() {
      await gateway.close();
      await upstream.close();
    },
  };
}

/** Status, lower-case headers and body of a raw answer with a Content-Length or none. */
export function parseAnswer(answer: string): { status: number; headers: Record<string, string>; body: string } {
  const end = answer.indexOf("\r\n\r\n");
  const [statusLine = "", ...lines] = answer.slice(0, end).split("\r\n");
  return {
    status: Number(statusLine.split(" ")[1]),
    headers: Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
    ),
    body: answer.slice(end + 4),
  };
}
