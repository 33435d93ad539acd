import { connect, type Socket } from "node:net";

/** One whole HTTP response. Names of headers are lower case; a header that came twice is there once. */
export interface HttpReply {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  /** Latin-1: the bench sends and expects ASCII only. */
  readonly body: string;
}

/** One keep-alive connection, one request at a time. */
export interface Connection {
  /** `head`: request line and headers without `host` and `content-length`, each line with its end. Rejects when the peer hangs up. */
  send(head: string, body: string): Promise<HttpReply>;
  /** Sends a request and resolves with the status when the head of the answer is there; what follows is thrown away. */
  follow(head: string): Promise<number>;
  close(): void;
}

interface Waiting {
  readonly done: (reply: HttpReply) => void;
  readonly failed: (error: Error) => void;
  readonly headOnly: boolean;
}

/**
 * HTTP/1.1 by hand, for two reasons: the load generator must cost less than what it loads, and on the machines at hand it
 * shares a core with the upstream. It understands what MCP servers send: content-length, chunked, and no body.
 */
export function openConnection(url: URL): Connection {
  const socket: Socket = connect({ host: url.hostname, port: Number(url.port), noDelay: true });
  let unread = "";
  let waiting: Waiting | null = null;
  let broken: Error | null = null;

  const fail = (error: Error): void => {
    broken ??= error;
    const current = waiting;
    waiting = null;
    current?.failed(broken);
  };
  socket.on("error", fail);
  socket.on("close", () => fail(new Error(`${url.host} closed the connection`)));
  socket.on("data", (chunk: Buffer) => {
    if (waiting === null) return;
    unread += chunk.toString("latin1");
    const parsed = waiting.headOnly ? readHead(unread) : readReply(unread);
    if (parsed === null) return;
    unread = "";
    const { done } = waiting;
    waiting = null;
    done(parsed);
  });

  const ask = (text: string, headOnly: boolean): Promise<HttpReply> =>
    new Promise((done, failed) => {
      if (broken !== null) return failed(broken);
      waiting = { done, failed, headOnly };
      socket.write(text, "latin1");
    });
  return {
    send: (head, body) => ask(`${head}host: ${url.host}\r\ncontent-length: ${body.length}\r\n\r\n${body}`, false),
    follow: async (head) => (await ask(`${head}host: ${url.host}\r\n\r\n`, true)).status,
    close: () => void socket.destroy(),
  };
}

/** Null while the head is incomplete. */
function readHead(text: string): (HttpReply & { readonly bodyStart: number }) | null {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return null;
  const [statusLine = "", ...lines] = text.slice(0, end).split("\r\n");
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  return { status: Number(statusLine.split(" ")[1]), headers, body: "", bodyStart: end + 4 };
}

/** Null while anything is missing. */
export function readReply(text: string): HttpReply | null {
  const head = readHead(text);
  if (head === null) return null;
  const { status, headers, bodyStart } = head;
  const length = headers.get("content-length");
  if (headers.get("transfer-encoding") === "chunked") {
    const body = readChunks(text, bodyStart);
    return body === null ? null : { status, headers, body };
  }
  const end = bodyStart + Number(length ?? 0);
  return text.length < end ? null : { status, headers, body: text.slice(bodyStart, end) };
}

function readChunks(text: string, from: number): string | null {
  let body = "";
  let at = from;
  for (;;) {
    const lineEnd = text.indexOf("\r\n", at);
    if (lineEnd < 0) return null;
    const size = Number.parseInt(text.slice(at, lineEnd), 16);
    const start = lineEnd + 2;
    if (text.length < start + size + 2) return null;
    if (size === 0) return body;
    body += text.slice(start, start + size);
    at = start + size + 2;
  }
}
