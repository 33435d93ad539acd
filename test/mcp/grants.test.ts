// What one key may do with MCP servers, end to end: a real server, the REST API that grants, and the official client.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { load } from "../support/load-config.ts";
import { addUser } from "../support/management.ts";
import { connectMcp, type Era } from "../support/mcp-client.ts";

const SERVER = "node_modules/@modelcontextprotocol/server-everything/dist/index.js";
const ERAS: readonly Era[] = ["2025-11-25", "2026-07-28"];

const { mcpServers } = load({
  file: JSON.stringify({
    mcpServers: {
      everything: { command: process.execPath, args: [SERVER, "stdio"], tools: ["echo", "get-*"] },
      dead: { command: "/nonexistent/program" },
    },
  }),
});

let gateway: TestGateway;
const as = () => gateway.owner.token;

async function issue(grant: Record<string, unknown>, more: Record<string, unknown> = {}): Promise<string> {
  const body = { grants: [{ mcp_server: "everything", ...grant }], scope: "write", rate_limit: 1_000, ...more };
  const issued = await gateway.call("POST", "/v1/keys", { as: as(), body });
  expect(issued.status, issued.body.error).toBe(201);
  return issued.body.virtual_key;
}

beforeAll(async () => {
  gateway = await startGateway({}, {}, (config) => ({ ...config, mcpServers }));
});
afterAll(() => gateway.close());

const connect = (secret: string, era: Era, server = "everything") =>
  connectMcp(`${gateway.url}/mcp/${server}`, secret, era);
const namesOf = ({ tools }: { tools: readonly { name: string }[] }) => tools.map(({ name }) => name).toSorted();

describe.each(ERAS)("a key's grant of an MCP server, for a client of %s", (era) => {
  it("shows the tools that both the server's list and the grant name, and no other can be called", async () => {
    await using client = await connect(await issue({ tools: ["echo", "trigger-*"] }), era);
    expect(namesOf(await client.listTools())).toEqual(["echo"]);
    const { content } = await client.callTool({ name: "echo", arguments: { message: "hi" } });
    expect(content).toMatchObject([{ type: "text", text: expect.stringContaining("hi") }]);
    const refusalOf = (name: string) =>
      client.callTool({ name, arguments: {} }).then(String, (error: Error) => error.message);
    for (const hidden of ["get-sum", "trigger-long-running-operation"]) {
      // Exactly as a tool that does not exist.
      expect((await refusalOf(hidden)).replaceAll(hidden, "X")).toBe(
        (await refusalOf("no-such-tool")).replaceAll("no-such-tool", "X"),
      );
    }
  });

  it("lets only named arguments through, however they are written", async () => {
    const rules = [{ tool: "echo", argument: "message", allow: ["ok", "ok-*"] }];
    await using client = await connect(await issue({ arguments: rules }), era);
    const call = async (args: Record<string, unknown>) =>
      client.callTool({ name: "echo", arguments: args }).then(
        ({ isError }) => (isError ? "refused" : "allowed"),
        () => "refused",
      );
    expect(await call({ message: "ok" })).toBe("allowed");
    expect(await call({ message: "ok-then" })).toBe("allowed");
    for (const args of [{ message: "bad" }, { message: "OK" }, { message: ["ok"], x: 1 }, {}, { Message: "ok" }]) {
      expect(await call(args), JSON.stringify(args)).toBe("refused");
    }
  });

  it("shows prompts and resources only where tools are not limited, or where it names them", async () => {
    const listsOf = async (grant: Record<string, unknown>) => {
      await using client = await connect(await issue(grant), era);
      const [{ prompts }, { resources }] = await Promise.all([client.listPrompts(), client.listResources()]);
      return [prompts.length > 0, resources.length > 0];
    };
    expect(await listsOf({})).toEqual([true, true]);
    expect(await listsOf({ tools: ["echo"] })).toEqual([false, false]);
    expect(await listsOf({ tools: ["echo"], prompts: ["*"] })).toEqual([true, false]);
    expect(await listsOf({ tools: ["echo"], resources: ["*"] })).toEqual([false, true]);
  });

  it("completes arguments only of prompts and resources that it names, also where a reference has two names", async () => {
    const secret = await issue({ tools: ["echo"], prompts: ["args-*"] });
    const codeFor = async (ref: object) => {
      const params = { ref, argument: { name: "department", value: "E" } };
      const body = { jsonrpc: "2.0", id: 1, method: "completion/complete", params };
      const answer = await gateway.call("POST", "/mcp/everything", { as: secret, body });
      return answer.body.error?.data?.code ?? "allowed";
    };
    const uri = "demo://resource/dynamic/text/{resourceId}";
    expect(await codeFor({ type: "ref/prompt", name: "args-prompt" })).toBe("allowed");
    expect(await codeFor({ type: "ref/prompt", name: "completable-prompt" })).toBe("mcp.tool_not_allowed");
    expect(await codeFor({ type: "ref/resource", uri })).toBe("mcp.tool_not_allowed");
    expect(await codeFor({ type: "ref/resource", uri, name: "args-prompt" })).toBe("mcp.tool_not_allowed");
    expect(await codeFor({ type: "ref/resource" })).toBe("mcp.tool_not_allowed");
  });

  it("hides a server that it does not name like one that does not exist", async () => {
    const secret = await issue({ mcp_server: "other" });
    const refusalOf = (server: string) =>
      connect(secret, era, server).then(String, (error: Error) => error.message.replaceAll(/req_[0-9a-f]+/g, "R"));
    const unknown = await refusalOf("never-was");
    for (const server of ["everything", "dead"]) expect(await refusalOf(server)).toBe(unknown);
    const answerOf = async (server: string) => {
      const body = { jsonrpc: "2.0", id: 1, method: "tools/list" };
      const answer = await gateway.call("POST", `/mcp/${server}`, { as: secret, body });
      delete answer.body.error.data.request_id;
      return [answer.status, answer.body];
    };
    expect(await answerOf("never-was")).toMatchObject([404, { error: { data: { code: "mcp.server_not_found" } } }]);
    for (const server of ["everything", "dead"]) expect(await answerOf(server)).toEqual(await answerOf("never-was"));
  });

  it("holds a key of scope read to tools that say that they only read", async () => {
    await using client = await connect(await issue({}, { scope: "read" }), era);
    const { tools } = await client.listTools();
    expect(tools.every(({ annotations }) => annotations?.readOnlyHint === true)).toBe(true);
  });

  it("decides the same for all servers behind one address", async () => {
    const rules = [{ tool: "echo", argument: "message", allow: ["ok"] }];
    await using client = await connectMcp(
      `${gateway.url}/mcp`,
      await issue({ tools: ["echo"], arguments: rules }),
      era,
    );
    const names = namesOf(await client.listTools());
    expect(names.filter((name) => name.includes("___"))).toEqual(["everything___echo"]);
    expect(names).not.toContain("request_key");
    const outcomeOf = (name: string, message: string) =>
      client.callTool({ name, arguments: { message } }).then(
        ({ isError }) => (isError ? "refused" : "allowed"),
        () => "refused",
      );
    expect(await outcomeOf("everything___echo", "ok")).toBe("allowed");
    for (const [name, message] of [
      ["everything___echo", "bad"],
      ["echo", "ok"],
      ["everything___get-sum", "ok"],
      ["dead___echo", "ok"],
    ] as const) {
      expect(await outcomeOf(name, message), name).toBe("refused");
    }
  });

  it("holds in an open session as soon as it was changed, both ways", async () => {
    const id = `changes-${era}`;
    const client = await connect(await issue({ tools: ["echo"] }, { id }), era);
    const change = async (grant: Record<string, unknown>) =>
      gateway.call("PUT", `/v1/keys/${id}`, {
        as: as(),
        body: { grants: [{ mcp_server: "everything", ...grant }] },
      });
    const echo = () =>
      client.callTool({ name: "echo", arguments: { message: "hi" } }).then(
        ({ isError }) => (isError ? "refused" : "allowed"),
        () => "refused",
      );
    expect(await echo()).toBe("allowed");
    await change({ tools: ["get-sum"] });
    expect(await echo()).toBe("refused");
    expect(namesOf(await client.listTools())).toEqual(["get-sum"]);
    await change({ arguments: [{ tool: "echo", argument: "message", allow: ["other"] }] });
    expect(await echo()).toBe("refused");
    await change({});
    expect(await echo()).toBe("allowed");
    await client.close();
  });

  it("ends with the key: what comes after the revocation is refused", async () => {
    const body = { id: `ends-${era}`, grants: [{ mcp_server: "everything" }], scope: "write" };
    const issued = await gateway.call("POST", "/v1/keys", { as: as(), body });
    await using client = await connect(issued.body.virtual_key, era);
    await client.listTools();
    expect((await gateway.call("DELETE", `/v1/keys/ends-${era}`, { as: as() })).status).toBe(204);
    await expect(client.callTool({ name: "echo", arguments: { message: "x" } })).rejects.toThrow();
  });
});

describe("the list of MCP servers", () => {
  it("tells state, tools and last error, the whole of which only admins see", async () => {
    await using client = await connect(await issue({}), "2026-07-28");
    await client.listTools();
    const owner = await gateway.call("GET", "/v1/mcp/servers", { as: as() });
    expect(owner.body).toMatchObject([
      { name: "dead", transport: "stdio", state: "error", tools: null, last_error: { code: "upstream.start_failed" } },
      {
        name: "everything",
        state: "running",
        revision: expect.any(String),
        tools: expect.arrayContaining(["echo", "get-sum"]),
        tools_offered: expect.any(Number),
        last_error: null,
      },
    ]);
    expect(owner.body[1].allowed_tools).toEqual(["echo", "get-*"]);
    expect(owner.body[1].tools.filter((name: string) => !/^(?:echo|get-.*)$/.test(name))).toEqual([]);
    expect(owner.body[1].tools_offered).toBeGreaterThan(owner.body[1].tools.length);
    expect(Date.parse(owner.body[0].next_try_at)).toBeGreaterThan(0);
    const member = await addUser(gateway.call, as(), "member");
    const seen = await gateway.call("GET", "/v1/mcp/servers", { as: member.token });
    expect(seen.body[0].last_error.message).toBe("the MCP server could not be started");
    expect(JSON.stringify(seen.body)).not.toContain("nonexistent");
  });

  it("is paged by name", async () => {
    const first = await gateway.call("GET", "/v1/mcp/servers?limit=1", { as: as() });
    expect(first.body.map(({ name }: { name: string }) => name)).toEqual(["dead"]);
    const cursor = first.headers.get("x-next-cursor") ?? "";
    const rest = await gateway.call("GET", `/v1/mcp/servers?cursor=${cursor}`, { as: as() });
    expect(rest.body.map(({ name }: { name: string }) => name)).toEqual(["everything"]);
    expect(rest.headers.get("x-next-cursor")).toBeNull();
  });

  it("holds no server of another organization, and none for an account that may use only some services", async () => {
    const stranger = await addUser(gateway.call, as(), "owner", { org_name: "Elsewhere" });
    expect((await gateway.call("GET", "/v1/mcp/servers", { as: stranger.token })).body).toEqual([]);
    const make = async (allowed: string[]) =>
      (await gateway.call("POST", "/v1/serviceaccounts", { as: as(), body: { name: "CI", allowed_services: allowed } }))
        .body;
    const all = await make(["*"]);
    expect((await gateway.call("GET", "/v1/mcp/servers", { as: all.api_key })).body).toHaveLength(2);
    const none = await make([]);
    expect((await gateway.call("GET", "/v1/mcp/servers", { as: none.api_key })).body).toEqual([]);
  });
});
