import {
  CallToolResultSchema,
  CompleteResultSchema,
  EmptyResultSchema,
  GetPromptResultSchema,
  ListPromptsResultSchema,
  ListResourcesResultSchema,
  ListResourceTemplatesResultSchema,
  ListToolsResultSchema,
  ReadResourceResultSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { openLink } from "../../src/mcp-links/eras/open-link.ts";
import { openHttpChannel } from "../../src/mcp-links/http/open-channel.ts";
import { createHttpUpstreams } from "../../src/mcp-links/http/upstreams.ts";
import { openStdioChannel } from "../../src/mcp-links/stdio/open-stdio-channel.ts";
import { createReaper } from "../../src/mcp-links/stdio/reaper.ts";
import type { Channel, Era, Link, LinkRequest, ServerNotification, ServerRequest } from "../../src/mcp-links/types.ts";
import { fixtureProcess, loopback } from "./fixtures/declare.ts";
import { WATCHED } from "./fixtures/content.ts";
import type { Eras, Fixture } from "./fixtures/fixture.ts";
import { startV1 } from "./fixtures/v1.ts";
import { startV2 } from "./fixtures/v2.ts";

const reaper = createReaper((problem) => expect.unreachable(problem));
const upstreams = createHttpUpstreams({});
const fixtures: Fixture[] = [];
const changes = ["notifications/resources/updated", "notifications/tools/list_changed"];
const cleanups: (() => Promise<unknown>)[] = [];
async function cleanUp() {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
}
afterAll(async () => {
  await cleanUp();
  reaper.close();
  await upstreams.close();
});

interface Server {
  readonly sdk: "v1" | "v2";
  readonly eras: Eras;
  readonly over: "stdio" | "http";
}

const client = {
  info: '{"name":"links-test","version":"1"}',
  capabilities: '{"elicitation":{},"sampling":{},"roots":{"listChanged":true}}',
};

async function channelTo({ sdk, eras, over }: Server): Promise<() => Promise<Channel>> {
  if (over === "stdio") {
    const transport = fixtureProcess(sdk, eras);
    if (transport.kind !== "stdio") throw new Error("not a process");
    const ownEnv = { PATH: process.env["PATH"] };
    return () =>
      openStdioChannel(transport, { ownEnv, reaper, onStderrLine: () => undefined, onNoise: () => undefined });
  }
  const fixture: Fixture = await (sdk === "v1" ? startV1() : startV2(eras));
  cleanups.push(() => fixture.close());
  fixtures.push(fixture);
  const transport = loopback(fixture.url);
  if (transport.kind !== "http") throw new Error("not over HTTP");
  return async () => openHttpChannel(transport, { upstreams });
}

async function open(server: Server, era: Era): Promise<Link> {
  const gateway = { name: "bifrost", version: "0" };
  const options = { server: "demo", client, gateway, headers: {}, era, signal: AbortSignal.timeout(15_000) };
  const link = await openLink(await channelTo(server), options);
  cleanups.push(() => link.close());
  return link;
}

/** Answers as a person at a client would, and says what it was asked. */
function answering(asked: string[]) {
  const results: Record<string, object> = {
    "elicitation/create": { action: "accept", content: { name: "Ada" } },
    "sampling/createMessage": { role: "assistant", model: "m", content: { type: "text", text: "Paris" } },
    "roots/list": { roots: [{ uri: "file:///root" }] },
  };
  return async ({ method }: ServerRequest) => {
    asked.push(method);
    return { result: JSON.stringify(results[method]) };
  };
}

function call(link: Link, name: string, more: Partial<LinkRequest> = {}, meta = "", args = "{}") {
  const request: LinkRequest = {
    method: "tools/call",
    params: `{"name":"${name}","arguments":${args}${meta}}`,
    client,
    signal: undefined,
    headers: {},
    onNotification: () => undefined,
    onRequest: answering([]),
    passInputRequired: false,
    ...more,
  };
  return link.request(request).then((reply) => ("result" in reply ? JSON.parse(reply.result) : reply));
}

const said = (text: string) => ({ content: [{ type: "text", text }] });

const servers: [string, Server, { [era in Era]: Era }][] = [
  ...(["stdio", "http"] as const).flatMap((over): [string, Server, { [era in Era]: Era }][] => [
    [`SDK v1 over ${over}`, { sdk: "v1", eras: "both", over }, { 2025: "2025", 2026: "2025" }],
    [`SDK v2 with 2025 over ${over}`, { sdk: "v2", eras: "2025", over }, { 2025: "2025", 2026: "2025" }],
    [`SDK v2 with both over ${over}`, { sdk: "v2", eras: "both", over }, { 2025: "2025", 2026: "2026" }],
    [`SDK v2 with 2026 over ${over}`, { sdk: "v2", eras: "2026", over }, { 2025: "2026", 2026: "2026" }],
  ]),
];
const cases = servers.flatMap(([name, server, spoken]) =>
  (["2025", "2026"] as const).map((era) => [name, era, server, spoken[era]] as const),
);

describe.each(cases)("a link to a server on %s, for a client of %s", (_name, era, server, spoken) => {
  let link: Link;
  beforeAll(async () => {
    link = await open(server, era);
  }, 20_000);
  afterAll(cleanUp);

  it("is opened in the right era, and does all that the server can", { timeout: 30_000 }, async () => {
    expect(link.era).toBe(spoken);
    expect(link.hello.instructions).toContain("日本語");
    expect(link.hello.info).toContain("name");

    const asked: string[] = [];
    const onRequest = answering(asked);
    expect(await call(link, "test_input_required_result_multiple_inputs", { onRequest })).toMatchObject(
      said("All answered."),
    );
    expect(asked.toSorted()).toEqual(["elicitation/create", "roots/list", "sampling/createMessage"]);
    expect(await call(link, "test_input_required_result_elicitation")).toMatchObject(said("Hello, Ada!"));

    const heard: ServerNotification[] = [];
    const onNotification = (notification: ServerNotification) => heard.push(notification);
    await call(link, "test_tool_with_progress", { onNotification }, ',"_meta":{"progressToken":"mine"}');
    expect(heard.map(({ method, params }) => [method, JSON.parse(params ?? "")])).toEqual(
      [0, 50, 100].map((progress) => ["notifications/progress", { progressToken: "mine", progress, total: 100 }]),
    );

    heard.length = 0;
    expect(await link.setLogLevel("info")).toHaveProperty("result");
    await call(link, "test_tool_with_logging", { onNotification });
    expect(heard.map(({ method }) => method)).toEqual(Array(3).fill("notifications/message"));

    expect(await call(link, "no such tool")).toHaveProperty("error");
  });

  it("cancels a call at the server", { timeout: 30_000 }, async () => {
    const abort = new AbortController();
    const waiting = call(link, "test_wait", { signal: abort.signal });
    const waits = async () => JSON.parse((await call(link, "test_waits")).content[0].text);
    await vi.waitFor(async () => expect(await waits()).toEqual({ began: 1, cancelled: 0 }), 5_000);
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ code: "upstream.reset" });
    await vi.waitFor(async () => expect(await waits()).toEqual({ began: 1, cancelled: 1 }), 5_000);
  });

  it("hears of changes", { timeout: 30_000 }, async () => {
    const heard: string[] = [];
    const filter = { tools: true, prompts: false, resources: false, resourceUris: [WATCHED] };
    const watch = link.watch(filter, ({ method, params }) => heard.push(method + (params ?? "")));
    expect(await watch.granted).toEqual(filter);
    await call(link, "test_trigger_prompt_change");
    await call(link, "test_trigger_tool_change");
    await vi.waitFor(() => expect(heard).toEqual([expect.stringContaining("tools/list_changed")]), 5_000);
    // The fixture tells of resources over stdio only who sent `resources/subscribe`, which 2026 does not have.
    if (server.over === "http" || spoken === "2025") {
      await call(link, "test_update_resource");
      await vi.waitFor(() => expect(heard.splice(1)).toEqual([`notifications/resources/updated{"uri":"${WATCHED}"}`]));
    }
    await watch.change({ ...filter, tools: false, resourceUris: [], prompts: true });
    await call(link, "test_update_resource");
    await call(link, "test_trigger_prompt_change");
    await vi.waitFor(() => expect(heard.slice(1)).toEqual([expect.stringContaining("prompts/list_changed")]), 5_000);
    watch.close();
  });
});

it("gives a 2026 server over HTTP the headers that its tool wants, though the client never listed the tools", async () => {
  const link = await open({ sdk: "v2", eras: "2026", over: "http" }, "2025");
  const result = await call(link, "test_x_mcp_header", {}, "", '{"region":"Köln"}');
  expect(result).not.toHaveProperty("error");
  expect(result).not.toHaveProperty("isError");
});

it("may leave what 2026 adds to results in them: official clients of 2025 take it, but for empty results", () => {
  const added = {
    resultType: "complete",
    ttlMs: 1,
    cacheScope: "public",
    _meta: { "io.modelcontextprotocol/serverInfo": {} },
  };
  const accepts = (schema: { safeParse(value: unknown): { success: boolean } }, result: object) =>
    schema.safeParse({ ...result, ...added }).success;
  expect(accepts(CallToolResultSchema, { content: [] })).toBe(true);
  expect(accepts(ListToolsResultSchema, { tools: [] })).toBe(true);
  expect(accepts(ListPromptsResultSchema, { prompts: [] })).toBe(true);
  expect(accepts(GetPromptResultSchema, { messages: [] })).toBe(true);
  expect(accepts(ListResourcesResultSchema, { resources: [] })).toBe(true);
  expect(accepts(ListResourceTemplatesResultSchema, { resourceTemplates: [] })).toBe(true);
  expect(accepts(ReadResourceResultSchema, { contents: [] })).toBe(true);
  expect(accepts(CompleteResultSchema, { completion: { values: [] } })).toBe(true);
  expect(accepts(EmptyResultSchema, {})).toBe(false);
});

it("hands a 2026 client the questions of a 2026 server", async () => {
  const link = await open({ sdk: "v2", eras: "both", over: "http" }, "2026");
  const result = await call(link, "test_input_required_result_elicitation", { passInputRequired: true });
  expect(result).toMatchObject({ resultType: "input_required", inputRequests: { user_name: {} } });
});

it.each(["v1", "v2"] as const)("goes on with a server on SDK %s that has forgotten the session", async (sdk) => {
  const openChannel = await channelTo({ sdk, eras: "2025", over: "http" });
  const channel = await openChannel();
  const gateway = { name: "bifrost", version: "0" };
  const options = { server: "demo", client, gateway, headers: {}, era: "2025", signal: undefined } as const;
  const link = await openLink(async () => channel, options);
  cleanups.push(() => link.close());
  const heard: string[] = [];
  const filter = { tools: true, prompts: false, resources: false, resourceUris: [WATCHED] };
  await link.watch(filter, ({ method }) => heard.push(method)).granted;

  const session = channel.sessionId;
  expect(session).not.toBeNull();
  const { url } = fixtures.at(-1) ?? expect.unreachable();
  await fetch(url, { method: "DELETE", headers: { "mcp-session-id": session ?? "" } });
  const results = await Promise.all(Array.from({ length: 5 }, () => call(link, "test_simple_text")));
  expect(results.filter(({ content }) => content.length === 1)).toHaveLength(5);
  expect(channel.sessionId).not.toBe(session);
  await vi.waitFor(() => expect(heard.toSorted()).toEqual(changes), 5_000);

  // The stream of the new session, too.
  heard.length = 0;
  await vi.waitFor(async () => {
    await call(link, "test_trigger_tool_change");
    expect(heard).toContain("notifications/tools/list_changed");
  }, 5_000);
});
