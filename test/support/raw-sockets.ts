import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** A TCP client that sends exactly the bytes it is given and keeps what comes back. */
export interface RawClient {
  readonly socket: Socket;
  send(text: string): void;
  /** What has arrived so far, one character a byte. */
  received(): string;
  /** Everything received up to the moment when it contains the text. Rejects when the connection ends before. */
  until(text: string): Promise<string>;
  /** Everything received until the connection ended, in whatever way. */
  readonly ended: Promise<string>;
}

/** @param url only its host and port matter */
export async function openRaw(url: string): Promise<RawClient> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
  const wire = watch(socket);
  await once(socket, "connect");
  return { socket, send: (text) => void socket.write(text, "latin1"), ...wire };
}

/** Sends the bytes on a fresh connection and returns all that came back until the other side closed it. */
export async function exchangeRaw(url: string, bytes: string): Promise<string> {
  const client = await openRaw(url);
  client.send(bytes);
  const answer = await client.ended;
  client.socket.destroy();
  return answer;
}

function watch(socket: Socket): Pick<RawClient, "received" | "until" | "ended"> {
  let text = "";
  const waiting = new Set<() => void>();
  let isEnded = false;
  socket.on("error", () => undefined);
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
    for (const look of [...waiting]) look();
  });
  const ended = new Promise<string>((resolve) => {
    const end = () => {
      isEnded = true;
      resolve(text);
      for (const look of [...waiting]) look();
    };
    socket.once("end", end);
    socket.once("close", end);
  });
  return {
    received: () => text,
    ended,
    until: (wanted) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (!text.includes(wanted) && !isEnded) return;
          waiting.delete(look);
          if (text.includes(wanted)) resolve(text);
          else reject(new Error(`the connection ended without ${JSON.stringify(wanted)}: ${JSON.stringify(text)}`));
        };
        waiting.add(look);
        look();
      }),
  };
}

/** An upstream that is no HTTP server: it answers with the bytes it is told. */
export interface RawUpstream {
  readonly origin: string;
  /** Everything received on each connection, in the order in which they were accepted. */
  readonly conversations: { text: string }[];
  /** Connections that are open now. */
  open(): number;
  close(): Promise<void>;
}

/** @param answer called once for each request head that arrives; `nth` counts them over all connections, from 0 */
export async function startRawUpstream(
  answer: (socket: Socket, head: string, nth: number) => void,
): Promise<RawUpstream> {
  const sockets = new Set<Socket>();
  const conversations: { text: string }[] = [];
  let heads = 0;
  const server = createServer((socket) => {
    const conversation = { text: "" };
    conversations.push(conversation);
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
    let seen = 0;
    socket.on("data", (chunk: Buffer) => {
      conversation.text += chunk.toString("latin1");
      for (let at = conversation.text.indexOf("\r\n\r\n", seen); at !== -1;) {
        const head = conversation.text.slice(seen, at);
        seen = at + 4;
        // The end of a chunked body looks like the end of a head; a head has a request line.
        if (/ HTTP\/1\.1(\r\n|$)/.test(head)) answer(socket, head, heads++);
        at = conversation.text.indexOf("\r\n\r\n", seen);
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    conversations,
    open: () => sockets.size,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
