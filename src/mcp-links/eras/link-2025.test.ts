import { describe, expect, it, vi } from "vitest";
import { createScriptedChannel, linkRequest, ok, type Script } from "../../../test/support/scripted-channel.ts";
import { GatewayError } from "../../core/errors.ts";
import type { Channel, Link, ServerNotification } from "../types.ts";
import { openInitializedLink } from "./link-2025.ts";
import { LINK_DEFAULTS, type LinkOptions } from "./options.ts";
import { createWire } from "./wire.ts";

const options: LinkOptions = {
  ...LINK_DEFAULTS,
  server: "demo",
  client: linkRequest.client,
  gateway: { name: "bifrost", version: "0" },
  headers: { "x-agent": "a" },
  era: "2025",
  signal: undefined,
};
const changing = {
  tools: { listChanged: true },
  prompts: { listChanged: true },
  resources: { subscribe: true },
  logging: {},
};
const hello = (capabilities: object = {}, protocolVersion = "2025-11-25") =>
  ok({ protocolVersion, capabilities, serverInfo: { name: "s", version: "1" }, instructions: "be\nkind" });
const everything = { tools: true, prompts: true, resources: true, resourceUris: ["a:1", "a:2"] };

async function open(script: Script, kind: Channel["kind"] = "stdio", more: Partial<LinkOptions> = {}) {
  const server = createScriptedChannel(kind, { initialize: () => hello(changing), ...script });
  const link = await openInitializedLink(createWire(server.channel, {}), { ...options, ...more });
  return { link, server };
}

const call = (link: Link, params: string | undefined, more: object = {}) =>
  link.request({ ...linkRequest, method: "tools/call", params, ...more });

it("initializes with the client's own info and capabilities, and takes what the server says of itself", async () => {
  const { link, server } = await open({ initialize: () => hello({ tools: {} }, "2025-03-26") }, "http");
  expect(JSON.parse(server.got[0]?.params ?? "")).toEqual({
    protocolVersion: "2025-11-25",
    capabilities: { roots: {} },
    clientInfo: { name: "client", version: "1" },
  });
  expect(server.got[1]).toMatchObject({
    method: "notifications/initialized",
    headers: { "mcp-protocol-version": "2025-03-26", "x-agent": "a" },
  });
  expect(link.hello).toEqual({
    revision: "2025-03-26",
    capabilities: '{"tools":{}}',
    info: '{"name":"s","version":"1"}',
    instructions: "be\nkind",
  });
});

it("says who the gateway is where the client did not say who it is", async () => {
  const { server } = await open({}, "stdio", { client: { info: null, capabilities: "{}" } });
  expect(JSON.parse(server.got[0]?.params ?? "")).toMatchObject({ clientInfo: { name: "bifrost", version: "0" } });
});

it.each([
  ["an error", { error: '{"code":-32000,"message":"no"}' }],
  ["a revision nobody knows", hello({}, "1999-01-01")],
  ["no revision", ok({})],
])("refuses a server that answers initialize with %s", async (_, reply) => {
  await expect(open({ initialize: () => reply })).rejects.toMatchObject({ code: "upstream.protocol" });
});

it("passes params as they were written, with the revision as a header", async () => {
  const { link, server } = await open({ "tools/call": () => ({ result: '{ "content" : [1.50] }' }) });
  const params = '{ "name":"t", "arguments": {"n": 12345678901234567890, "e":1E400} }';
  expect(await call(link, params, { headers: { traceparent: "00" } })).toEqual({ result: '{ "content" : [1.50] }' });
  expect(server.got.at(-1)).toEqual({
    method: "tools/call",
    params,
    headers: { traceparent: "00", "mcp-protocol-version": "2025-11-25" },
  });
});

it("gives an answer of an error as it is, and no exception", async () => {
  const { link } = await open({ "tools/call": () => ({ error: '{"code":-32602,"message":"m","data":[]}' }) });
  expect(await call(link, "{}")).toEqual({ error: '{"code":-32602,"message":"m","data":[]}' });
});

it.each([['"t-1"'], ["7"], ['"1"']])("restores the progress token %s that it replaced by its own", async (token) => {
  const heard: ServerNotification[] = [];
  const { link } = await open({
    "tools/call": ({ params }, events) => {
      const { progressToken, ...rest } = JSON.parse(params ?? "")._meta;
      expect(rest).toEqual({ k: 1.5 });
      const other = Number(progressToken) + 1;
      events.onNotification({ method: "notifications/progress", params: `{"progressToken":${other},"progress":1}` });
      events.onNotification({
        method: "notifications/progress",
        params: `{"progressToken":${progressToken},"progress":0.50}`,
      });
      return ok();
    },
  });
  await call(link, `{"name":"t","_m\\u0065ta":{"k":1.5,"progressToken":${token}}}`, {
    onNotification: (notification: ServerNotification) => heard.push(notification),
  });
  expect(heard).toEqual([{ method: "notifications/progress", params: `{"progressToken":${token},"progress":0.50}` }]);
});

it("takes the envelope of a 2026 client out, and tells the server the most verbose log level that was in one", async () => {
  const { link, server } = await open({ "logging/setLevel": () => ok(), "tools/call": () => ok() });
  const envelope =
    '"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},' +
    '"io.modelcontextprotocol/logLevel":"debug","io.modelcontextprotocol/clientInfo":{}';
  await call(link, `{"name":"t","_meta":{${envelope}}}`);
  await call(link, `{"name":"t","_meta":{"mine":1,${envelope.replace('"debug"', '"error"')}}}`);
  expect(server.got.slice(2).map(({ method, params }) => [method, params])).toEqual([
    ["logging/setLevel", '{"level":"debug"}'],
    ["tools/call", '{"name":"t"}'],
    ["tools/call", '{"name":"t","_meta":{"mine":1}}'],
  ]);
});

it("tells the server of a request that was cancelled, under the id it knows, and rejects", async () => {
  let id = 0;
  const { link, server } = await open({
    "tools/call": (request) => {
      id = request.id;
      return new Promise(() => undefined);
    },
  });
  const abort = new AbortController();
  const calling = call(link, "{}", { signal: abort.signal });
  await server.saw("tools/call");
  const reason = new GatewayError("upstream.timeout");
  abort.abort(reason);
  await expect(calling).rejects.toBe(reason);
  expect(server.got.at(-1)).toMatchObject({ method: "notifications/cancelled", params: `{"requestId":${id}}` });
  await expect(call(link, "{}", { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "upstream.reset" });
  expect(server.got).toHaveLength(4);
});

it("hands a server's request to the request it came with, else to who listens, and answers a ping itself", async () => {
  const { signal } = new AbortController();
  const { link, server } = await open({
    "tools/call": async (_, events) => {
      expect(await events.onRequest({ method: "ping", params: undefined }, signal)).toEqual({ result: "{}" });
      return events.onRequest({ method: "elicitation/create", params: "{}" }, signal);
    },
  });
  const onRequest = vi.fn(async () => ok({ action: "accept" }));
  expect(await call(link, "{}", { onRequest })).toEqual(ok({ action: "accept" }));
  expect(onRequest).toHaveBeenCalledExactlyOnceWith({ method: "elicitation/create", params: "{}" }, signal);

  const roots = { method: "roots/list", params: undefined };
  const early = server.outside().onRequest(roots, signal);
  const listening = { onNotification: vi.fn(), onRequest: vi.fn(async () => ok({ roots: [] })) };
  link.listen(listening);
  expect(await early).toEqual(ok({ roots: [] }));
  expect(await server.outside().onRequest(roots, signal)).toEqual(ok({ roots: [] }));
  expect(await server.outside().onRequest({ method: "ping", params: undefined }, signal)).toEqual({ result: "{}" });
  server.outside().onNotification({ method: "notifications/elicitation/complete", params: '{"elicitationId":"e"}' });
  expect(listening.onNotification).toHaveBeenCalledOnce();
});

it("tells each watch of the changes it asked for, wherever they arrive, and subscribes to a URI once", async () => {
  const { link, server } = await open({
    "resources/subscribe": ({ params }) => (params === '{"uri":"a:2"}' ? { error: "{}" } : ok()),
    "resources/unsubscribe": () => ok(),
    "tools/call": (_, events) => {
      events.onNotification({ method: "notifications/tools/list_changed", params: undefined });
      return ok();
    },
  });
  const [one, two]: string[][] = [[], []];
  const onRequestNotification = vi.fn();
  const first = link.watch(everything, ({ method }) => one?.push(method));
  const second = link.watch({ ...everything, tools: false, resourceUris: ["a:1"] }, ({ method }) => two?.push(method));
  // The server has no resources.listChanged, and refuses one URI.
  expect(await first.granted).toEqual({ tools: true, prompts: true, resources: false, resourceUris: ["a:1"] });
  expect(await second.granted).toEqual({ tools: false, prompts: true, resources: false, resourceUris: ["a:1"] });
  await call(link, "{}", { onNotification: onRequestNotification });
  for (const uri of ["a:1", "a:1/part", "a:12", "a:2"]) {
    server.outside().onNotification({ method: "notifications/resources/updated", params: `{"uri":"${uri}"}` });
  }
  expect(one).toEqual([
    "notifications/tools/list_changed",
    ...Array<string>(2).fill("notifications/resources/updated"),
  ]);
  expect(two).toHaveLength(2);
  expect(onRequestNotification).not.toHaveBeenCalled();

  first.close();
  await second.change({ ...everything, resourceUris: [] });
  await server.saw("resources/unsubscribe");
  const about = server.got
    .filter(({ method }) => method.startsWith("resources/"))
    .map(({ method, params }) => method + params);
  expect(about).toEqual([
    'resources/subscribe{"uri":"a:1"}',
    'resources/subscribe{"uri":"a:2"}',
    'resources/unsubscribe{"uri":"a:1"}',
  ]);
  server.outside().onNotification({ method: "notifications/tools/list_changed", params: undefined });
  expect([one?.length, two?.at(-1)]).toEqual([3, "notifications/tools/list_changed"]);
});

it("gets one new session for all requests that find the old one lost, repeats them, and restores what was set", async () => {
  let lost = false;
  let initialized = 0;
  const refuse = () => {
    if (lost) throw new GatewayError("upstream.session_lost");
    return ok();
  };
  const { link, server } = await open(
    {
      initialize: () => {
        lost = false;
        return hello(changing, ++initialized === 1 ? "2025-11-25" : "2025-06-18");
      },
      "tools/call": refuse,
      "logging/setLevel": refuse,
      "resources/subscribe": refuse,
    },
    "http",
  );
  await link.setLogLevel("error");
  const heard: string[] = [];
  await link.watch({ ...everything, resourceUris: ["a:1"] }, ({ method }) => heard.push(method)).granted;
  lost = true;
  server.got.length = 0;
  expect(await Promise.all([call(link, "{}"), call(link, "{}"), call(link, "{}")])).toEqual([ok(), ok(), ok()]);
  await vi.waitFor(() => expect(heard).toContain("notifications/tools/list_changed"));
  expect(server.got.map(({ method }) => method).toSorted()).toEqual(
    [
      ...Array<string>(6).fill("tools/call"),
      "initialize",
      "notifications/initialized",
      "logging/setLevel",
      "resources/subscribe",
    ].toSorted(),
  );
  expect(link.hello.revision).toBe("2025-06-18");
  expect(server.got.at(-1)).toMatchObject({ headers: { "mcp-protocol-version": "2025-06-18" } });
});

it("reports a session that is lost again at once, and tries anew with the next request after a failed renewal", async () => {
  let initialized = 0;
  const { link } = await open(
    {
      initialize: () => {
        if (++initialized === 3) throw new GatewayError("upstream.unreachable");
        return hello();
      },
      "tools/call": () => {
        if (initialized < 4) throw new GatewayError("upstream.session_lost");
        return ok();
      },
    },
    "http",
  );
  await expect(call(link, "{}")).rejects.toMatchObject({ code: "upstream.session_lost" });
  await expect(call(link, "{}")).rejects.toMatchObject({ code: "upstream.unreachable" });
  expect(await call(link, "{}")).toEqual(ok());
});

it("never repeats a request that failed in another way", async () => {
  const { link, server } = await open({
    "tools/call": () => {
      throw new GatewayError("upstream.reset");
    },
  });
  await expect(call(link, "{}")).rejects.toMatchObject({ code: "upstream.reset" });
  expect(server.got.filter(({ method }) => method === "tools/call")).toHaveLength(1);
});

it("refuses more open requests than its limit, and takes others again when they have ended", async () => {
  const answers: (() => void)[] = [];
  const { link } = await open(
    { "tools/call": () => new Promise((resolve) => answers.push(() => resolve(ok()))) },
    "stdio",
    { maxOpenRequests: 2 },
  );
  const running = [call(link, "{}"), call(link, "{}")];
  await expect(call(link, "{}")).rejects.toMatchObject({ code: "upstream.unavailable" });
  await vi.waitFor(() => expect(answers).toHaveLength(2));
  for (const answer of answers) answer();
  await Promise.all(running);
  void call(link, "{}");
  await vi.waitFor(() => expect(answers).toHaveLength(3));
});

it("passes notifications of the client, and ends with its channel", async () => {
  const { link, server } = await open({});
  await link.notify("notifications/roots/list_changed", undefined);
  expect(server.got.at(-1)?.method).toBe("notifications/roots/list_changed");
  await link.close();
  expect(await link.closed).toEqual({ reason: "closed", expected: true });
});

it("finds the request that a message belongs to on legacy SSE, where everything comes on one stream", async () => {
  const heard: ServerNotification[] = [];
  const onNotification = (notification: ServerNotification) => heard.push(notification);
  const progress = (token: unknown) => ({
    method: "notifications/progress",
    params: `{"progressToken":${JSON.stringify(token)},"progress":1}`,
  });
  const { signal } = new AbortController();
  const { link } = await open(
    {
      "tools/call": async ({ params }, _, { outside }) => {
        const token: unknown = JSON.parse(params ?? "")._meta?.progressToken;
        outside().onNotification(progress(token));
        outside().onNotification(progress(Number(token) + 1));
        outside().onNotification({ method: "notifications/message", params: "{}" });
        return outside().onRequest({ method: "roots/list", params: undefined }, signal);
      },
    },
    "sse",
  );
  link.listen({ onNotification: vi.fn(), onRequest: vi.fn() });
  const onRequest = async () => ok({ roots: [] });
  expect(await call(link, '{"_meta":{"progressToken":"p"}}', { onNotification, onRequest })).toEqual(ok({ roots: [] }));
  expect(heard).toEqual([progress("p"), { method: "notifications/message", params: "{}" }]);
});

it("gives what comes with no request to the request begun last where no client listens", async () => {
  const { signal } = new AbortController();
  const asked = { method: "roots/list", params: undefined };
  const { link, server } = await open(
    { "tools/call": (_, __, { outside }) => outside().onRequest(asked, signal) },
    "http",
  );
  expect(await call(link, "{}", { onRequest: async () => ok({ roots: [] }) })).toEqual(ok({ roots: [] }));
  const undeclared = { method: "sampling/createMessage", params: "{}" };
  expect(await server.outside().onRequest(undeclared, signal)).toHaveProperty("error");
});

describe("what a server asks before anybody can answer", () => {
  const asked = { method: "roots/list", params: undefined };
  const never = new AbortController().signal;

  it("is answered by the next request that may ask its client, before the server gets that", async () => {
    const order: string[] = [];
    const { link, server } = await open({
      "tools/call": () => (order.push("called"), ok()),
      "tools/list": (_, events) => {
        // Over stdio this comes with whatever request happens to be open, which may be one of the gateway's own.
        early = events.onRequest(asked, never);
        return ok({ tools: [] });
      },
    });
    let early: Promise<unknown> | undefined;
    const onRequest = vi.fn(async () => (order.push("asked"), ok({ roots: [] })));
    await call(link, "{}", { method: "tools/list", onRequest });
    expect(onRequest).not.toHaveBeenCalled();
    const second = server.outside().onRequest(asked, never);
    await call(link, "{}", { onRequest });
    expect(order).toEqual(["asked", "asked", "called"]);
    expect(await early).toEqual(ok({ roots: [] }));
    expect(await second).toEqual(ok({ roots: [] }));
  });

  it("is refused when the link is closed, when the server takes it back, and when too much is asked", async () => {
    const { link, server } = await open({});
    const abort = new AbortController();
    const withdrawn = server.outside().onRequest(asked, abort.signal);
    abort.abort();
    expect(await withdrawn).toHaveProperty("error");
    const held = Array.from({ length: 17 }, () => server.outside().onRequest(asked, never));
    expect(await held[16]).toHaveProperty("error");
    await link.close();
    for (const reply of await Promise.all(held)) expect(reply).toHaveProperty("error");
  });
});
