import type { ServerResponse } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import { call, channelBench, resultOf, silent } from "../../../test/support/mcp-http-channel.ts";
import { type Received, sendEvents, sendJson } from "../../../test/support/mcp-http-server.ts";
import { encodeEvent } from "../../jsonrpc/sse.ts";

const bench = channelBench();
afterEach(() => bench.end());

const endpoint = (address: string) => encodeEvent(address, { type: "endpoint" });

/** A server of 2024-11-05: POSTs to its address are unknown, messages go to `/messages`, replies to the stream. */
function legacyServer(address = "/messages?session=1") {
  const state: { stream: ServerResponse | null } = { stream: null };
  const answer = (received: Received, response: ServerResponse): void => {
    const { id } = received.message;
    if (received.method === "GET" && received.url === "/mcp") {
      state.stream = sendEvents(response, endpoint(address));
    } else if (received.method === "POST" && received.url === "/messages?session=1") {
      response.writeHead(202).end("Accepted");
      if (id !== undefined && received.message.method !== undefined)
        state.stream?.write(encodeEvent(JSON.stringify(resultOf(id, { method: received.message.method }))));
    } else response.writeHead(404, { "content-type": "text/html" }).end("<h1>Cannot POST /mcp</h1>");
  };
  return { state, answer };
}

describe("a server of the legacy SSE transport", () => {
  it("gets its messages at the endpoint it names, and replies over its stream", async () => {
    const { answer } = legacyServer();
    const { channel, server } = await bench.open(answer, { transport: { protocol: "sse" } });
    expect(channel.kind).toBe("sse");
    const replies = await Promise.all([
      channel.request(call(1, "initialize"), silent),
      channel.request(call(2, "tools/list"), silent),
    ]);
    expect(replies).toEqual([{ result: `{"method":"initialize"}` }, { result: `{"method":"tools/list"}` }]);
    await channel.notify("notifications/initialized", undefined, {});
    expect(server.received.filter(({ method }) => method === "GET")).toHaveLength(1);
    expect(channel.sessionId).toBeNull();
  });

  it("is found by itself when it does not know the POST of initialize", async () => {
    const { answer } = legacyServer();
    const { channel } = await bench.open(answer, { transport: { protocol: "auto" } });
    expect(channel.kind).toBe("http");
    await expect(channel.request(call(1, "server/discover"), silent)).rejects.toMatchObject({
      code: "upstream.refused",
    });
    expect(await channel.request(call(2, "initialize"), silent)).toEqual({ result: `{"method":"initialize"}` });
    expect(channel.kind).toBe("sse");
    expect(await channel.request(call(3, "ping"), silent)).toEqual({ result: `{"method":"ping"}` });
  });

  it("is not looked for when the server refused for another reason", async () => {
    const { channel, server } = await bench.open((_received, response) => void response.writeHead(401).end(), {
      transport: { protocol: "auto" },
    });
    await expect(channel.request(call(1, "initialize"), silent)).rejects.toMatchObject({ code: "upstream.refused" });
    expect(server.received.map(({ method }) => method)).toEqual(["POST"]);
  });

  it("that is none either leaves the first failure, with both reasons for operators", async () => {
    const { channel } = await bench.open((_received, response) => void response.writeHead(405).end(), {
      transport: { protocol: "auto" },
    });
    await expect(channel.request(call(1, "initialize"), silent)).rejects.toMatchObject({
      code: "upstream.refused",
      message: expect.stringMatching(/answered 405; as legacy SSE: .* answered 405$/),
    });
  });

  it("that never names its endpoint is given up after the connect timeout", async () => {
    const { channel } = await bench.open((_received, response) => void sendEvents(response, ": hello\n\n"), {
      transport: { protocol: "sse", connectTimeoutMs: 50 },
    });
    await expect(channel.request(call(1, "initialize"), silent)).rejects.toMatchObject({ code: "upstream.timeout" });
    expect(await channel.closed).toMatchObject({ expected: false });
  });

  it.each(["http://169.254.169.254/latest", "//example.com/messages", "http://", "javascript:alert(1)"])(
    "that names the endpoint %s, which is not of its own origin, gets nothing",
    async (address) => {
      const { answer } = legacyServer(address);
      const { channel, server } = await bench.open(answer, { transport: { protocol: "sse" } });
      await expect(channel.request(call(1, "initialize"), silent)).rejects.toMatchObject({ code: "upstream.protocol" });
      expect(server.received.map(({ method }) => method)).toEqual(["GET"]);
    },
  );

  it("ends the channel, and every open request, with its stream", async () => {
    const { state, answer } = legacyServer();
    const { channel } = await bench.open(
      (received, response) => {
        if (received.message.method === "hang") response.writeHead(202).end(() => state.stream?.destroy());
        else answer(received, response);
      },
      { transport: { protocol: "sse" } },
    );
    await channel.request(call(1, "initialize"), silent);
    await expect(channel.request(call(2, "hang"), silent)).rejects.toMatchObject({ code: "upstream.reset" });
    expect(await channel.closed).toMatchObject({ expected: false });
    await expect(channel.request(call(3), silent)).rejects.toMatchObject({ code: "upstream.reset" });
  });

  it("is heard and answered by the listener, whatever belongs to which request", async () => {
    const { state, answer } = legacyServer();
    const { channel, server } = await bench.open(answer, { transport: { protocol: "sse" } });
    const heard = Promise.withResolvers<string>();
    channel.listen(
      {
        onNotification: ({ method }) => heard.resolve(method),
        onRequest: () => Promise.resolve({ result: `{"roots":[]}` }),
      },
      {},
    );
    await channel.request(call(1, "initialize"), silent);
    state.stream?.write(encodeEvent("garbage"));
    state.stream?.write(encodeEvent(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`));
    state.stream?.write(encodeEvent(`{"jsonrpc":"2.0","id":0,"method":"roots/list"}`));
    expect(await heard.promise).toBe("notifications/tools/list_changed");
    const answered = await server.seen(({ message }) => message.result !== undefined);
    expect(answered.body).toBe(`{"jsonrpc":"2.0","id":0,"result":{"roots":[]}}`);
  });

  it("that refuses a message fails that request only", async () => {
    const { answer } = legacyServer();
    const { channel } = await bench.open(
      (received, response) => {
        if (received.message.method === "bad") sendJson(response, { oops: "SECRET" }, 500);
        else answer(received, response);
      },
      { transport: { protocol: "sse" } },
    );
    await channel.request(call(1, "initialize"), silent);
    const thrown: unknown = await channel.request(call(2, "bad"), silent).catch((error: unknown) => error);
    expect(thrown).toMatchObject({ code: "upstream.unavailable" });
    expect(String(thrown)).not.toContain("SECRET");
    await channel.request(call(3, "good"), silent);
  });

  it("is let go when the channel closes, also while it is being looked for", async () => {
    const { channel, server } = await bench.open(
      (received, response) => {
        if (received.method === "GET") sendEvents(response, ": nothing\n\n");
        else response.writeHead(404).end();
      },
      { transport: { protocol: "auto", connectTimeoutMs: 60_000 } },
    );
    const failed = expect(channel.request(call(1, "initialize"), silent)).rejects.toMatchObject({
      code: "upstream.refused",
    });
    await server.seen(({ method }) => method === "GET");
    await channel.close();
    await failed;
  });
});
