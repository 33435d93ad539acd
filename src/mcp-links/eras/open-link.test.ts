import { expect, it, vi } from "vitest";
import {
  createScriptedChannel,
  linkRequest,
  ok,
  type Script,
  type ScriptedChannel,
} from "../../../test/support/scripted-channel.ts";
import { GatewayError } from "../../core/errors.ts";
import { errorReply } from "../../jsonrpc/message.ts";
import type { Channel } from "../types.ts";
import { openLink, type OpenLinkOptions } from "./open-link.ts";

const base: OpenLinkOptions = {
  server: "demo",
  client: linkRequest.client,
  gateway: { name: "bifrost", version: "0" },
  headers: {},
  era: "2026",
  signal: undefined,
};

const initialize = () => ok({ protocolVersion: "2025-11-25", capabilities: {}, serverInfo: {} });
const discovered = (versions: string[] = ["2026-07-28"]) =>
  ok({
    resultType: "complete",
    supportedVersions: versions,
    capabilities: { tools: {} },
    instructions: "i",
    _meta: { "io.modelcontextprotocol/serverInfo": { name: "s", version: "2" } },
  });
const refuse = (code: number) => () => errorReply(code, "no", { supported: ["2099-01-01"] });
const fail = (code: ConstructorParameters<typeof GatewayError>[0]) => () => {
  throw new GatewayError(code);
};
const silent = () => new Promise<never>(() => undefined);

/** A server for each time that the channel is opened; the last one for all further times. */
async function open(scripts: Script[], more: Partial<OpenLinkOptions> = {}, kind: Channel["kind"] = "stdio") {
  const opened: ScriptedChannel[] = [];
  const link = openLink(
    async () => {
      const server = createScriptedChannel(kind, scripts[Math.min(opened.length, scripts.length - 1)] ?? {});
      opened.push(server);
      return server.channel;
    },
    { ...base, ...more },
  );
  const methods = () => opened.map(({ got }) => got.map(({ method }) => method));
  return { link, opened, methods };
}

it("takes what a 2026 server says of itself, asked with the envelope and the headers that the revision demands", async () => {
  const { link, opened } = await open(
    [{ "server/discover": () => discovered() }],
    { headers: { "x-agent": "a" } },
    "http",
  );
  const { era, hello } = await link;
  expect(era).toBe("2026");
  expect(hello).toEqual({
    revision: "2026-07-28",
    capabilities: '{"tools":{}}',
    info: '{"name":"s","version":"2"}',
    instructions: "i",
  });
  const [asked] = opened[0]?.got ?? [];
  expect(asked?.headers).toEqual({
    "x-agent": "a",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "server/discover",
  });
  expect(JSON.parse(asked?.params ?? "")).toEqual({
    _meta: {
      "io.modelcontextprotocol/protocolVersion": "2026-07-28",
      "io.modelcontextprotocol/clientInfo": { name: "client", version: "1" },
      "io.modelcontextprotocol/clientCapabilities": { roots: {} },
    },
  });
});

it.each([
  ["method not found", refuse(-32601)],
  ["invalid params", refuse(-32602)],
  ["a revision that nobody here speaks", refuse(-32022)],
  ["a code of its own", refuse(-32000)],
  ["a result that is none", () => ok({ tools: [] })],
  ["a result with other revisions", () => discovered(["2027-01-01"])],
  ["a status without JSON-RPC in it", fail("upstream.refused")],
  ["what is not a message", fail("upstream.protocol")],
  ["a status above 500", fail("upstream.unavailable")],
])("initializes a server that answers server/discover with %s, on the same channel", async (_, answer) => {
  const { link, methods } = await open([{ "server/discover": answer, initialize }]);
  expect((await link).era).toBe("2025");
  expect(methods()).toEqual([["server/discover", "initialize", "notifications/initialized"]]);
});

it("initializes a server that says nothing before initialize, after a while", async () => {
  const { link } = await open([{ "server/discover": silent, initialize }], { probeMs: 1 });
  expect((await link).era).toBe("2025");
});

it("finds a 2026 server that took longer to start than it is waited for", async () => {
  let answer: () => void = () => undefined;
  const started = new Promise<void>((resolve) => (answer = resolve));
  const { link } = await open(
    [
      {
        "server/discover": () => started.then(() => discovered()),
        initialize: () => {
          answer();
          return errorReply(-32601, "unknown");
        },
      },
    ],
    { probeMs: 1 },
  );
  expect((await link).era).toBe("2026");
});

it("opens the channel again for a server that exits when something comes before initialize", async () => {
  const exits: Script = {
    "server/discover": (_, __, server) => {
      server.end("exit code 1");
      return silent();
    },
  };
  const { link, methods } = await open([exits, { initialize }]);
  expect((await link).era).toBe("2025");
  expect(methods()).toEqual([["server/discover"], ["initialize", "notifications/initialized"]]);
});

it("speaks as its client does with a server that speaks both eras, and asks nothing in vain", async () => {
  const both: Script = { "server/discover": () => discovered(), initialize };
  const old = await open([both], { era: "2025" });
  expect([(await old.link).era, old.methods()]).toEqual(["2025", [["initialize", "notifications/initialized"]]]);
  const modern = await open([both], { era: "2026" });
  expect([(await modern.link).era, modern.methods()]).toEqual(["2026", [["server/discover"]]]);
});

it.each([
  ["an error", refuse(-32022)],
  ["a status without JSON-RPC in it", fail("upstream.refused")],
])("discovers a server that answers initialize with %s", async (_, answer) => {
  const { link, methods } = await open([{ initialize: answer, "server/discover": () => discovered() }], {
    era: "2025",
  });
  expect((await link).era).toBe("2026");
  expect(methods()).toEqual([["initialize", "server/discover"]]);
});

it.each(["2025", "2026"] as const)(
  "reports a server that speaks neither era, asked for %s, and closes",
  async (era) => {
    const { link, opened } = await open([{}], { era });
    await expect(link).rejects.toMatchObject({ code: "upstream.protocol" });
    expect(await opened[0]?.channel.closed).toMatchObject({ expected: true });
  },
);

it.each(["2025", "2026"] as const)("asks no second question of a server that is out of reach, for %s", async (era) => {
  const unreachable = fail("upstream.unreachable");
  const { link, methods } = await open([{ initialize: unreachable, "server/discover": unreachable }], { era });
  await expect(link).rejects.toMatchObject({ code: "upstream.unreachable" });
  expect(methods()[0]).toHaveLength(1);
});

it.each(["2025", "2026"] as const)("closes the channel when the signal aborts while %s is tried", async (era) => {
  const abort = new AbortController();
  const { link, opened } = await open([{ initialize: silent, "server/discover": silent }], {
    era,
    signal: abort.signal,
  });
  await vi.waitFor(() => expect(opened[0]?.got).toHaveLength(1));
  const reason = new GatewayError("upstream.timeout");
  abort.abort(reason);
  await expect(link).rejects.toBe(reason);
  expect(await opened[0]?.channel.closed).toMatchObject({ expected: true });
});

it("closes a channel that was opened too late", async () => {
  const abort = new AbortController();
  const server = createScriptedChannel("stdio", {});
  const opened = Promise.withResolvers<Channel>();
  const link = openLink(() => opened.promise, { ...base, signal: abort.signal });
  abort.abort(new GatewayError("upstream.timeout"));
  await expect(link).rejects.toMatchObject({ code: "upstream.timeout" });
  opened.resolve(server.channel);
  expect(await server.channel.closed).toMatchObject({ expected: true });
  expect(server.got).toEqual([]);
});
