// `npm run demo`: the gateway's main job, on real parts, in a few seconds. Everything here is what a user does: the gateway is
// its own process, the management API is called over HTTP, the agent is the official MCP client, one MCP server is a process
// from npm and the other speaks HTTP. Exit code 0 only if every step held.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { demonstrateBothPlanes } from "./both-planes.ts";
import { startGateway } from "./gateway.ts";
import { processesOf, startWeatherServer, type WeatherServer, writeMcpConfig } from "./mcp-servers.ts";
import { agent, check, conclude, operator, stopped, title, upstreamSays } from "./report.ts";
import { type PrintingUpstream, startPrintingUpstream } from "./upstream.ts";

const REAL_CREDENTIAL = `sk-demo-${"0123456789abcdef".repeat(2)}`;
const AGENT = "research-agent-1";

async function json(response: Response): Promise<Record<string, unknown>> {
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status} ${text}`);
  return text === "" ? {} : (JSON.parse(text) as Record<string, unknown>);
}

async function main(): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), "bifrost-demo-"));
  const upstream = await startPrintingUpstream(upstreamSays);
  const weather = await startWeatherServer(upstreamSays);
  try {
    const gateway = await startGateway(dataDir, await writeMcpConfig(dataDir, weather.url));
    try {
      await demonstrate(gateway.url, gateway.setupToken, upstream, weather);
    } finally {
      title("Everything ends");
      const code = await gateway.stop();
      check(`the gateway drained and ended by itself, exit code ${String(code)}`, code === 0);
      check("and so did the server that it ran", (await processesOf(dataDir)) === 0);
    }
  } finally {
    await Promise.all([upstream.close(), weather.close()]);
    await rm(dataDir, { recursive: true, force: true });
  }
}

async function demonstrate(
  url: string,
  setupToken: string,
  upstream: PrintingUpstream,
  weather: WeatherServer,
): Promise<void> {
  title("An operator sets the gateway up with the one-time token it printed");
  operator(`POST ${url}/v1/setup`);
  const owner = await json(
    await fetch(`${url}/v1/setup`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-setup-token": setupToken },
      body: JSON.stringify({ name: "Operator", email: "operator@example.com", org_name: "Demo" }),
    }),
  );
  const manage = (method: string, path: string, body?: unknown) =>
    fetch(url + path, {
      method,
      headers: {
        authorization: `Bearer ${String(owner.token)}`,
        ...(body ? { "content-type": "application/json" } : {}),
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
  check("the first user is the owner of the organization", typeof owner.token === "string");

  title("The operator registers the real credential and the API it belongs to");
  const rootKey = await json(await manage("POST", "/v1/rootkeys", { id: "chat-key", api_key: REAL_CREDENTIAL }));
  operator(`root key ${String(rootKey.id)}, shown from now on only as …${String(rootKey.key_hint)}`);
  await json(
    await manage("POST", "/v1/services", {
      id: "chat",
      description: "A chat API",
      endpoint: `${upstream.origin}/v1`,
      root_key_id: "chat-key",
      injection: { type: "bearer" },
      // The upstream of this demo runs on this machine; by default the gateway refuses loopback addresses.
      allow_addresses: ["loopback"],
    }),
  );
  operator(`service chat -> ${upstream.origin}/v1`);
  const account = await json(
    await manage("POST", "/v1/serviceaccounts", {
      id: "agents",
      name: "Agents",
      allowed_services: ["chat"],
      max_scope: "write",
    }),
  );
  operator("service account agents: may use the service chat, and nothing else");

  title("An agent connects over MCP and asks what it may use");
  const client = new Client({ name: "demo-agent", version: "1.0.0" });
  const headers = { authorization: `Bearer ${String(account.api_key)}`, "x-agent-id": AGENT };
  await client.connect(new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { requestInit: { headers } }));
  const { tools } = await client.listTools();
  agent(`tools: ${tools.map((tool) => tool.name).join(", ")}`);
  const services = await client.callTool({ name: "list_services", arguments: {} });
  agent(`list_services -> ${JSON.stringify(services.structuredContent)}`);
  check(
    "it sees the service, and no credential",
    JSON.stringify(services).includes('"chat"') && !JSON.stringify(services).includes(REAL_CREDENTIAL),
  );

  title("The agent asks for a key of its own");
  const issued = await client.callTool({
    name: "request_key",
    arguments: { service_name: "chat", scope: "write", ttl_seconds: 600, rate_limit: 30 },
  });
  const { virtual_key: key, expires_at: expiresAt } = issued.structuredContent as {
    virtual_key: string;
    expires_at: string;
  };
  agent(`request_key -> ${key.slice(0, 8)}… valid until ${expiresAt}`);
  check("the key is a virtual one with a checksum, not the credential", /^bfk_[0-9A-Za-z]{39}$/.test(key));
  await client.close();

  title("The agent calls the API through the gateway: only base URL and key differ");
  agent(`POST ${url}/v1/proxy/chat/completions`);
  const reply = await fetch(`${url}/v1/proxy/chat/completions`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${key}`,
      "content-type": "application/json",
      cookie: "session=of-the-agent",
      // A lie, which the gateway removes.
      "x-bifrost-agent-id": "somebody-else",
    },
    body: JSON.stringify({ model: "demo", messages: [{ role: "user", content: "Hello" }] }),
  });
  const text = await reply.text();
  agent(`${reply.status} ${text}`);
  agent(`RateLimit: ${reply.headers.get("ratelimit")}`);
  const seen = upstream.seen.at(-1);
  const [listed] = (await (await manage("GET", "/v1/keys?source=mcp")).json()) as { id: string; agent_id: string }[];
  check("the upstream got the real credential", seen?.headers.authorization === `Bearer ${REAL_CREDENTIAL}`);
  check(
    "the upstream knows which key called, by its public id",
    seen?.headers["x-bifrost-key-id"] === listed?.id && listed !== undefined,
  );
  check("the upstream knows which agent called, and the lie is gone", seen?.headers["x-bifrost-agent-id"] === AGENT);
  check(
    "the upstream saw neither the virtual key nor the agent's cookie",
    !JSON.stringify(seen).includes(key) && seen?.headers.cookie === undefined,
  );
  check(
    "the agent never saw the credential, though the upstream echoed it",
    reply.status === 200 && !text.includes(REAL_CREDENTIAL),
  );

  title("The operator revokes the key");
  await manage("DELETE", `/v1/keys/${listed?.id ?? ""}`);
  const refused = await fetch(`${url}/v1/proxy/chat/completions`, { headers: { authorization: `Bearer ${key}` } });
  agent(`${refused.status} ${await refused.text()}`);
  check(
    "the next call is refused, and never reaches the upstream",
    refused.status === 401 && upstream.seen.length === 1,
  );
  const trail = (await (await manage("GET", "/v1/audit")).json()) as { action: string; actor_id?: string }[];
  operator(
    `audit trail, newest first: ${trail
      .slice(0, 6)
      .map((entry) => entry.action)
      .join(", ")} …`,
  );
  check(
    "who issued and who revoked the key is on the audit trail",
    ["key.issue", "key.revoke"].every((action) => trail.some((entry) => entry.action === action)),
  );

  await demonstrateBothPlanes({ url, agentId: AGENT, upstream, weather, manage });
}

try {
  await main();
} catch (error) {
  stopped(error);
}
process.exitCode = conclude();
