import { once } from "node:events";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { selfSigned } from "../../../test/support/certificate.ts";
import { answerHandshake, call, channelBench, resultOf, silent } from "../../../test/support/mcp-http-channel.ts";
import { sendEvents, sendJson } from "../../../test/support/mcp-http-server.ts";
import { GatewayError } from "../../core/errors.ts";
import { encodeEvent } from "../../jsonrpc/sse.ts";

const bench = channelBench();
afterEach(() => bench.end());

/** A server that writes what it likes once it got a request. */
async function rawServer(onRequest: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("data", () => onRequest(socket));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  bench.onEnd(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`;
}

const head = (headers: string) => `HTTP/1.1 200 OK\r\n${headers}\r\n\r\n`;
const JSON_HEAD = "content-type: application/json";

/** What came of one call, as the code of its failure. */
async function codeOf(reply: Promise<unknown>): Promise<string> {
  const thrown = await reply.then(
    () => null,
    (error: unknown) => error,
  );
  return thrown instanceof GatewayError ? thrown.code : `no GatewayError: ${String(thrown)}`;
}

describe("a server that", () => {
  it.each([
    ["answers no HTTP", "hello\r\n\r\n", "upstream.protocol"],
    ["closes without an answer", "", "upstream.reset"],
    ["closes in mid-body", `${head(`${JSON_HEAD}\r\ncontent-length: 100`)}{"jsonrpc"`, "upstream.reset"],
    ["closes in mid-stream", `${head("content-type: text/event-stream")}data: {"jsonrpc"`, "upstream.reset"],
    [
      "sends a session id with control characters",
      head(`${JSON_HEAD}\r\nmcp-session-id: a\x01b\r\ncontent-length: 2`),
      "upstream.protocol",
    ],
    [
      "sends a session id with spaces",
      `${head(`${JSON_HEAD}\r\nmcp-session-id: a b\r\ncontent-length: 2`)}{}`,
      "upstream.protocol",
    ],
    [
      "says twice what its session is",
      `${head(`${JSON_HEAD}\r\nmcp-session-id: a\r\nmcp-session-id: b\r\ncontent-length: 2`)}{}`,
      "upstream.protocol",
    ],
    ["sends informational responses for ever", "HTTP/1.1 102 Processing\r\n\r\n".repeat(40), "upstream.protocol"],
    ["sends a header without end", `HTTP/1.1 200 OK\r\nx: ${"x".repeat(100_000)}`, "upstream.protocol"],
  ])("%s fails the call", async (_what, bytes, code) => {
    const url = await rawServer((socket) => socket.end(Buffer.from(bytes, "latin1")));
    expect(await codeOf(bench.channelTo(url).request(call(1, "initialize"), silent))).toBe(code);
  });

  it.each([
    ["is not JSON", "{nope", "application/json"],
    ["is empty", "", "application/json"],
    ["is no JSON-RPC", `{"id":1,"result":{}}`, "application/json"],
    ["replies to another request", JSON.stringify(resultOf(2)), "application/json"],
    ["replies to a request with its number as text", JSON.stringify(resultOf("1")), "application/json"],
    ["holds no reply", `{"jsonrpc":"2.0","method":"notifications/x"}`, "application/json"],
    [
      "has result and error",
      `{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}`,
      "application/json",
    ],
    ["is a page", "<html>", "text/html"],
    ["is JSON that says it is text", JSON.stringify(resultOf(1)), "text/plain"],
  ])("gives an answer that %s fails the call, and tells no client what it said", async (_what, body, type) => {
    const { channel } = await bench.open((_received, response) =>
      response.writeHead(200, { "content-type": type }).end(body),
    );
    const thrown: unknown = await channel.request(call(1), silent).catch((error: unknown) => error);
    expect(thrown).toMatchObject({
      code: "upstream.protocol",
      publicMessage: "the upstream's answer was not valid HTTP",
    });
  });

  it("streams garbage, or a reply to another request, fails the call", async () => {
    const bodies = ["data: {nope\n\n", encodeEvent(JSON.stringify(resultOf(99)))];
    for (const body of bodies) {
      const { channel } = await bench.open((_received, response) => void sendEvents(response, body));
      expect(await codeOf(channel.request(call(1), silent))).toBe("upstream.protocol");
    }
  });

  it("accepts a request without answering it fails the call", async () => {
    const { channel } = await bench.open((_received, response) => void response.writeHead(202).end());
    expect(await codeOf(channel.request(call(1), silent))).toBe("upstream.protocol");
  });

  it("compresses what was not asked to be fails the call", async () => {
    const { channel } = await bench.open((_received, response) =>
      sendJson(response, "x", 200, { "content-encoding": "gzip" }),
    );
    expect(await codeOf(channel.request(call(1), silent))).toBe("upstream.protocol");
  });

  it("redirects to the metadata address is not followed, and operators are told", async () => {
    const { channel, server } = await bench.open((_received, response) =>
      response.writeHead(307, { location: "http://169.254.169.254/latest/meta-data" }).end(),
    );
    await expect(channel.request(call(1), silent)).rejects.toMatchObject({
      code: "upstream.refused",
      message: expect.stringContaining("redirects are not followed"),
    });
    expect(server.received).toHaveLength(1);
  });

  it.each([
    [401, "upstream.refused"],
    [403, "upstream.refused"],
    [404, "upstream.refused"],
    [429, "upstream.unavailable"],
    [503, "upstream.unavailable"],
  ])("answers %i has that told as %s, without its own words for clients", async (status, code) => {
    const { channel } = await bench.open((_received, response) => sendJson(response, { message: "SECRET" }, status));
    const thrown: unknown = await channel.request(call(1), silent).catch((error: unknown) => error);
    expect(thrown).toMatchObject({ code });
    expect(String(thrown)).not.toContain("SECRET");
  });

  it("answers more than the limit is cut, with a declared length, without one, and as one event", async () => {
    const chunk = Buffer.alloc(64 * 1024, "x");
    for (const headers of [
      "content-type: application/json\r\ncontent-length: 104857600",
      "content-type: application/json",
      "content-type: text/event-stream",
    ]) {
      const gone = Promise.withResolvers<number>();
      const url = await rawServer((socket) => {
        let sent = 0;
        socket.on("close", () => gone.resolve(sent));
        socket.write(`${head(headers)}data: `);
        const pump = (): void => {
          while (!socket.destroyed && sent < 100 * 1024 * 1024) {
            sent += chunk.length;
            if (!socket.write(chunk)) return void socket.once("drain", pump);
          }
        };
        pump();
      });
      const channel = bench.channelTo(url, { limits: { maxMessageBytes: 1024 * 1024 } });
      expect(await codeOf(channel.request(call(1), silent))).toBe("upstream.too_large");
      expect(await gone.promise).toBeLessThan(50 * 1024 * 1024);
    }
  });

  it("hangs before its answer, or in it, is given up after the timeouts", async () => {
    const limits = { headersTimeoutMs: 100, idleTimeoutMs: 100 };
    const silence = await rawServer(() => undefined);
    expect(await codeOf(bench.channelTo(silence, { limits }).request(call(1), silent))).toBe("upstream.timeout");
    const half = await rawServer((socket) => void socket.write(`${head(JSON_HEAD)}{`));
    expect(await codeOf(bench.channelTo(half, { limits }).request(call(1), silent))).toBe("upstream.timeout");
  });

  it.each([
    ["trickles its answer", `${head(`${JSON_HEAD}\r\ncontent-length: 1000000`)}`, " "],
    ["sends comments for ever", `${head("content-type: text/event-stream")}`, ": ping\n\n"],
  ])("%s is cut when the call's time is up", async (_what, first, more) => {
    const gone = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const url = await rawServer((socket) => {
      socket.on("close", () => gone.resolve());
      socket.write(first);
      void (async () => {
        for (let i = 0; !socket.destroyed; i++) {
          socket.write(more);
          if (i === 20) begun.resolve();
          await nextTurn();
        }
      })();
    });
    const deadline = new AbortController();
    const reply = bench.channelTo(url).request(call(1, "tools/call", { signal: deadline.signal }), silent);
    await begun.promise;
    deadline.abort(new GatewayError("upstream.timeout", { detail: "the call's own deadline" }));
    await expect(reply).rejects.toMatchObject({ code: "upstream.timeout", message: "the call's own deadline" });
    await gone.promise;
  });

  it("answers what would be large once parsed is looked at without that", async () => {
    const bomb = `{"jsonrpc":"2.0","id":1,"result":{"a":[${"{},".repeat(4_000_000)}{}]}}`;
    const { channel } = await bench.open((_received, response) => sendJson(response, bomb));
    const before = process.memoryUsage().heapUsed;
    expect(await channel.request(call(1), silent)).toEqual({
      result: bomb.slice(`{"jsonrpc":"2.0","id":1,"result":`.length, -1),
    });
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(150 * 1024 * 1024);
  });

  it("asks more than anybody can answer at a time fails the call", async () => {
    const flood = Array.from({ length: 65 }, (_, id) => encodeEvent(`{"jsonrpc":"2.0","id":${id},"method":"ping"}`));
    const { channel } = await bench.open((_received, response) => void sendEvents(response, flood.join("")));
    const aborted: boolean[] = [];
    const code = await codeOf(
      channel.request(call(1), {
        ...silent,
        onRequest(_request, signal) {
          signal.addEventListener("abort", () => aborted.push(true));
          return new Promise(() => undefined);
        },
      }),
    );
    expect(code).toBe("upstream.protocol");
    expect(aborted).toHaveLength(64);
  });

  it("keeps the stream open after the reply has the connection cut, not the reply", async () => {
    const gone = Promise.withResolvers<void>();
    const { channel } = await bench.open((received, response) => {
      response.on("close", () => gone.resolve());
      sendEvents(response, encodeEvent(JSON.stringify(resultOf(received.message.id))));
    });
    expect(await channel.request(call(1), silent)).toEqual({ result: `{"ok":true}` });
    await gone.promise;
  });

  it("never answers the DELETE of a session does not hold up the end of the channel", async () => {
    const { channel, server } = await bench.open(
      (received, response) => void (received.method === "POST" && answerHandshake(received, response)),
      { limits: { closeTimeoutMs: 50 } },
    );
    await channel.request(call(1, "initialize"), silent);
    await channel.close();
    expect(server.received.at(-1)?.method).toBe("DELETE");
  });
});

describe("a server over TLS that", () => {
  it("shows a certificate nobody vouches for gets no request", async () => {
    const received: string[] = [];
    const server = createHttpsServer(selfSigned(), (request, response) => {
      received.push(request.url ?? "");
      response.end();
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    bench.onEnd(async () => {
      server.close();
      await once(server, "close");
    });
    const url = `https://localhost:${(server.address() as AddressInfo).port}/mcp`;
    expect(await codeOf(bench.channelTo(url).request(call(1), silent))).toBe("upstream.tls");
    expect(received).toEqual([]);
  });
});

describe("a call", () => {
  it("that its caller's timeout ends is told as timed out, and the server's connection is cut", async () => {
    const gone = Promise.withResolvers<void>();
    const { channel } = await bench.open((_received, response) => void response.on("close", () => gone.resolve()));
    const reply = channel.request(call(1, "tools/call", { signal: AbortSignal.timeout(50) }), silent);
    expect(await codeOf(reply)).toBe("upstream.timeout");
    await gone.promise;
  });

  it("that was aborted before it began sends nothing", async () => {
    const { channel, server } = await bench.open((_received, response) => void response.end());
    expect(await codeOf(channel.request(call(1, "ping", { signal: AbortSignal.abort() }), silent))).toBe(
      "upstream.reset",
    );
    expect(server.received).toHaveLength(0);
  });

  it("that is open when the channel closes ends with it, and none begins after", async () => {
    const { channel, server } = await bench.open(() => undefined);
    const open = codeOf(channel.request(call(1), silent));
    await server.seen(() => true);
    await channel.close();
    expect(await open).toBe("upstream.reset");
    expect(await codeOf(channel.request(call(2), silent))).toBe("upstream.reset");
    expect(await codeOf(channel.notify("x", undefined, {}))).toBe("upstream.reset");
  });

  it("sends configured headers over those that a caller forwards, and never a caller's credential or transport headers", async () => {
    const { channel, server } = await bench.open(
      (received, response) => sendJson(response, resultOf(received.message.id)),
      {
        transport: {
          headers: {
            Authorization: "Bearer configured",
            "X-Tenant": "t1",
            Connection: "x-secret",
            "Content-Length": "3",
            Host: "evil",
          },
        },
      },
    );
    const headers = {
      authorization: "Bearer caller",
      cookie: "a=b",
      host: "evil",
      "x-tenant": "t2",
      "x-trace": "1",
      "content-length": "7",
      "content-encoding": "gzip",
      "transfer-encoding": "chunked",
      "mcp-session-id": "stolen",
      "last-event-id": "1",
    };
    await channel.request(call(1, "ping", { headers }), silent);
    const received = server.received[0]?.headers;
    expect(received).toMatchObject({ authorization: "Bearer configured", "x-tenant": "t1", "x-trace": "1" });
    expect(received?.host).toBe(new URL(server.url).host);
    for (const name of ["cookie", "content-encoding", "transfer-encoding", "mcp-session-id", "last-event-id"])
      expect(received).not.toHaveProperty(name);
  });

  it("with a header that no message may have fails as ours, before anything is sent", async () => {
    const { channel, server } = await bench.open((_received, response) => void response.end());
    expect(await codeOf(channel.request(call(1, "ping", { headers: { "x-a": "b\r\nc: d" } }), silent))).toBe(
      "internal",
    );
    expect(server.received).toHaveLength(0);
  });

  it("withdraws what the server asked when the server says so, and does not answer it", async () => {
    const { channel, server } = await bench.open((received, response) => {
      const stream = sendEvents(response, encodeEvent(`{"jsonrpc":"2.0","id":5,"method":"sampling/createMessage"}`));
      stream.write(encodeEvent(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":5}}`));
      stream.end(encodeEvent(JSON.stringify(resultOf(received.message.id))));
    });
    const events: string[] = [];
    await channel.request(call(1), {
      onNotification: ({ method }) => events.push(method),
      onRequest: (_request, signal) =>
        new Promise((resolve) =>
          signal.addEventListener("abort", () => {
            events.push("aborted");
            resolve({ result: "{}" });
          }),
        ),
    });
    expect(events).toEqual(["aborted"]);
    expect(server.received).toHaveLength(1);
  });
});

describe("an address that", () => {
  const answering = (address: string) =>
    ((_name: string, _options: unknown, callback: (error: null, all: unknown) => void) =>
      callback(null, [{ address, family: 4 }])) as never;

  it.each(["169.254.169.254", "10.0.0.1", "127.0.0.1", "169.254.1.1"])(
    "a name resolves to is refused when it is %s",
    async (address) => {
      const channel = bench.channelTo("http://mcp.example.com:9/mcp", { resolve: answering(address) });
      expect(await codeOf(channel.request(call(1), silent))).toBe("upstream.address_refused");
    },
  );

  it.each(["http://169.254.169.254/mcp", "http://[fd00:ec2::254]/mcp", "http://0.0.0.0/mcp", "http://169.254.9.9/"])(
    "is written in the URL as %s is refused all the same",
    async (url) => {
      expect(await codeOf(bench.channelTo(url).request(call(1), silent))).toBe("upstream.address_refused");
    },
  );

  it("localhost is, or allow_addresses names, is reached", async () => {
    const server = await bench.server((received, response) => sendJson(response, resultOf(received.message.id)));
    const { port } = new URL(server.url);
    const local = bench.channelTo(`http://localhost:${port}/mcp`, { resolve: answering("127.0.0.1") });
    expect(await local.request(call(1), silent)).toEqual({ result: `{"ok":true}` });
    const named = bench.channelTo(`http://mcp.example.com:${port}/mcp`, {
      resolve: answering("127.0.0.1"),
      transport: { allowAddresses: ["loopback"] },
    });
    expect(await named.request(call(1), silent)).toEqual({ result: `{"ok":true}` });
  });

  it("localhost resolves to is refused when it is none of this machine's", async () => {
    const channel = bench.channelTo("http://localhost:9/mcp", { resolve: answering("10.0.0.1") });
    expect(await codeOf(channel.request(call(1), silent))).toBe("upstream.address_refused");
  });
});
