import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type TestGateway, startGateway } from "../support/gateway.ts";
import { CLIENTS, type ClientKind, connectOfficial, type OfficialClient } from "../support/official-clients.ts";
import { declareServer, fixtureProcess, loopback } from "./fixtures/declare.ts";
import { startV1 } from "./fixtures/v1.ts";
import { startV2 } from "./fixtures/v2.ts";

const WATCHED = "test://watched-resource";

/** Servers of each era and transport, by their names in the gateway. */
const UPSTREAMS = ["both-http", "only-2026-http", "only-2025-http", "v1-http", "v2-stdio", "v1-stdio"] as const;

/** How clients reach them. In unified mode the servers are behind one URL, and what they offer has their names. */
const WAYS = [
  ...UPSTREAMS.map((server) => ({ way: "routed", server, path: `/mcp/${server}`, name: "", uri: "" })),
  ...(["only-2026-http", "v1-http", "v1-stdio"] as const).map((server) => ({
    way: "unified",
    server,
    path: "/mcp",
    name: `${server}___`,
    uri: `bifrost://${server}/`,
  })),
];

let gateway: TestGateway;
const ends = new AsyncDisposableStack();

beforeAll(async () => {
  const [both, modern, legacy, v1] = await Promise.all([startV2("both"), startV2("2026"), startV2("2025"), startV1()]);
  for (const fixture of [both, modern, legacy, v1]) ends.defer(() => fixture.close());
  const mcpServers = [
    declareServer("both-http", loopback(both.url)),
    declareServer("only-2026-http", loopback(modern.url)),
    declareServer("only-2025-http", loopback(legacy.url)),
    declareServer("v1-http", loopback(v1.url)),
    declareServer("v2-stdio", fixtureProcess("v2")),
    declareServer("v1-stdio", fixtureProcess("v1")),
  ];
  gateway = await startGateway({}, {}, (config) => ({ ...config, mcpServers }));
  ends.defer(() => gateway.close());
});

afterAll(() => ends.disposeAsync());

const connect = (kind: ClientKind, path: string) =>
  connectOfficial(kind, {
    url: gateway.url + path,
    headers: { authorization: `Bearer ${gateway.owner.apiKey}` },
    roots: ["file:///work/one"],
  });

const text = ({ content }: { content?: unknown }) => JSON.stringify(content);

describe.each(WAYS)("the server $server, $way", ({ way, path, name: prefix, uri }) => {
  const watched = uri + WATCHED;
  describe.each(CLIENTS)("used by the official client %s", (kind) => {
    it("is listed and called, with its instructions and structured results", async () => {
      await using client = await connect(kind, path);
      if (way === "routed") expect(client.instructions()).toContain("日本語");
      const tools = await client.listTools();
      expect(tools.map(({ name }) => name)).toContain(`${prefix}test_simple_text`);
      expect(tools.find(({ name }) => name === `${prefix}test_structured_output`)).toMatchObject({
        title: "Structured «output»",
        outputSchema: { required: ["city", "celsius"] },
      });
      const { structuredContent } = await client.call(`${prefix}test_structured_output`);
      expect(structuredContent).toEqual({ city: "Zürich", celsius: 21.5 });
      expect((await client.call(`${prefix}test_error_handling`)).isError).toBe(true);
      expect(await client.resourceUris()).toContain(`${uri}test://static-text`);
      expect(await client.read(`${uri}test://template/7/data`)).toMatchObject([
        { uri: `${uri}test://template/7/data` },
      ]);
      expect(await client.promptNames()).toContain(`${prefix}test_prompt_with_arguments`);
      expect(await client.prompt(`${prefix}test_prompt_with_arguments`, { arg1: "a", arg2: "b" })).toHaveLength(1);
      expect(await client.complete(`${prefix}test_prompt_with_arguments`, "arg1", "par")).toEqual([
        "paris",
        "park",
        "party",
      ]);
    });

    it("asks its client's user, model and roots, one after the other and at once", async () => {
      await using client = await connect(kind, path);
      expect(text(await client.call(`${prefix}test_elicitation`, { message: "Who?" }))).toContain("action=accept");
      expect(text(await client.call(`${prefix}test_sampling`, { prompt: "How many?" }))).toContain("Forty-two.");
      expect(text(await client.call(`${prefix}test_input_required_result_list_roots`))).toContain("file:///work/one");
      expect(text(await client.call(`${prefix}test_input_required_result_multi_round`))).toContain(
        "Both steps are done",
      );
      expect(text(await client.call(`${prefix}test_input_required_result_multiple_inputs`))).toContain("All answered");
      expect(await client.prompt(`${prefix}test_input_required_result_prompt`)).toHaveLength(1);
      const once = ["elicitation/create", "sampling/createMessage", "roots/list"];
      expect([...new Set(client.asked)].toSorted()).toEqual(once.toSorted());
    });

    it("reports progress in order, before the result", async () => {
      await using client = await connect(kind, path);
      const seen: number[] = [];
      await client.call(`${prefix}test_tool_with_progress`, {}, { onProgress: (progress) => seen.push(progress) });
      expect(seen).toEqual([0, 50, 100]);
    });

    it("hears that a call was cancelled", async () => {
      await using client = await connect(kind, path);
      const before = await waits(client, prefix);
      const abort = new AbortController();
      const call = client.call(`${prefix}test_wait`, {}, { signal: abort.signal });
      const refused = expect(call).rejects.toThrow();
      while ((await waits(client, prefix)).began === before.began);
      abort.abort();
      await refused;
      let after = await waits(client, prefix);
      while (after.cancelled === before.cancelled) after = await waits(client, prefix);
      expect(after).toEqual({ began: before.began + 1, cancelled: before.cancelled + 1 });
    });

    it("tells of changes of its lists and of a resource that is watched", async () => {
      await using client = await connect(kind, path);
      await client.watch(watched);
      const dynamic = `${prefix}test_dynamic_tool`;
      const had = await client.toolNames();
      await client.call(`${prefix}test_trigger_tool_change`);
      await client.hears("notifications/tools/list_changed");
      const has = await client.toolNames();
      expect(has.includes(dynamic)).toBe(!had.includes(dynamic));
      await client.call(`${prefix}test_trigger_prompt_change`);
      await client.hears("notifications/prompts/list_changed");
      await client.call(`${prefix}test_update_resource`);
      await client.hears("notifications/resources/updated");
    });
  });
});

it.each(UPSTREAMS)(
  "%s sends a client of 2026 the log messages that its request asked for, and no others",
  async (server) => {
    const logged = async (logLevel?: string) => {
      const _meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { name: "raw", version: "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
        ...(logLevel === undefined ? {} : { "io.modelcontextprotocol/logLevel": logLevel }),
      };
      const name = "test_tool_with_logging";
      const reply = await fetch(`${gateway.url}/mcp/${server}`, {
        method: "POST",
        headers: {
          authorization: `Bearer ${gateway.owner.apiKey}`,
          "content-type": "application/json",
          accept: "application/json, text/event-stream",
          "mcp-protocol-version": "2026-07-28",
          "mcp-method": "tools/call",
          "mcp-name": name,
        },
        body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name, _meta } }),
      });
      const text = await reply.text();
      expect(text).toContain("Logged three times.");
      return [...text.matchAll(/"method":"notifications\/message"/g)].length;
    };
    expect(await logged("debug")).toBe(3);
    expect(await logged("error")).toBe(0);
    expect(await logged()).toBe(0);
  },
);

async function waits(client: OfficialClient, prefix: string): Promise<{ began: number; cancelled: number }> {
  const { content } = await client.call(`${prefix}test_waits`);
  const [said] = content as [{ text: string }]; // the fixture's own answer
  return JSON.parse(said.text);
}
