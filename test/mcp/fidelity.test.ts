import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type TestGateway, startGateway } from "../support/gateway.ts";
import { declareServer, loopback } from "./fixtures/declare.ts";
import { PIECES, type RawServer, rawResult, startRaw } from "./fixtures/raw.ts";

type Era = "2025" | "2026";
const ERAS = ["2025", "2026"] as const;

const servers = new Map<Era, RawServer>();
let gateway: TestGateway;
const ends = new AsyncDisposableStack();

beforeAll(async () => {
  for (const era of ERAS)
    servers.set(
      era,
      ends.adopt(await startRaw(era), (server) => server.close()),
    );
  const mcpServers = [...servers].map(([era, { url }]) => declareServer(`raw-${era}`, loopback(url)));
  gateway = await startGateway({}, {}, (config) => ({ ...config, mcpServers }));
  ends.defer(() => gateway.close());
});

afterAll(() => ends.disposeAsync());

interface Answer {
  readonly status: number;
  /** The JSON-RPC message; the last one of an event stream. */
  readonly text: string;
  readonly session: string | null;
}

async function post(path: string, body: string, headers: Record<string, string> = {}): Promise<Answer> {
  const reply = await fetch(gateway.url + path, {
    method: "POST",
    headers: {
      authorization: `Bearer ${gateway.owner.apiKey}`,
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      ...headers,
    },
    body,
  });
  const whole = await reply.text();
  const events = whole.split("\n").filter((line) => line.startsWith("data:") && line.length > "data: ".length);
  const text = events.length > 0 ? (events.at(-1) ?? "").slice("data:".length).trim() : whole;
  return { status: reply.status, text, session: reply.headers.get("mcp-session-id") };
}

const ENVELOPE = `"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"raw","version":"1","later":1.0},"io.modelcontextprotocol/clientCapabilities":{}`;

/** Parameters as text, with an open `_meta` that each era completes. */
interface Call {
  readonly method: string;
  readonly params?: string;
  readonly meta?: string;
  /** What `Mcp-Name` says. */
  readonly name?: string;
  /** As text. */
  readonly id?: string;
}

/** A client of one era: writes text, and keeps a session where there is one. */
async function connect(era: Era, server: string, revision = "2025-11-25") {
  const path = `/mcp/${server}`;
  if (era === "2026")
    return {
      hello: () => modern({ method: "server/discover" }),
      send: modern,
      raw: (body: string, headers: Record<string, string> = {}) =>
        post(path, body, { "mcp-protocol-version": "2026-07-28", ...headers }),
    };
  const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"${revision}","capabilities":{},"clientInfo":{"name":"raw","version":"1"}}}`;
  const hello = await post(path, initialize);
  expect(hello.status).toBe(200);
  const own = {
    "mcp-protocol-version": revision,
    ...(hello.session === null ? {} : { "mcp-session-id": hello.session }),
  };
  await post(path, `{"jsonrpc":"2.0","method":"notifications/initialized"}`, own);
  return {
    hello: () => Promise.resolve(hello),
    send: ({ method, params = "", meta = "", id = "7" }: Call) => {
      const inner = [params, meta === "" ? "" : `"_meta":{${meta}}`].filter((part) => part !== "").join(",");
      return post(path, `{"jsonrpc":"2.0","id":${id},"method":"${method}","params":{${inner}}}`, own);
    },
    raw: (body: string, headers: Record<string, string> = {}) => post(path, body, { ...own, ...headers }),
  };

  function modern({ method, params = "", meta = "", name, id = "7" }: Call) {
    const all = [params, `"_meta":{${[ENVELOPE, meta].filter((part) => part !== "").join(",")}}`];
    const inner = all.filter((part) => part !== "").join(",");
    return post(path, `{"jsonrpc":"2.0","id":${id},"method":"${method}","params":{${inner}}}`, {
      "mcp-protocol-version": "2026-07-28",
      "mcp-method": method,
      ...(name === undefined ? {} : { "mcp-name": name }),
    });
  }
}

const CALLS: readonly Call[] = [
  { method: "tools/list" },
  { method: "tools/call", name: "strange", params: `"name":"strange"` },
  { method: "resources/list" },
  { method: "resources/templates/list" },
  { method: "resources/read", name: "raw://one", params: `"uri":"raw://one"` },
  { method: "prompts/list" },
  { method: "prompts/get", name: "strange", params: `"name":"strange"` },
  {
    method: "completion/complete",
    params: `"ref":{"type":"ref/prompt","name":"strange"},"argument":{"name":"a","value":""}`,
  },
];

describe.each(ERAS)("a client of %s", (clientEra) => {
  describe.each(ERAS)("with a server of %s", (serverEra) => {
    it.each(CALLS)("gets the answer to $method as it was written: escapes, numbers, unknown members", async (call) => {
      const client = await connect(clientEra, `raw-${serverEra}`);
      const { status, text } = await client.send(call);
      expect(status).toBe(200);
      for (const piece of PIECES[call.method] ?? []) expect(text).toContain(piece);
      if (clientEra === serverEra) expect(text).toContain(`"result":${rawResult(call.method, serverEra)}`);
      // The other era has a member of its own, and must have it.
      else if (clientEra === "2026") expect(JSON.parse(text)).toMatchObject({ result: { resultType: "complete" } });
    });

    it("learns what the server says of itself as it was written", async () => {
      const client = await connect(clientEra, `raw-${serverEra}`);
      const { text } = await client.hello();
      const [, info = "", instructions = ""] = PIECES["hello"] ?? [];
      expect(text).toContain(info);
      // A text of its own in the gateway, which may write its characters in another way.
      expect(JSON.parse(text)).toMatchObject({ result: { instructions: JSON.parse(instructions) } });
      expect(text).toContain(`"experimental":{"example.com/x":{"n":12345678901234567890}}`);
    });

    it("sends arguments, unknown parameters and _meta as they were written", async () => {
      const client = await connect(clientEra, `raw-${serverEra}`);
      const server = servers.get(serverEra);
      const pieces = [
        String.raw`"arguments": {"long":12345678901234567890,"text":"caf\u00e9\/\ud83d\ude00","one":1.0,"exp":1E+2,"deep":{"__proto__":[-0]}}`,
        `"laterParam":[1.0]`,
        String.raw`"example.com/x":{"n":1.50,"t":"\u00e9"}`,
      ] as const;
      const params = `"name":"strange",${pieces[0]},${pieces[1]}`;
      await client.send({ method: "tools/call", name: "strange", params, meta: pieces[2] });
      const last = server?.received.findLast(({ method }) => method === "tools/call");
      for (const piece of pieces) expect(last?.body).toContain(piece);
    });

    it.each(["0", "-7", '"0"', '""', '"a b/ü"', "9007199254740991"])("gets its own request id %s back", async (id) => {
      const client = await connect(clientEra, `raw-${serverEra}`);
      const { text } = await client.send({ method: "tools/call", name: "strange", params: `"name":"strange"`, id });
      const message: { id: unknown } = JSON.parse(text);
      expect(message.id).toBe(JSON.parse(id));
    });
  });
});

describe("what is refused before any server hears of it", () => {
  beforeEach(() => {
    for (const { received } of servers.values()) received.length = 0;
  });

  const heard = () => [...servers.values()].flatMap(({ received }) => received.map(({ method }) => method));
  const CALL = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"strange","_meta":{${ENVELOPE}}}}`;
  const LIST = `{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{"_meta":{${ENVELOPE}}}}`;

  it.each([
    ["Mcp-Method of another method", CALL, { "mcp-method": "tools/list", "mcp-name": "strange" }],
    ["Mcp-Method in other case", LIST, { "mcp-method": "TOOLS/LIST" }],
    ["no Mcp-Method", LIST, {}],
    ["Mcp-Name of another tool", CALL, { "mcp-method": "tools/call", "mcp-name": "other" }],
    ["no Mcp-Name", CALL, { "mcp-method": "tools/call" }],
    [
      "MCP-Protocol-Version of another revision",
      LIST,
      { "mcp-method": "tools/list", "mcp-protocol-version": "2025-11-25" },
    ],
  ])("2026-07-28: %s is -32020", async (_what, body, headers) => {
    const client = await connect("2026", "raw-2026");
    const { status, text } = await client.raw(body, headers);
    expect(status).toBe(400);
    expect(JSON.parse(text)).toMatchObject({ id: 7, error: { code: -32020 } });
    expect(heard()).not.toContain("tools/call");
  });

  it.each(ERAS)("%s: a key that is there twice, at any depth", async (era) => {
    const client = await connect(era, `raw-${era}`);
    for (const [once, twice] of [
      [`"id":7`, `"id":7,"id":8`],
      [`"name":"strange"`, `"name":"strange","name":"other"`],
      [`"name":"strange"`, String.raw`"name":"strange","n\u0061me":"other"`],
      [`"name":"strange"`, `"name":"strange","arguments":{"a":{"b":1,"b":2}}`],
    ] as const) {
      const headers = era === "2026" ? { "mcp-method": "tools/call", "mcp-name": "strange" } : {};
      const { status, text } = await client.raw(CALL.replace(once, twice), headers);
      expect(status).toBe(400);
      expect(JSON.parse(text)).toMatchObject({ error: { code: -32700 } });
    }
    expect(heard()).not.toContain("tools/call");
  });

  it("a batch, but for clients of 2025-03-26, who get a batch back", async () => {
    const batch = `[{"jsonrpc":"2.0","id":0,"method":"ping"},{"jsonrpc":"2.0","id":"b","method":"tools/list"}]`;
    for (const revision of ["2025-11-25", "2025-06-18"]) {
      const client = await connect("2025", "raw-2025", revision);
      const { status, text } = await client.raw(batch);
      expect(status).toBe(400);
      expect(JSON.parse(text)).toMatchObject({ error: { code: -32600 } });
    }
    const modern = await connect("2026", "raw-2026");
    expect((await modern.raw(batch, { "mcp-method": "ping" })).status).toBe(400);
    expect(heard()).not.toContain("tools/list");

    const old = await connect("2025", "raw-2025", "2025-03-26");
    const { status, text } = await old.raw(batch);
    expect(status).toBe(200);
    const answers: { id: unknown }[] = JSON.parse(text);
    expect(new Set(answers.map(({ id }) => id))).toEqual(new Set([0, "b"]));
  });
});
