// What policy forbids is neither listed nor done, whichever way it is asked for, and what is limited is counted once.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connectRaw, ERAS, outcomeOf } from "../mcp/faults/gateway-stage.ts";
import { declareServer, fixtureProcess } from "../mcp/fixtures/declare.ts";
import { type FaultyUpstream, startFaulty } from "../support/faulty-upstream.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { addUser, type TestUser } from "../support/management.ts";
import { askRaw, request2025 } from "../support/raw-mcp.ts";
import { startUpstream, type Upstream } from "../support/upstream.ts";

const READER = "the agent that reads only one server";
const NOBODY = "the agent without any policy";
const LONG = 1_000;

let gateway: TestGateway;
let faulty: FaultyUpstream;
/** Nothing is forbidden to a user of the organization. */
let colleague: TestUser;
let api: Upstream;

beforeAll(async () => {
  [faulty, api] = await Promise.all([
    startFaulty("http", { tools: ["echo", "pid", "limited", "busy", "filtered", "endless", "twice", "broken"] }),
    startUpstream(),
  ]);
  const limits = { toolCallLimits: { limited: 2 }, breaker: { threshold: 2, cooldownMs: 60_000 } };
  const responseFilters = {
    filtered: '{content: [{type: "text", text: "only this"}]}',
    endless: "def f: f; f",
    twice: "., .",
    broken: '.content | error("a secret of the result")',
  };
  gateway = await startGateway({}, {}, (config) => ({
    ...config,
    gateway: {
      ...config.gateway,
      payloads: { ...config.gateway.payloads, dir: join(config.dataDir, "payloads"), thresholdBytes: LONG },
      agents: [
        { secret: READER, servers: [{ server: "open", tools: ["echo"] }] },
        { secret: NOBODY, servers: [] },
      ],
    },
    mcpServers: [
      declareServer("open", faulty.transport, { ...limits, responseFilters }),
      declareServer("listed", faulty.transport, { tools: ["echo"] }),
      declareServer("tired", faulty.transport, { breaker: { threshold: 2, cooldownMs: 60_000 } }),
      declareServer("asking", fixtureProcess("v2")),
      declareServer("asking-2025", fixtureProcess("v2", "2025")),
    ],
  }));
  const as = gateway.owner.token;
  colleague = await addUser(gateway.call, as, "owner");
  const rootKey = { id: "echo-key", api_key: "sk-real-0123456789" };
  const service = { id: "echo", endpoint: api.origin, allow_addresses: ["loopback"], root_key_id: rootKey.id };
  await gateway.call("POST", "/v1/rootkeys", { as, body: rootKey });
  expect((await gateway.call("POST", "/v1/services", { as, body: service })).status).toBe(201);
});
afterAll(async () => {
  await gateway.close();
  await Promise.all([faulty.close(), api.close()]);
});

async function issue(more: Record<string, unknown>): Promise<string> {
  const body = { grants: [{ service: "echo" }, { mcp_server: "*" }], scope: "write", rate_limit: 1_000, ...more };
  const issued = await gateway.call("POST", "/v1/keys", { as: gateway.owner.token, body });
  expect(issued.status, JSON.stringify(issued.body)).toBe(201);
  return issued.body.virtual_key;
}

const connect = (authorization: string, era: (typeof ERAS)[number], path: string, agentId?: string) =>
  connectRaw(gateway.url, authorization, era, { path, ...(agentId !== undefined && { agentId }) });
const owner = () => `Bearer ${colleague.apiKey}`;

async function toolsOf(client: Awaited<ReturnType<typeof connect>>): Promise<string[]> {
  const { body } = await client.ask("tools/list");
  return body.result.tools.map(({ name }: { name: string }) => name).toSorted();
}

describe.each(ERAS)("for a client of %s,", (era) => {
  it("an agent sees and calls what its policy names, on every path, and one without policy nothing", async () => {
    const reader = await connect(READER, era, "/mcp");
    const nobody = await connect(NOBODY, era, "/mcp");
    const servers = (names: string[]) => names.filter((name) => name.includes("___"));
    expect(servers(await toolsOf(reader))).toEqual(["open___echo"]);
    expect(servers(await toolsOf(nobody))).toEqual([]);
    expect(outcomeOf(await reader.call("open___echo"))).toBe("echo");
    for (const [client, tool] of [
      [reader, "open___pid"],
      [reader, "listed___echo"],
      [nobody, "open___echo"],
    ] as const) {
      const refused = await client.call(tool);
      const unknown = await client.call("never___was");
      expect(refused.body.error?.code, tool).toBe(unknown.body.error?.code);
      expect(refused.body.result, tool).toBeUndefined();
    }
    const path = "/mcp/listed";
    const body = request2025(1, "tools/list");
    expect((await askRaw(gateway.url, "POST", path, { headers: { authorization: READER }, body })).status).toBe(404);
  });

  it("a server's own list of tools holds for everybody, its owner too", async () => {
    const client = await connect(owner(), era, "/mcp/listed");
    expect(await toolsOf(client)).toEqual(["echo"]);
    expect((await client.call("pid")).body.error.data.code).toBe("mcp.tool_not_allowed");
  });

  it("a user of another organization sees no server", async () => {
    const stranger = await addUser(gateway.call, gateway.owner.token, "owner", { org_name: `Elsewhere ${era}` });
    const client = await connect(`Bearer ${stranger.apiKey}`, era, "/mcp");
    expect((await toolsOf(client)).filter((name) => name.includes("___"))).toEqual([]);
    expect((await client.call("open___echo")).body.result).toBeUndefined();
    const headers = { authorization: `Bearer ${stranger.apiKey}` };
    for (const name of ["open", "never-was"]) {
      const body = request2025(1, "tools/list");
      expect((await askRaw(gateway.url, "POST", `/mcp/${name}`, { headers, body })).status, name).toBe(404);
    }
  });

  it("a tool is called as often as its limit says, and the refusal says why", async () => {
    const client = await connect(owner(), era, "/mcp/open", `limited-${era}`);
    expect(outcomeOf(await client.call("limited"))).toBe("limited");
    const parallel = await Promise.all([client.call("limited"), client.call("limited"), client.call("limited")]);
    const outcomes = parallel.map(outcomeOf);
    expect(outcomes.filter((outcome) => outcome === "limited")).toHaveLength(1);
    expect(
      outcomes.filter((outcome) => /isError: tool call limit reached for "limited" \(max: 2\)/.test(outcome)),
    ).toHaveLength(2);
  });

  it("a result passes its filter, and is withheld where the filter fails, is endless or says two things", async () => {
    const client = await connect(owner(), era, "/mcp/open");
    expect(outcomeOf(await client.call("filtered"))).toBe("only this");
    const answers = await Promise.all(["endless", "twice", "broken"].map((tool) => client.call(tool)));
    for (const answer of answers) {
      expect(answer.body.result?.isError ?? true).toBe(true);
      expect(JSON.stringify(answer.body)).not.toMatch(/secret|"text":"(?:endless|twice|broken)"/);
    }
  });
});

describe("a key for both planes", () => {
  const callMcp = async (secret: string, id: number) => {
    const body = request2025(id, "tools/call", { name: "open___echo", arguments: {} });
    const answer = await askRaw(gateway.url, "POST", "/mcp", { headers: { authorization: `Bearer ${secret}` }, body });
    return outcomeOf(answer) === "echo";
  };
  const callProxy = async (secret: string) => {
    const headers = { authorization: `Bearer ${secret}` };
    const reply = await fetch(`${gateway.url}/v1/services/echo/proxy/x`, { headers });
    await reply.arrayBuffer();
    return reply.status === 200;
  };

  it("with one use is good for one call of either, however many come at once; asking what there is costs nothing", async () => {
    for (let round = 0; round < 5; round++) {
      const secret = await issue({ max_uses: 1 });
      for (const era of ERAS) {
        const client = await connect(`Bearer ${secret}`, era, "/mcp");
        expect(await toolsOf(client)).toContain("open___echo");
      }
      const calls = Array.from({ length: 10 }, (_, id) => [callMcp(secret, id), callProxy(secret)]).flat();
      expect((await Promise.all(calls)).filter(Boolean)).toHaveLength(1);
    }
  });

  it("has one rate for both", async () => {
    const secret = await issue({ rate_limit: 7 });
    const calls = Array.from({ length: 10 }, (_, id) => [callMcp(secret, id), callProxy(secret)]).flat();
    expect((await Promise.all(calls)).filter(Boolean)).toHaveLength(7);
  });

  it.each(["asking", "asking-2025"])(
    "pays once for a call that asks the user meanwhile (server %s)",
    async (server) => {
      const secret = await issue({ max_uses: 1 });
      const client = await connect(`Bearer ${secret}`, "2026", `/mcp/${server}`);
      const params = { name: "test_input_required_result_elicitation", arguments: {} };
      const meta = { "io.modelcontextprotocol/clientCapabilities": { elicitation: { form: {} } } };
      const ask = async (more: object) => {
        const { headers, body } = client.request("tools/call", { ...params, ...more });
        const sent = body as { params: { _meta: object } };
        const full = { ...sent, params: { ...sent.params, _meta: { ...sent.params._meta, ...meta } } };
        return (await askRaw(gateway.url, "POST", client.path, { headers, body: full })).body;
      };
      const first = await ask({});
      expect(first.result?.resultType, JSON.stringify(first)).toBe("input_required");
      const [key = ""] = Object.keys(first.result.inputRequests);
      const answer = { [key]: { action: "accept", content: { name: "Ada" } } };
      const state = first.result.requestState === undefined ? {} : { requestState: first.result.requestState };
      const second = await ask({ inputResponses: answer, ...state });
      expect(second.result?.content?.[0].text, JSON.stringify(second)).toBe("Hello, Ada!");
      const third = await ask({ inputResponses: answer, ...state });
      expect(third.result?.content?.[0].text).not.toBe("Hello, Ada!");
    },
  );
});

describe("a long result", () => {
  it("is put into a file that nobody can guess, and the answer says where", async () => {
    const dir = join(gateway.dataDir, "payloads");
    const open = await connect(owner(), "2025", "/mcp/tired");
    const answer = await open.call("long");
    const told = JSON.parse(outcomeOf(answer));
    expect(Object.keys(told)).toEqual(
      expect.arrayContaining(["agentInstructions", "payloadPath", "payloadPreview", "payloadSchema", "originalSize"]),
    );
    const [name = ""] = readdirSync(dir);
    expect(name).toMatch(/^[0-9a-f]{32}$/);
    expect(told.payloadPath).toBe(join(dir, name, "payload.json"));
    expect(readFileSync(told.payloadPath, "utf8")).toContain("long ".repeat(300));
  });
});

describe("a server that says that it is asked too often", () => {
  it("is left alone for a while, for all callers", async () => {
    const [one, other] = await Promise.all([
      connect(owner(), "2025", "/mcp/tired"),
      connect(`Bearer ${await issue({})}`, "2026", "/mcp/tired"),
    ]);
    for (let call = 0; call < 2; call++) await one.call("busy");
    for (const client of [one, other]) {
      expect(outcomeOf(await client.call("echo"))).toMatch(
        /rate limit circuit breaker is OPEN for server "tired"; retry in \d+s/,
      );
    }
    expect(outcomeOf(await (await connect(owner(), "2025", "/mcp/open")).call("echo"))).toBe("echo");
  });
});
