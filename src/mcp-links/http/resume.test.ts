import { afterEach, describe, expect, it } from "vitest";
import { answerHandshake, call, channelBench, resultOf, silent } from "../../../test/support/mcp-http-channel.ts";
import { sendEvents, sendJson } from "../../../test/support/mcp-http-server.ts";
import { encodeEvent } from "../../jsonrpc/sse.ts";

const bench = channelBench();
afterEach(() => bench.end());

const priming = (id: string, retryMs = 1) => encodeEvent("", { id, retryMs });
const reply = (id: unknown) => encodeEvent(JSON.stringify(resultOf(id)));
const progress = (n: number) =>
  encodeEvent(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":${n}}}`, { id: `p${n}` });

describe("the stream of a call that breaks before the reply", () => {
  it("is resumed after its last event until the reply has come, without losing or doubling anything", async () => {
    let gets = 0;
    const { channel, server } = await bench.open((received, response) => {
      if (answerHandshake(received, response)) return;
      if (received.method === "DELETE") response.end();
      else if (received.method === "POST") sendEvents(response, priming("p0") + progress(1)).end();
      // The third connection breaks without its end, and within an event.
      else if (++gets === 1) sendEvents(response).write(`${progress(2)}id: p9\ndata: {`, () => response.destroy());
      else if (gets === 2) sendEvents(response, priming("p3")).end();
      else sendEvents(response, encodeEvent(JSON.stringify(resultOf(77))) + progress(4) + reply(2));
    });
    await channel.request(call(1, "initialize"), silent);
    const seen: unknown[] = [];
    const headers = { "mcp-protocol-version": "2025-11-25", "mcp-name": "x" };
    expect(
      await channel.request(call(2, "tools/call", { headers }), {
        ...silent,
        onNotification: ({ params }) => seen.push(params),
      }),
    ).toEqual({ result: `{"ok":true}` });
    expect(seen).toEqual([`{"progress":1}`, `{"progress":2}`, `{"progress":4}`]);
    const streams = server.received.filter(({ method }) => method === "GET");
    expect(streams.map(({ headers: sent }) => sent["last-event-id"])).toEqual(["p1", "p2", "p3"]);
    expect(streams[0]?.headers).toMatchObject({ "mcp-session-id": "s1", "mcp-protocol-version": "2025-11-25" });
    expect(streams[0]?.headers).not.toHaveProperty("mcp-name");
    expect(server.received.filter(({ message }) => message.method === "tools/call")).toHaveLength(1);
  });

  it("is not resumed where its events had no ids", async () => {
    const { channel, server } = await bench.open((_received, response) => void sendEvents(response, ": x\n\n").end());
    await expect(channel.request(call(1), silent)).rejects.toMatchObject({ code: "upstream.reset" });
    expect(server.received).toHaveLength(1);
  });

  it.each([
    [405, "upstream.refused"],
    [404, "upstream.session_lost"],
  ])("fails the call when the server answers %i to the resumption", async (status, code) => {
    const { channel } = await bench.open((received, response) => {
      if (answerHandshake(received, response)) return;
      if (received.method === "GET") response.writeHead(status).end();
      else sendEvents(response, priming("p0")).end();
    });
    await channel.request(call(1, "initialize"), silent);
    await expect(channel.request(call(2), silent)).rejects.toMatchObject({ code });
  });

  it("fails the call when what is resumed is no message", async () => {
    const { channel } = await bench.open((received, response) =>
      sendEvents(response, received.method === "GET" ? "data: {nope\n\n" : priming("p0")).end(),
    );
    await expect(channel.request(call(1), silent)).rejects.toMatchObject({ code: "upstream.protocol" });
  });

  it("is no longer resumed once the call is aborted", async () => {
    const deadline = new AbortController();
    const { channel, server } = await bench.open((received, response) => {
      if (received.method === "POST") sendEvents(response, priming("p0")).end();
      else sendEvents(response, priming("p1"));
    });
    const open = channel.request(call(1, "tools/call", { signal: deadline.signal }), silent);
    await server.seen(({ method }) => method === "GET");
    deadline.abort();
    await expect(open).rejects.toMatchObject({ code: "upstream.reset" });
  });
});

describe("the stream of what belongs to no request", () => {
  it("is not asked for again where the server has none, and the session goes on", async () => {
    const { channel, server } = await bench.open((received, response) => {
      if (!answerHandshake(received, response)) response.writeHead(405).end();
    });
    channel.listen(silent, {});
    await channel.request(call(1, "initialize"), silent);
    await channel.notify("notifications/initialized", undefined, {});
    await server.seen(({ method }) => method === "GET");
    await channel.close();
    expect(server.received.filter(({ method }) => method === "GET")).toHaveLength(1);
  });

  it("survives garbage, and answers what the server asks", async () => {
    const { channel, server } = await bench.open((received, response) => {
      if (answerHandshake(received, response)) return;
      if (received.method === "GET")
        sendEvents(response, "data: {nope\n\n" + encodeEvent(`{"jsonrpc":"2.0","id":"a","method":"ping"}`));
      else response.writeHead(202).end();
    });
    channel.listen(silent, {});
    await channel.request(call(1, "initialize"), silent);
    await channel.notify("notifications/initialized", undefined, {});
    const answered = await server.seen(({ message }) => message.id === "a");
    expect(answered.body).toBe(`{"jsonrpc":"2.0","id":"a","result":{}}`);
    expect(answered.headers["mcp-session-id"]).toBe("s1");
  });

  it("is cut when the channel closes", async () => {
    const gone = Promise.withResolvers<void>();
    const { channel, server } = await bench.open((received, response) => {
      if (answerHandshake(received, response)) return;
      if (received.method === "GET") sendEvents(response).on("close", () => gone.resolve());
      else response.writeHead(200).end();
    });
    channel.listen(silent, {});
    await channel.request(call(1, "initialize"), silent);
    await channel.notify("notifications/initialized", undefined, {});
    await server.seen(({ method }) => method === "GET");
    await channel.close();
    await gone.promise;
  });

  it("goes with its session, and begins anew in the next one", async () => {
    let sessions = 0;
    const { channel, server } = await bench.open((received, response) => {
      if (received.message.method === "initialize")
        sendJson(response, resultOf(received.message.id), 200, { "mcp-session-id": `s${++sessions}` });
      else if (received.method === "POST") response.writeHead(202).end();
      else sendEvents(response, encodeEvent("", { id: "e1" }));
    });
    channel.listen(silent, {});
    for (const session of ["s1", "s2"]) {
      await channel.request(call(1, "initialize"), silent);
      await channel.notify("notifications/initialized", undefined, {});
      await server.seen(({ method, headers }) => method === "GET" && headers["mcp-session-id"] === session);
    }
    const initializes = server.received.filter(({ message }) => message.method === "initialize");
    expect(initializes.map(({ headers }) => headers["mcp-session-id"])).toEqual([undefined, undefined]);
    const streams = server.received.filter(({ method }) => method === "GET");
    expect(streams.map(({ headers }) => headers["last-event-id"])).toEqual([undefined, undefined]);
  });
});
