import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";

/** What an upstream saw of one request. */
export interface Received {
  readonly method: string;
  readonly url: string;
  /** Alternating names and values, as they came. */
  readonly rawHeaders: readonly string[];
  readonly headers: IncomingMessage["headers"];
  body: Buffer;
  trailers: Record<string, string | undefined>;
  /** Resolves true when the client cut the connection before the response ended. */
  readonly aborted: Promise<boolean>;
}

export interface Upstream {
  readonly origin: string;
  readonly port: number;
  readonly received: Received[];
  /** Connections accepted so far. */
  connections(): number;
  /** The next request to arrive. */
  next(): Promise<Received>;
  close(): Promise<void>;
}

type Behaviour = (req: IncomingMessage, res: ServerResponse, received: Received) => void;

/** A real HTTP server that behaves as badly as its paths say; any other path echoes the request as JSON. */
export async function startUpstream(extra: Record<string, Behaviour> = {}): Promise<Upstream> {
  const received: Received[] = [];
  const waiting: ((received: Received) => void)[] = [];
  const sockets = new Set<Socket>();
  let accepted = 0;

  const server = createServer((req, res) => {
    const record = recordOf(req, res);
    received.push(record);
    waiting.shift()?.(record);
    const path = new URL(req.url ?? "/", "http://upstream").pathname;
    const behaviour = extra[path] ?? BEHAVIOURS[path] ?? echo;
    behaviour(req, res, record);
  });
  server.on("connection", (socket) => {
    accepted += 1;
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => undefined);
  });
  server.on("upgrade", (req: IncomingMessage, socket: Socket) => {
    const record = recordOf(req, null);
    received.push(record);
    waiting.shift()?.(record);
    acceptWebSocket(req, socket);
  });
  const { port } = await listen(server);
  return {
    origin: `http://127.0.0.1:${port}`,
    port,
    received,
    connections: () => accepted,
    next: () => new Promise((resolve) => waiting.push(resolve)),
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function recordOf(req: IncomingMessage, res: ServerResponse | null): Received {
  const record: Received = {
    method: req.method ?? "",
    url: req.url ?? "",
    rawHeaders: req.rawHeaders,
    headers: req.headers,
    body: Buffer.alloc(0),
    trailers: {},
    aborted: new Promise((resolve) => res?.once("close", () => resolve(!res.writableFinished))),
  };
  return record;
}

const echo: Behaviour = (req, res, record) => {
  const chunks: Buffer[] = [];
  req.on("data", (chunk: Buffer) => chunks.push(chunk));
  req.on("end", () => {
    record.body = Buffer.concat(chunks);
    record.trailers = req.trailers;
    const body = JSON.stringify({
      method: req.method,
      url: req.url,
      headers: req.headers,
      body: record.body.toString("latin1"),
      trailers: req.trailers,
    });
    res.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
    res.end(body);
  });
};

const BEHAVIOURS: Record<string, Behaviour> = {
  /** Accepts the request and never answers. */
  "/hang": (req) => void req.resume(),
  /** Head, then silence. */
  "/stall": (_req, res) => {
    res.writeHead(200, { "content-type": "text/plain", "content-length": "1000" });
    res.write("a beginning");
  },
  "/reset": (req) => void req.socket.destroy(),
  /** Promises more than it sends. */
  "/short": (_req, res) => {
    res.writeHead(200, { "content-length": "1000" });
    res.write("ten bytes.");
    setImmediate(() => res.socket?.destroy());
  },
  /** Sends more than it promises. */
  "/long": (_req, res) => void res.socket?.end("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef"),
  "/garbage": (_req, res) => void res.socket?.end("this is not http\r\n\r\n"),
  "/huge-header": (_req, res) => void res.socket?.end(`HTTP/1.1 200 OK\r\nX-Big: ${"x".repeat(200_000)}\r\n\r\n`),
  /** Two responses in one: the second must not reach another client. */
  "/two": (_req, res) =>
    void res.socket?.write(
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned",
    ),
  /** Writes for as long as someone reads. */
  "/endless": (_req, res) => {
    res.writeHead(200, { "content-type": "application/octet-stream" });
    const chunk = Buffer.alloc(64 * 1024, "x");
    const pump = () => {
      while (!res.destroyed && res.write(chunk));
      if (!res.destroyed) res.once("drain", pump);
    };
    pump();
  },
  "/trailers": (_req, res) => {
    res.writeHead(200, { trailer: "grpc-status, x-checksum", "content-type": "text/plain" });
    res.write("body");
    res.addTrailers({ "grpc-status": "0", "x-checksum": "abc" });
    res.end();
  },
  "/early-401": (_req, res) => {
    res.writeHead(401, { "content-type": "application/json", "www-authenticate": 'Bearer realm="upstream"' });
    res.end('{"error":"upstream says no"}');
  },
};

/** RFC 6455 §4.2.2, and then an echo of raw frames: enough for a real client on the other side. */
function acceptWebSocket(req: IncomingMessage, socket: Socket): void {
  const accept = createHash("sha1")
    .update(`${req.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest("base64");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nSet-Cookie: a=b\r\n\r\n`,
  );
  socket.on("data", (frame: Buffer) => {
    // Client frames are masked, server frames are not.
    const length = (frame[1] ?? 0) & 0x7f;
    const opcode = (frame[0] ?? 0) & 0x0f;
    if (opcode === 8) {
      socket.end(Buffer.from([0x88, 0]));
      return;
    }
    const mask = frame.subarray(2, 6);
    const payload = frame.subarray(6, 6 + length).map((byte, i) => byte ^ (mask[i % 4] ?? 0));
    socket.write(Buffer.concat([Buffer.from([0x80 | opcode, length]), payload]));
  });
}

function listen(server: Server): Promise<AddressInfo> {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address() as AddressInfo)));
}
