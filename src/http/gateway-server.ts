import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { GatewayError } from "../core/errors.ts";
import { requestIdFrom } from "../core/ids.ts";
import { applyCors, type Cors } from "./cors.ts";
import { renderHttpError } from "./render-error.ts";

/** A part of the gateway that answers a family of paths, ahead of the management API. */
export interface Plane {
  /** Asked for every request: must be cheap. */
  owns(url: string): boolean;
  handle(req: IncomingMessage, res: ServerResponse): void | Promise<void>;
  /** Absent: upgrades on this plane are refused. */
  upgrade?(req: IncomingMessage, socket: Duplex, head: Buffer): void | Promise<void>;
}

export interface GatewayServerOptions {
  readonly host: string;
  readonly port: number;
  /** In order; the first that owns a path answers it. */
  readonly planes: readonly Plane[];
  readonly management: RequestListener;
  readonly cors: Cors;
  /** A handler threw or rejected: a fault of ours. */
  onFault(thrown: unknown): void;
}

export interface GatewayServer {
  /** Resolves with the address in use (a port of 0 is then known). Rejects when it is taken. */
  listen(): Promise<AddressInfo>;
  /** Stops accepting, closes idle connections, waits up to `graceMs` for running requests, then `cutOff` and closes the rest. */
  close(graceMs: number, cutOff: () => void): Promise<void>;
}

/** A head must arrive within this time: nobody holds a connection by sending one byte a second. */
const HEADERS_TIMEOUT_MS = 15_000;
/** For a whole management body of at most a mebibyte. */
const BODY_TIMEOUT_MS = 30_000;
/** Longer than the idle time of the usual load balancers (60 s), so that they close first and never hit a closing connection. */
const KEEP_ALIVE_MS = 65_000;
const MAX_HEADER_BYTES = 32 * 1024;

/** The one listening socket: it hands each request to its plane, everything else to the management API. */
export function createGatewayServer(options: GatewayServerOptions): GatewayServer {
  const { planes, management, cors } = options;
  const planeFor = (url: string) => planes.find((plane) => plane.owns(url));

  const server = createServer(
    {
      headersTimeout: HEADERS_TIMEOUT_MS,
      // The whole request may take long: uploads of any size are streamed. Planes limit idle time.
      requestTimeout: 0,
      keepAliveTimeout: KEEP_ALIVE_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
      noDelay: true,
      shouldUpgradeCallback: isWebSocket,
    },
    function routeRequest(req, res) {
      if (applyCors(cors, req, res)) return;
      const plane = planeFor(req.url ?? "/");
      if (!plane) {
        limitBodyTime(req);
        return management(req, res);
      }
      const handled = plane.handle(req, res);
      if (handled) handled.catch(options.onFault);
    },
  );
  server.on("upgrade", (req, socket, head) => {
    const plane = planeFor(req.url ?? "/");
    if (plane?.upgrade) {
      const handled = plane.upgrade(req, socket, head);
      if (handled) handled.catch(options.onFault);
    } else refuseUpgrade(req, socket);
  });
  // CONNECT makes a tunnel of the gateway; without a listener Node would close the socket without a word.
  server.on("connect", refuseUpgrade);
  server.on("clientError", (_error, socket) => {
    if (socket.writable) socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  });

  return {
    listen: () => listen(server, options),
    close: (graceMs, cutOff) => close(server, graceMs, cutOff),
  };
}

/**
 * Only WebSocket upgrades are upgrades here; any other `Upgrade` is ignored, as a server may (RFC 9110 §7.8),
 * and the request is served as it stands. `Upgrade: h2c` would otherwise open a tunnel in which requests reach an
 * upstream that no policy has seen, and a request with a body would have it taken for the first bytes of one.
 */
function isWebSocket(req: IncomingMessage): boolean {
  return (
    req.method === "GET" &&
    req.headers.upgrade?.toLowerCase() === "websocket" &&
    req.headers["transfer-encoding"] === undefined &&
    Number(req.headers["content-length"] ?? 0) === 0
  );
}

/** Management bodies are small: one that has not arrived in time is not going to. Planes that stream limit idle time instead. */
function limitBodyTime(req: IncomingMessage): void {
  if (req.headers["content-length"] === undefined && req.headers["transfer-encoding"] === undefined) return;
  const timer = setTimeout(() => req.destroy(), BODY_TIMEOUT_MS);
  req.once("end", () => clearTimeout(timer));
  req.once("close", () => clearTimeout(timer));
}

function listen(server: Server, { host, port }: { host: string; port: number }): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve(server.address() as AddressInfo);
    });
  });
}

/** A connection whose last request has ended is of no use any more, and would hold up the end until its client leaves. */
const LOOK_FOR_IDLE_MS = 50;

async function close(server: Server, graceMs: number, cutOff: () => void): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const looking = setInterval(() => server.closeIdleConnections(), LOOK_FOR_IDLE_MS);
  const timer = setTimeout(() => {
    cutOff();
    server.closeAllConnections();
  }, graceMs);
  await closed;
  clearInterval(looking);
  clearTimeout(timer);
}

function refuseUpgrade(req: IncomingMessage, socket: Duplex): void {
  socket.on("error", () => socket.destroy());
  const { status, headers, body } = renderHttpError(
    new GatewayError("request.method_not_allowed", { message: "this path does not take upgrades" }),
    requestIdFrom(undefined),
  );
  const lines = Object.entries({ ...headers, connection: "close" }).map(([name, value]) => `${name}: ${value}`);
  socket.end(
    `HTTP/1.1 ${status} ${req.method === "CONNECT" ? "Method Not Allowed" : "Refused"}\r\n${lines.join("\r\n")}\r\n\r\n${body}`,
  );
}
