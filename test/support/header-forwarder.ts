import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";

/** Stands in front of a server and adds headers to each request: the conformance suite cannot send a credential itself. */
export async function startHeaderForwarder(target: string, headers: Readonly<Record<string, string>>) {
  const { hostname, port, pathname } = new URL(target);
  const server = createServer((incoming, reply) => {
    const outgoing = request(
      {
        hostname,
        port,
        path: incoming.url,
        method: incoming.method,
        headers: { ...incoming.headers, ...headers },
      },
      (answer) => {
        reply.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(reply);
      },
    );
    outgoing.on("error", () => reply.destroy());
    reply.on("close", () => outgoing.destroy());
    incoming.pipe(outgoing);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const own = (server.address() as AddressInfo).port;
  return {
    url: `http://127.0.0.1:${own}${pathname}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
