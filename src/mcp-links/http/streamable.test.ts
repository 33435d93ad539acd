import { afterEach, describe, expect, it } from "vitest";
import { answerHandshake, call, channelBench, resultOf, silent } from "../../../test/support/mcp-http-channel.ts";
import { sendEvents, sendJson } from "../../../test/support/mcp-http-server.ts";
import { encodeEvent } from "../../jsonrpc/sse.ts";
import type { ServerNotification, ServerRequest } from "../types.ts";

const bench = channelBench();
afterEach(() => bench.end());

describe("a request over streamable HTTP", () => {
  it("is one POST, and its answer in JSON comes back without losing anything", async () => {
    const text = `{"jsonrpc":"2.0","result": {"n":12345678901234567890,"é":"\\u00e9" } ,"id":7}`;
    const { channel, server } = await bench.open((_received, response) => sendJson(response, text));
    const reply = await channel.request(call(7, "tools/call", { headers: { "mcp-name": "x" } }), silent);
    expect(reply).toEqual({ result: `{"n":12345678901234567890,"é":"\\u00e9" }` });
    const [received] = server.received;
    expect(received?.body).toBe(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"x"}}`);
    expect(received?.headers).toMatchObject({
      accept: "application/json, text/event-stream",
      "content-type": "application/json",
      "mcp-name": "x",
    });
  });

  it("hands on what the server says and asks before the reply, and answers it with the server's own id", async () => {
    const { channel, server } = await bench.open(async (received, response) => {
      if (received.message.method !== "tools/call") {
        response.writeHead(202).end();
        return;
      }
      const stream = sendEvents(
        response,
        encodeEvent(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}`) +
          encodeEvent(`{"jsonrpc":"2.0","id":"s-1","method":"elicitation/create","params":{}}`),
      );
      await server.seen(({ message }) => message.id === "s-1");
      stream.end(encodeEvent(JSON.stringify(resultOf(received.message.id))));
    });
    const notifications: ServerNotification[] = [];
    const requests: ServerRequest[] = [];
    const reply = await channel.request(call(1, "tools/call", { headers: { "mcp-name": "x", "x-bifrost-a": "1" } }), {
      onNotification: (notification) => notifications.push(notification),
      onRequest(request) {
        requests.push(request);
        return Promise.resolve({ result: `{"action":"accept"}` });
      },
    });
    expect(reply).toEqual({ result: `{"ok":true}` });
    expect(notifications).toEqual([{ method: "notifications/progress", params: `{"progress":1}` }]);
    expect(requests).toEqual([{ method: "elicitation/create", params: "{}" }]);
    const answer = await server.seen(({ message }) => message.id === "s-1");
    expect(answer.body).toBe(`{"jsonrpc":"2.0","id":"s-1","result":{"action":"accept"}}`);
    expect(answer.headers).toMatchObject({ "x-bifrost-a": "1" });
    expect(answer.headers).not.toHaveProperty("mcp-name");
  });

  it.each([
    [400, -32020],
    [400, -32602],
    [404, -32601],
    [500, -32603],
  ])("has the server's own error as its reply, also under status %i", async (status, code) => {
    const { channel } = await bench.open((received, response) =>
      sendJson(response, { jsonrpc: "2.0", id: received.message.id, error: { code, message: "no" } }, status),
    );
    expect(await channel.request(call(1), silent)).toEqual({ error: `{"code":${code},"message":"no"}` });
  });
});

describe("a session", () => {
  it("is remembered from the answer to initialize, sent with what follows, and ended with DELETE", async () => {
    const { channel, server } = await bench.open((received, response) => {
      if (answerHandshake(received, response)) return;
      if (received.method === "POST") sendJson(response, resultOf(received.message.id));
      else response.writeHead(200).end();
    });
    await channel.request(call(1, "initialize"), silent);
    expect(channel.sessionId).toBe("s1");
    await channel.notify("notifications/initialized", undefined, { "mcp-protocol-version": "2025-11-25" });
    await channel.request(call(2), silent);
    await channel.close();
    expect(server.received.map(({ method, headers }) => [method, headers["mcp-session-id"]])).toEqual([
      ["POST", undefined],
      ["POST", "s1"],
      ["POST", "s1"],
      ["DELETE", "s1"],
    ]);
    expect(server.received.at(-1)?.headers["mcp-protocol-version"]).toBe("2025-11-25");
    expect(await channel.closed).toEqual({ reason: "closed", expected: true });
  });

  it("that the server has forgotten is told as such", async () => {
    const { channel } = await bench.open((received, response) => {
      if (answerHandshake(received, response)) return;
      sendJson(response, { jsonrpc: "2.0", id: null, error: { code: -32001, message: "Session not found" } }, 404);
    });
    await channel.request(call(1, "initialize"), silent);
    await expect(channel.request(call(2), silent)).rejects.toMatchObject({ code: "upstream.session_lost" });
    await expect(channel.notify("notifications/x", undefined, {})).rejects.toMatchObject({
      code: "upstream.session_lost",
    });
  });

  it.each([
    [null, -32000, 400, "upstream.session_lost"],
    [2, -32000, 400, "reply"],
    [null, -32600, 400, "reply"],
    [null, -32000, 500, "reply"],
  ])("and an error for request %s, code %i, status %i, are told as %s", async (id, code, status, outcome) => {
    const { channel } = await bench.open((received, response) => {
      if (!answerHandshake(received, response))
        sendJson(response, { jsonrpc: "2.0", id, error: { code, message: "no" } }, status);
    });
    await channel.request(call(1, "initialize"), silent);
    const reply = channel.request(call(2), silent);
    if (outcome === "reply") expect(await reply).toEqual({ error: `{"code":${code},"message":"no"}` });
    else await expect(reply).rejects.toMatchObject({ code: outcome });
  });

  it("listens once it is confirmed, and resumes after the last event when the stream breaks", async () => {
    let gets = 0;
    const { channel, server } = await bench.open((received, response) => {
      if (answerHandshake(received, response)) return;
      if (received.method !== "GET") {
        response.writeHead(202).end();
        return;
      }
      gets++;
      const event = encodeEvent(`{"jsonrpc":"2.0","method":"notifications/n${gets}"}`, { id: `e${gets}`, retryMs: 1 });
      sendEvents(response, event);
      if (gets === 1) response.end();
    });
    const heard: string[] = [];
    const both = Promise.withResolvers<void>();
    channel.listen(
      {
        ...silent,
        onNotification({ method }) {
          heard.push(method);
          if (heard.length === 2) both.resolve();
        },
      },
      { "x-bifrost-a": "1" },
    );
    await channel.request(call(1, "initialize"), silent);
    expect(server.received).toHaveLength(1);
    await channel.notify("notifications/initialized", undefined, { "mcp-protocol-version": "2025-11-25" });
    await both.promise;
    expect(heard).toEqual(["notifications/n1", "notifications/n2"]);
    const streams = server.received.filter(({ method }) => method === "GET");
    expect(streams.map(({ headers }) => headers["last-event-id"])).toEqual([undefined, "e1"]);
    expect(streams[1]?.headers).toMatchObject({
      "mcp-session-id": "s1",
      "mcp-protocol-version": "2025-11-25",
      "x-bifrost-a": "1",
    });
  });
});
