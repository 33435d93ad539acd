import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type ProxyGateway, startProxyGateway } from "../support/proxy-gateway.ts";
import { openRaw, startRawUpstream } from "../support/raw-sockets.ts";

let gateway: ProxyGateway;
beforeAll(async () => {
  gateway = await startProxyGateway();
});
afterAll(() => gateway.close());

const MIB = 1024 * 1024;
/** Kernel buffers of two loopback connections and the streams' own: what may be under way when all has stopped. */
const IN_FLIGHT_BYTES = 24 * MIB;
const PIECE = Buffer.alloc(256 * 1024, "x");

/** Writes while the other side takes it. `stopped` resolves when nothing was taken for many turns of the loop. */
function writeWhileTaken(socket: Socket): { written(): number; stopped: Promise<unknown> } {
  let taken = 0;
  const pump = () => {
    while (!socket.destroyed && socket.writableLength < MIB) {
      socket.write(PIECE);
      taken += PIECE.length;
    }
  };
  socket.on("drain", pump);
  pump();
  const written = () => taken - socket.writableLength;
  return {
    written,
    stopped: vi.waitUntil(
      (() => {
        let last = -1;
        return () => {
          const same = written() === last;
          last = written();
          return same && last > 0;
        };
      })(),
      { interval: 200, timeout: 20_000 },
    ),
  };
}

describe("back-pressure", () => {
  it.each([
    ["of unknown length", ""],
    ["of known length", "Content-Length: 100000000000\r\n"],
  ])(
    "stops the upstream of a response %s when the client does not read, and lets it go on when it does",
    async (_name, length) => {
      let flow: ReturnType<typeof writeWhileTaken> | undefined;
      const upstream = await startRawUpstream((socket) => {
        socket.write(`HTTP/1.1 200 OK\r\n${length}\r\n`);
        flow = writeWhileTaken(socket);
      });
      const { secret } = await gateway.key(await gateway.service(upstream.origin));
      const client = await openRaw(gateway.url);
      client.socket.pause();
      client.send(`GET /v1/proxy/x HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer ${secret}\r\n\r\n`);
      await vi.waitUntil(() => flow !== undefined);
      await flow?.stopped;
      const before = flow?.written() ?? 0;
      expect(before).toBeLessThan(IN_FLIGHT_BYTES);
      client.socket.removeAllListeners("data");
      client.socket.on("data", () => undefined);
      client.socket.resume();
      await vi.waitUntil(() => (flow?.written() ?? 0) > before + 2 * IN_FLIGHT_BYTES, { timeout: 20_000 });
      client.socket.destroy();
      await vi.waitUntil(() => gateway.openRequests() === 0);
      await upstream.close();
    },
  );

  it.each([
    ["of known length", "Content-Length: 100000000000", ""],
    ["with trailers announced", "Transfer-Encoding: chunked\r\nTrailer: X-Sum", "174876e800\r\n"],
  ])(
    "stops the client's upload %s when the upstream does not read, and lets it go on when it does",
    async (_name, framing, start) => {
      const accepted: Socket[] = [];
      const server = createServer({ pauseOnConnect: true }, (socket) => {
        socket.on("error", () => undefined);
        accepted.push(socket);
      });
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      const address = server.address();
      const port = typeof address === "object" && address ? address.port : 0;
      const { secret } = await gateway.key(await gateway.service(`http://127.0.0.1:${port}`));
      const client = await openRaw(gateway.url);
      client.send(
        `POST /v1/proxy/x HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer ${secret}\r\n${framing}\r\n\r\n${start}`,
      );
      const flow = writeWhileTaken(client.socket);
      await flow.stopped;
      const before = flow.written();
      expect(before).toBeLessThan(IN_FLIGHT_BYTES);
      accepted[0]?.on("data", () => undefined);
      accepted[0]?.resume();
      await vi.waitUntil(() => flow.written() > before + 2 * IN_FLIGHT_BYTES, { timeout: 20_000 });
      client.socket.destroy();
      await vi.waitUntil(() => gateway.openRequests() === 0);
      for (const socket of accepted) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  );
});
