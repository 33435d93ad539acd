import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import type { WeatherServer } from "./mcp-servers.ts";
import { agent, check, operator, title } from "./report.ts";
import type { PrintingUpstream } from "./upstream.ts";

export interface Stage {
  readonly url: string;
  readonly agentId: string;
  readonly upstream: PrintingUpstream;
  readonly weather: WeatherServer;
  /** The management API, as the owner. */
  manage(method: string, path: string, body?: unknown): Promise<Response>;
}

const RATE_LIMIT = 30;
const MAX_USES = 5;

/** One agent with one key: two MCP servers, one of them a process of the gateway's, and an API. */
export async function demonstrateBothPlanes({ url, agentId, upstream, weather, manage }: Stage): Promise<void> {
  title("The operator issues one key for two MCP servers and the API");
  const issued = (await (
    await manage("POST", "/v1/keys", {
      grants: [
        { service: "chat" },
        { mcp_server: "notes", tools: ["create_*", "search_nodes"] },
        { mcp_server: "weather", tools: ["forecast"] },
      ],
      scope: "write",
      rate_limit: RATE_LIMIT,
      max_uses: MAX_USES,
    })
  ).json()) as { id: string; virtual_key: string };
  const key = issued.virtual_key;
  operator(`${issued.id}: notes (create_*, search_nodes), weather (forecast), chat; good for ${MAX_USES} uses`);

  title("The agent finds the tools of both servers behind one address");
  const headers = { authorization: `Bearer ${key}`, "x-agent-id": agentId };
  const connect = async (mode: "legacy" | { pin: string }) => {
    const client = new Client({ name: "demo-agent", version: "1.0.0" }, { versionNegotiation: { mode } });
    await client.connect(new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { requestInit: { headers } }));
    agent(`connected to ${url}/mcp in revision ${String(client.getNegotiatedProtocolVersion())}`);
    return client;
  };
  const client = await connect("legacy");
  const names = (await client.listTools()).tools.map(({ name }) => name);
  agent(`tools: ${names.join(", ")}`);
  check(
    "it sees what its key is granted, by server",
    ["notes___create_entities", "notes___search_nodes", "weather___forecast"].every((name) => names.includes(name)),
  );
  check(
    "and nothing else of these servers",
    !names.some((name) => /^notes___(?:delete|read|open)|delete_station/.test(name)),
  );

  title("It calls a tool of each server: a process that the gateway runs, and one over HTTP");
  const text = async (by: Client, name: string, args: Record<string, unknown>) => {
    const { content } = await by.callTool({ name, arguments: args });
    const said = content.map((part) => (part.type === "text" ? part.text : part.type)).join(" ");
    agent(`${name} -> ${said.replace(/\s+/g, " ")}`);
    return said;
  };
  const entities = [{ name: "Ada", entityType: "person", observations: ["likes engines"] }];
  check("the process took the note", (await text(client, "notes___create_entities", { entities })).includes("Ada"));
  check("the HTTP server answered", (await text(client, "weather___forecast", { city: "Oslo" })).includes("sunny"));
  const refusal = await client.callTool({ name: "weather___delete_station", arguments: {} }).then(
    () => "it was called",
    (error: Error) => error.message,
  );
  agent(`weather___delete_station -> ${refusal}`);
  check("a tool that is not listed cannot be called either", /not allowed/.test(refusal));
  await client.close();

  title("A client of the stateless revision uses the same key and finds the note");
  const modern = await connect({ pin: "2026-07-28" });
  const found = await text(modern, "notes___search_nodes", { query: "engines" });
  check("the server of the 2025 era answers a client of the 2026 era", found.includes("Ada"));

  title("The same key calls the API");
  const before = upstream.seen.length;
  const chat = () =>
    fetch(`${url}/v1/proxy/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({ model: "demo", messages: [{ role: "user", content: "Hello again" }] }),
    });
  const reply = await chat();
  await reply.text();
  agent(`${reply.status}, RateLimit: ${reply.headers.get("ratelimit")}`);
  check("the API answered", reply.status === 200 && upstream.seen.length === before + 1);
  check(
    `three tool calls and this request were counted together, against ${RATE_LIMIT} a minute`,
    reply.headers.get("ratelimit")?.includes(`;r=${RATE_LIMIT - 4};`) === true,
  );
  const toWeather = weather.seen.filter((seen) => seen["x-bifrost-key-id"] !== undefined);
  check(
    "the MCP server and the API were told the same key",
    toWeather.some((seen) => seen["x-bifrost-key-id"] === issued.id) &&
      upstream.seen.at(-1)?.headers["x-bifrost-key-id"] === issued.id,
  );
  check(
    "the MCP server was told which agent",
    toWeather.every((seen) => seen["x-bifrost-agent-id"] === agentId),
  );
  check("the MCP server saw neither the key's secret nor a credential", !JSON.stringify(weather.seen).includes("bfk_"));

  title("The last use is spent on one plane, and gone on both");
  await text(modern, "weather___forecast", { city: "Turin" });
  const tool = await modern.callTool({ name: "weather___forecast", arguments: { city: "Rome" } }).then(
    () => "it was called",
    (error: Error) => error.message,
  );
  const api = await chat();
  agent(`weather___forecast -> ${tool.replace(/\s+/g, " ").slice(0, 120)}`);
  agent(`chat -> ${api.status} ${await api.text()}`);
  check("neither the tool nor the API can be called", tool !== "it was called" && api.status === 401);
  await modern.close();

  title("The operator looks at the servers");
  const servers = (await (await manage("GET", "/v1/mcp/servers")).json()) as Record<string, unknown>[];
  for (const { name, transport, state, revision, tools_offered: tools } of servers)
    operator(
      `${String(name)}: ${String(transport)}, ${String(state)}, revision ${String(revision)}, ${String(tools)} tools`,
    );
  check(
    "both are running",
    servers.every(({ state }) => state === "running"),
  );
}
