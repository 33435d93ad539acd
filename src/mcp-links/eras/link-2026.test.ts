import { expect, it, vi } from "vitest";
import { createScriptedChannel, linkRequest, ok, type Script } from "../../../test/support/scripted-channel.ts";
import { GatewayError } from "../../core/errors.ts";
import { errorReply } from "../../jsonrpc/message.ts";
import type { Channel, ChannelRequest, ExchangeEvents, Link, ServerNotification, WatchFilter } from "../types.ts";
import { createStatelessLink } from "./link-2026.ts";
import { LINK_DEFAULTS, type LinkOptions } from "./options.ts";
import { createWire } from "./wire.ts";

const META = "io.modelcontextprotocol";
const options: LinkOptions = {
  ...LINK_DEFAULTS,
  pauseMs: () => 0,
  server: "demo",
  client: linkRequest.client,
  gateway: { name: "bifrost", version: "0" },
  headers: { "x-agent": "a" },
  era: "2026",
  signal: undefined,
};
const hello = { revision: "2026-07-28", capabilities: "{}", info: null, instructions: undefined };

function open(script: Script, kind: Channel["kind"] = "stdio", more: Partial<LinkOptions> = {}) {
  const server = createScriptedChannel(kind, script);
  return { server, link: createStatelessLink(createWire(server.channel, {}), hello, { ...options, ...more }) };
}

const call = (link: Link, params: string | undefined, more: object = {}) =>
  link.request({ ...linkRequest, method: "tools/call", params, ...more });

const envelope =
  `"${META}/protocolVersion":"2026-07-28","${META}/clientInfo":{"name":"client","version":"1"},` +
  `"${META}/clientCapabilities":{"roots":{}}`;

it.each([
  [undefined, `{"_meta":{${envelope}}}`],
  ["{}", `{"_meta":{${envelope}}}`],
  ['{ "name":"t" , "arguments": {"n":1.50} }', `{ "name":"t" , "arguments": {"n":1.50} ,"_meta":{${envelope}}}`],
  ['{"_meta":{"k":1},"name":"t"}', `{"_meta":{"k":1,${envelope}},"name":"t"}`],
  [
    `{"_meta":{"${META}/clientInfo":{"name":"liar"}}}`,
    `{"_meta":{"${META}/clientInfo":{"name":"client","version":"1"}`,
  ],
])("adds the envelope to %s of a 2025 client, and leaves the rest as it was written", async (params, sent) => {
  const { link, server } = open({ "tools/call": () => ok() });
  await call(link, params);
  expect(server.got[0]?.params).toContain(sent.slice(0, -1));
  expect(JSON.parse(server.got[0]?.params ?? "")._meta).toMatchObject(JSON.parse(`{${envelope}}`));
});

it("passes the envelope of a 2026 client unchanged", async () => {
  const { link, server } = open({ "tools/call": () => ok() });
  const params = `{"name":"t", "_meta": {"${META}/protocolVersion":"2026-07-28","${META}/clientCapabilities":{}, "k":1.0}}`;
  await call(link, params, { passInputRequired: true });
  expect(server.got[0]?.params).toBe(params);
});

it("tells a log level with each request that follows", async () => {
  const { link, server } = open({ "tools/call": () => ok() });
  expect(await link.setLogLevel("warning")).toEqual({ result: "{}" });
  await call(link, "{}");
  expect(JSON.parse(server.got[0]?.params ?? "")._meta).toHaveProperty([`${META}/logLevel`], "warning");
});

it.each([
  ["tools/call", '{"name":"plain name"}', "plain name"],
  ["tools/call", '{"name":"gr\\u00fcn"}', "=?base64?Z3LDvG4=?="],
  ["tools/call", '{"name":" x"}', "=?base64?IHg=?="],
  ["tools/call", '{"name":"=?base64?literal?="}', "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="],
  ["prompts/get", '{"name":"p"}', "p"],
  ["resources/read", '{"uri":"file:///a"}', "file:///a"],
  ["tools/list", '{"name":"p"}', undefined],
])("repeats %s of %s in headers over HTTP", async (method, params, name) => {
  const { link, server } = open({ [method]: () => ok() }, "http");
  await link.request({ ...linkRequest, method, params, headers: { traceparent: "00", "mcp-name": "forged" } });
  expect(server.got[0]?.headers).toEqual({
    traceparent: "00",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": method,
    "mcp-name": name ?? "forged",
  });
});

const tool = (name: string, properties: object) => ({ name, inputSchema: { type: "object", properties } });
const sql = tool("sql", {
  region: { type: "string", "x-mcp-header": "Region" },
  limits: { type: "object", properties: { rows: { type: "integer", "x-mcp-header": "Rows" } } },
  dry: { type: "boolean", "x-mcp-header": "Dry" },
});
const sqlParams = '{"name":"sql","arguments":{"region":"Köln","limits":{"rows":42.0},"dry":null}}';

it("puts into headers what a listed tool wants there, and no longer when it is listed without", async () => {
  let tools = [sql, tool("bad", { a: { type: "number", "x-mcp-header": "A" } })];
  const { link, server } = open({ "tools/list": () => ok({ tools }), "tools/call": () => ok() }, "http");
  await link.request({ ...linkRequest, method: "tools/list", params: undefined });
  await call(link, sqlParams);
  expect(server.got[1]?.headers).toMatchObject({ "mcp-param-region": "=?base64?S8O2bG4=?=", "mcp-param-rows": "42" });
  expect(server.got[1]?.headers).not.toHaveProperty("mcp-param-dry");
  await call(link, '{"name":"bad","arguments":{"a":1}}');
  expect(server.got[2]?.headers).not.toHaveProperty("mcp-param-a");
  tools = [tool("sql", {})];
  await link.request({ ...linkRequest, method: "tools/list", params: undefined });
  await call(link, sqlParams);
  expect(server.got[4]?.headers).not.toHaveProperty("mcp-param-region");
});

it("lists the tools of a server that misses headers, on all pages, and sends the call once more", async () => {
  const { link, server } = open(
    {
      "tools/list": ({ params }) =>
        params?.includes('"cursor":"2"') ? ok({ tools: [sql] }) : ok({ tools: [], nextCursor: "2" }),
      "tools/call": ({ headers }) =>
        "mcp-param-region" in headers ? ok({ fine: true }) : errorReply(-32020, "mismatch"),
    },
    "http",
  );
  expect(await call(link, sqlParams)).toEqual(ok({ fine: true }));
  expect(await call(link, '{"name":"other"}')).toMatchObject({ error: expect.stringContaining("-32020") });
  expect(server.got.filter(({ method }) => method === "tools/call")).toHaveLength(3);
});

it("restores the client's progress token, and hears nothing of other requests", async () => {
  const heard: ServerNotification[] = [];
  const { link } = open({
    "tools/call": ({ params, id }, events) => {
      expect(JSON.parse(params ?? "")._meta.progressToken).toBe(id);
      for (const token of [id, id + 1]) {
        events.onNotification({
          method: "notifications/progress",
          params: `{"progressToken":${token},"progress":1.0}`,
        });
      }
      return ok();
    },
  });
  await call(link, '{"_meta":{"progressToken":"mine"}}', {
    onNotification: (one: ServerNotification) => heard.push(one),
  });
  expect(heard).toEqual([{ method: "notifications/progress", params: '{"progressToken":"mine","progress":1.0}' }]);
});

it.each([
  ["stdio", ["tools/call", "notifications/cancelled"]],
  ["http", ["tools/call"]],
] as const)("cancels over %s as that transport has it", async (kind, expected) => {
  const { link, server } = open({ "tools/call": () => new Promise(() => undefined) }, kind);
  const abort = new AbortController();
  const calling = call(link, "{}", { signal: abort.signal });
  await server.saw("tools/call");
  abort.abort();
  await expect(calling).rejects.toMatchObject({ code: "upstream.reset" });
  expect(server.got.map(({ method }) => method)).toEqual(expected);
});

const asks = (inputRequests: object | undefined, requestState?: string) =>
  ok({ resultType: "input_required", ...(inputRequests && { inputRequests }), ...(requestState && { requestState }) });

it("hands a 2026 client the server's questions as they are", async () => {
  const reply = asks({ a: { method: "elicitation/create", params: {} } }, "s");
  const { link } = open({ "tools/call": () => reply });
  expect(await call(link, "{}", { passInputRequired: true })).toBe(reply);
});

it("asks a 2025 client all questions of a round at once, and repeats the request with the answers", async () => {
  const sent: string[] = [];
  const ids = new Set<number>();
  const { link } = open({
    "tools/call": ({ params, id }) => {
      ids.add(id);
      const { _meta, ...rest } = JSON.parse(params ?? "");
      expect(_meta).toMatchObject(JSON.parse(`{${envelope}}`));
      sent.push(JSON.stringify(rest));
      if (sent.length === 1) {
        return asks(
          { 'a"b': { method: "elicitation/create", params: { message: "?" } }, r: { method: "roots/list" } },
          "one",
        );
      }
      return sent.length === 2 ? asks({ c: { method: "sampling/createMessage", params: {} } }) : ok({ content: [] });
    },
  });
  let open2 = 0;
  const onRequest = vi.fn(async ({ method }: { method: string }) => {
    open2++;
    await vi.waitFor(() => expect(method === "sampling/createMessage" || open2 === 2).toBe(true));
    return { result: `{"of":"${method}","n":1.0}` };
  });
  expect(await call(link, '{"name":"t"}', { onRequest })).toEqual(ok({ content: [] }));
  expect(ids.size).toBe(3);
  expect(sent).toEqual([
    '{"name":"t"}',
    '{"name":"t","inputResponses":{"a\\"b":{"of":"elicitation/create","n":1},"r":{"of":"roots/list","n":1}},"requestState":"one"}',
    '{"name":"t","inputResponses":{"c":{"of":"sampling/createMessage","n":1}}}',
  ]);
  expect(onRequest.mock.calls[0]?.[0]).toEqual({ method: "elicitation/create", params: '{"message":"?"}' });
});

it("comes again later where the server only gave a state", async () => {
  const { link, server } = open({
    "tools/call": ({ params }) => (params?.includes('"requestState":"s"') ? ok() : asks(undefined, "s")),
  });
  expect(await call(link, "{}")).toEqual(ok());
  expect(server.got[1]?.params).not.toContain("inputResponses");
});

it("ends a request whose client answers a question with an error, and lets go of the other questions", async () => {
  const { link } = open({
    "tools/call": () => asks({ a: { method: "roots/list" }, b: { method: "elicitation/create" } }),
  });
  let other: AbortSignal | undefined;
  const onRequest = async ({ method }: { method: string }, signal: AbortSignal) => {
    if (method === "roots/list") return errorReply(-1, "secret of the client");
    other = signal;
    return new Promise(() => undefined);
  };
  const reply = await call(link, "{}", { onRequest });
  expect(reply).toMatchObject({ error: expect.stringContaining("roots/list") });
  expect(JSON.stringify(reply)).not.toContain("secret");
  expect(other?.aborted).toBe(true);
});

it.each([
  ["asks without end", () => asks({ a: { method: "roots/list" } })],
  [
    "asks too much at once",
    () => asks(Object.fromEntries(Array.from({ length: 65 }, (_, n) => [n, { method: "roots/list" }]))),
  ],
  ["does not say what it asks for", () => asks({ a: {} })],
])("gives up on a server that %s", async (_, answer) => {
  const { link } = open({ "tools/call": answer });
  const onRequest = async () => ok({ roots: [] });
  await expect(call(link, "{}", { onRequest })).rejects.toMatchObject({ code: "upstream.protocol" });
});

it("stops waiting for a client's answer when the request is cancelled", async () => {
  const { link, server } = open({ "tools/call": () => asks({ a: { method: "roots/list" } }) });
  const abort = new AbortController();
  const reason = new GatewayError("upstream.timeout");
  const onRequest = () => {
    abort.abort(reason);
    return new Promise(() => undefined);
  };
  await expect(call(link, "{}", { onRequest, signal: abort.signal })).rejects.toBe(reason);
  expect(server.got.map(({ method }) => method)).toEqual(["tools/call"]);
});

it("drops notifications of the client, and refuses what a server of this revision may not ask", async () => {
  const { link, server } = open({
    "tools/call": (_, events) =>
      events.onRequest({ method: "roots/list", params: undefined }, new AbortController().signal),
  });
  await link.notify("notifications/roots/list_changed", undefined);
  expect(await call(link, "{}", { onRequest: async () => ok({ roots: [] }) })).toHaveProperty("error");
  expect(server.got).toHaveLength(1);
});

const lists: WatchFilter = { tools: true, prompts: true, resources: false, resourceUris: [] };
const wire = ({ tools, prompts, resourceUris }: WatchFilter) => ({
  ...(tools && { toolsListChanged: true }),
  ...(prompts && { promptsListChanged: true }),
  ...(resourceUris.length > 0 && { resourceSubscriptions: resourceUris }),
});

/** A server with `subscriptions/listen`: each stream stays open until told otherwise. */
function listening(kind: Channel["kind"] = "stdio", grant: (filter: object) => object = (filter) => filter) {
  const streams: { request: ChannelRequest; events: ExchangeEvents; end: (reply: ReturnType<typeof ok>) => void }[] =
    [];
  const opened = open(
    {
      "subscriptions/listen": (request, events) => {
        const meta = { [`${META}/subscriptionId`]: request.id };
        const notifications = grant(JSON.parse(request.params ?? "").notifications);
        const params = JSON.stringify({ _meta: meta, notifications });
        events.onNotification({ method: "notifications/subscriptions/acknowledged", params });
        return new Promise((resolve) => streams.push({ request, events, end: resolve }));
      },
      "tools/call": (_, events) => {
        events.onNotification({ method: "notifications/tools/list_changed", params: undefined });
        return new Promise(() => undefined);
      },
    },
    kind,
  );
  return { ...opened, streams };
}

it("listens with the filter, tells what was granted, and takes the subscription's id out of what it passes on", async () => {
  const { link, server, streams } = listening("http", ({ ...filter }) => ({
    ...filter,
    promptsListChanged: undefined,
  }));
  const heard: ServerNotification[] = [];
  const wanted = { ...lists, resourceUris: ["a:1", "a:1"] };
  const watch = link.watch(wanted, (notification) => heard.push(notification));
  expect(await watch.granted).toEqual({ tools: true, prompts: false, resources: false, resourceUris: ["a:1"] });
  expect(server.got[0]?.headers).toEqual({
    "x-agent": "a",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "subscriptions/listen",
  });
  expect(JSON.parse(server.got[0]?.params ?? "")).toEqual({
    notifications: wire({ ...wanted, resourceUris: ["a:1"] }),
    _meta: JSON.parse(`{${envelope}}`),
  });
  await vi.waitFor(() => expect(streams).toHaveLength(1));
  const id = `"${META}/subscriptionId":"${streams[0]?.request.id}"`;
  streams[0]?.events.onNotification({ method: "notifications/tools/list_changed", params: `{"_meta":{${id}}}` });
  streams[0]?.events.onNotification({
    method: "notifications/resources/updated",
    params: `{"uri":"a:1","_meta":{"k":1.0,${id}}}`,
  });
  streams[0]?.events.onNotification({
    method: "notifications/resources/updated",
    params: `{"uri":"b:1","_meta":{${id}}}`,
  });
  expect(heard).toEqual([
    { method: "notifications/tools/list_changed", params: "{}" },
    { method: "notifications/resources/updated", params: '{"uri":"a:1","_meta":{"k":1.0}}' },
  ]);
  watch.close();
  expect(streams[0]?.request.signal?.aborted).toBe(true);
  expect(server.got).toHaveLength(1);
});

it("ends a stream over stdio with a notification, and nothing is heard afterwards", async () => {
  const { link, server, streams } = listening();
  const heard = vi.fn();
  const watch = link.watch(lists, heard);
  await watch.granted;
  watch.close();
  await server.saw("notifications/cancelled");
  expect(server.got.at(-1)?.params).toBe(`{"requestId":${streams[0]?.request.id}}`);
  streams[0]?.events.onNotification({ method: "notifications/tools/list_changed", params: undefined });
  expect(heard).not.toHaveBeenCalled();
});

it("closes the old stream of a changed filter when the new one is there, and keeps an unchanged one", async () => {
  const { link, streams } = listening("http");
  const watch = link.watch(lists, () => undefined);
  await watch.granted;
  await watch.change({ ...lists });
  expect(streams).toHaveLength(1);
  await Promise.all([watch.change({ ...lists, tools: false }), watch.change({ ...lists, prompts: false })]);
  await vi.waitFor(() => expect(streams).toHaveLength(3));
  expect(streams.map(({ request }) => request.signal?.aborted)).toEqual([true, true, false]);
  expect(JSON.parse(streams[2]?.request.params ?? "").notifications).toEqual({ toolsListChanged: true });
});

it.each([
  ["ends", (streams: ReturnType<typeof listening>["streams"]) => streams[0]?.end(ok())],
  [
    "is taken back by the server",
    ({ 0: stream }, server) =>
      server
        .outside()
        .onNotification({ method: "notifications/cancelled", params: `{"requestId":${stream?.request.id}}` }),
  ],
] as [
  string,
  (streams: ReturnType<typeof listening>["streams"], server: ReturnType<typeof listening>["server"]) => void,
][])("opens a stream anew that %s, and says that everything may have changed", async (_, end) => {
  const { link, server, streams } = listening();
  const heard: string[] = [];
  await link.watch(lists, ({ method }) => heard.push(method)).granted;
  await vi.waitFor(() => expect(streams).toHaveLength(1));
  end(streams, server);
  await vi.waitFor(() =>
    expect(heard).toEqual(["notifications/tools/list_changed", "notifications/prompts/list_changed"]),
  );
  expect(streams).toHaveLength(2);
});

it.each([-32601, -32602])(
  "is granted nothing by a server that refuses with %s, and does not ask again",
  async (code) => {
    const { link, server } = open({ "subscriptions/listen": () => errorReply(code, "no") });
    expect(await link.watch(lists, () => undefined).granted).toMatchObject({ tools: false, prompts: false });
    await link.watch({ ...lists, tools: false }, () => undefined).granted;
    expect(server.got).toHaveLength(2);
  },
);

it("goes on trying where streams fail, but does not let anybody wait for an answer for ever", async () => {
  let tries = 0;
  const { link } = open({
    "subscriptions/listen": (_, events) => {
      if (++tries < 6) throw new GatewayError("upstream.unavailable");
      events.onNotification({
        method: "notifications/subscriptions/acknowledged",
        params: '{"notifications":{"toolsListChanged":true}}',
      });
      return new Promise(() => undefined);
    },
  });
  const heard: string[] = [];
  expect(await link.watch(lists, ({ method }) => heard.push(method)).granted).toMatchObject({ tools: false });
  await vi.waitFor(() => expect(heard).toEqual(["notifications/tools/list_changed"]));
});

it("needs no stream for a watch of nothing", async () => {
  const { link, server } = listening();
  await link.watch({ ...lists, tools: false, prompts: false }, () => undefined).granted;
  expect(server.got).toEqual([]);
});

it("gives log messages that no request owns to the request begun last, else to who listens", async () => {
  const { link, server } = listening();
  const listener = { onNotification: vi.fn(), onRequest: vi.fn() };
  link.listen(listener);
  const log = { method: "notifications/message", params: "{}" };
  server.outside().onNotification(log);
  expect(listener.onNotification).toHaveBeenCalledExactlyOnceWith(log);
  const onNotification = vi.fn();
  const abort = new AbortController();
  const calling = call(link, "{}", { onNotification, signal: abort.signal });
  server.outside().onNotification(log);
  expect(onNotification).toHaveBeenCalledExactlyOnceWith(log);
  abort.abort();
  await expect(calling).rejects.toThrow();
});

it("tells the watches of a change that arrives with a request", async () => {
  const { link, server } = listening();
  const heard = vi.fn();
  await link.watch(lists, heard).granted;
  const onNotification = vi.fn();
  void call(link, "{}", { onNotification }).catch(() => undefined);
  await server.saw("tools/call");
  await vi.waitFor(() => expect(heard).toHaveBeenCalledOnce());
  expect(onNotification).not.toHaveBeenCalled();
  await link.close();
});

it("refuses more open requests than its limit, and ends with its channel", async () => {
  const { link, server } = open({ "tools/call": () => new Promise(() => undefined) }, "stdio", { maxOpenRequests: 1 });
  const running = call(link, "{}");
  await expect(call(link, "{}")).rejects.toMatchObject({ code: "upstream.unavailable" });
  server.end("died");
  await expect(running).rejects.toThrow("died");
  expect(await link.closed).toEqual({ reason: "died", expected: false });
});
