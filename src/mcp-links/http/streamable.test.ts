import type { ServerResponse } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import {
  httpTransport,
  type Received,
  type ScriptedServer,
  scriptedServer,
  sendEvents,
  sendJson,
} from "../../../test/support/mcp-http-server.ts";
import { encodeEvent } from "../../jsonrpc/sse.ts";
import type { Channel, ChannelRequest, ExchangeEvents, ServerNotification, ServerRequest } from "../types.ts";
import type { HttpLimits } from "./conversation.ts";
import { openHttpChannel } from "./open-channel.ts";
import { createHttpUpstreams, type HttpTransport } from "./upstreams.ts";

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

interface Setup {
  readonly transport?: Partial<HttpTransport>;
  readonly limits?: Partial<HttpLimits>;
  readonly bearer?: () => Promise<string>;
}

async function open(
  answer: (received: Received, response: ServerResponse) => void | Promise<void>,
  { transport, limits, bearer }: Setup = {},
): Promise<{ server: ScriptedServer; channel: Channel }> {
  const server = await scriptedServer(answer);
  const upstreams = createHttpUpstreams();
  const channel = openHttpChannel(httpTransport(server.url, transport), {
    upstreams,
    ...(limits && { limits }),
    ...(bearer && { bearer }),
  });
  cleanups.push(
    () => server.close(),
    () => upstreams.close(),
    () => channel.close(),
  );
  return { server, channel };
}

function call(id: number, method = "tools/call", more: Partial<ChannelRequest> = {}): ChannelRequest {
  return { id, method, params: `{"name":"x"}`, headers: {}, signal: undefined, ...more };
}

const silent: ExchangeEvents = {
  onNotification: () => undefined,
  onRequest: () => Promise.resolve({ result: "{}" }),
};

const result = (id: unknown, value: unknown = { ok: true }) => ({ jsonrpc: "2.0", id, result: value });

describe("a request over streamable HTTP", () => {
  it("is one POST, and its answer in JSON comes back without losing anything", async () => {
    const text = `{"jsonrpc":"2.0","result": {"n":12345678901234567890,"é":"\\u00e9" } ,"id":7}`;
    const { channel, server } = await open((_received, response) => sendJson(response, text));
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
    const { channel, server } = await open(async (received, response) => {
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
      stream.end(encodeEvent(JSON.stringify(result(received.message.id))));
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
    const { channel } = await open((received, response) =>
      sendJson(response, { jsonrpc: "2.0", id: received.message.id, error: { code, message: "no" } }, status),
    );
    expect(await channel.request(call(1), silent)).toEqual({ error: `{"code":${code},"message":"no"}` });
  });
});

describe("a session", () => {
  const initialize = (received: Received, response: ServerResponse): boolean => {
    if (received.message.method === "initialize")
      sendJson(response, result(received.message.id), 200, { "mcp-session-id": "s1" });
    else if (received.message.method === "notifications/initialized") response.writeHead(202).end();
    else return false;
    return true;
  };

  it("is remembered from the answer to initialize, sent with what follows, and ended with DELETE", async () => {
    const { channel, server } = await open((received, response) => {
      if (initialize(received, response)) return;
      if (received.method === "POST") sendJson(response, result(received.message.id));
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
    const { channel } = await open((received, response) => {
      if (initialize(received, response)) return;
      sendJson(response, { jsonrpc: "2.0", id: null, error: { code: -32001, message: "Session not found" } }, 404);
    });
    await channel.request(call(1, "initialize"), silent);
    await expect(channel.request(call(2), silent)).rejects.toMatchObject({ code: "upstream.session_lost" });
    await expect(channel.notify("notifications/x", undefined, {})).rejects.toMatchObject({
      code: "upstream.session_lost",
    });
  });

  it("listens once it is confirmed, and resumes after the last event when the stream breaks", async () => {
    let gets = 0;
    const { channel, server } = await open((received, response) => {
      if (initialize(received, response)) return;
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
