/**
 * Weakness W21: logs that know secrets by their look miss those that look otherwise. The real gateway, at its most talkative,
 * uses secrets in every way it can, with servers that repeat all they hear; then every file and every line is searched.
 */
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createSandbox } from "../cli/support.ts";
import { connectMcp } from "../support/mcp-client.ts";
import { type Received, type ScriptedServer, scriptedServer, sendJson } from "../support/mcp-http-server.ts";

const SECRETS = {
  agent: "sentinel-agent-id-1f0e",
  env: 'sentinel "env" value\\1',
  argument: "sentinel-argument-77",
  header: "sentinel-static-header-42",
  oauthSecret: "sentinel-oauth-secret-9",
  oauthToken: "sentinel.oauth/token+8==",
  credential: "sentinel-stored-credential-3",
};
const sandbox = createSandbox();
let remote: ScriptedServer;
let files: Map<string, string>;
let stderr: string;
let metrics: string;
let status: string;
let sessionIds: string[] = [];
const issued: string[] = [];

/** A server that repeats each request with its headers. */
function repeat(
  { url, message, headers, body }: Received,
  response: Parameters<Parameters<typeof scriptedServer>[0]>[1],
) {
  if (url === "/token") return sendJson(response, { access_token: SECRETS.oauthToken, token_type: "bearer" });
  if (message.id === undefined) return response.writeHead(202).end();
  const said = JSON.stringify({ headers, body });
  const results: Record<string, unknown> = {
    initialize: {
      protocolVersion: "2025-11-25",
      capabilities: { tools: {} },
      serverInfo: { name: "remote", version: "1" },
    },
    "tools/list": { tools: [{ name: "tell", description: said, inputSchema: { type: "object" } }] },
    "tools/call": { content: [{ type: "text", text: said }], structuredContent: { headers } },
  };
  const result = results[message.method ?? ""];
  const answer = result ? { result } : { error: { code: -32601, message: said } };
  sendJson(response, { jsonrpc: "2.0", id: message.id, ...answer }, 200, { "mcp-session-id": "of-the-upstream" });
}

beforeAll(async () => {
  remote = await scriptedServer(repeat);
  const { origin } = new URL(remote.url);
  const chatty = new URL("chatty-server.mjs", import.meta.url).pathname;
  const config = {
    gateway: { agent_id: SECRETS.agent, log_dir: "logs" },
    metrics: { enabled: true, public: true },
    credentials: { stored: { value: { env: "STORED" }, origins: [origin] } },
    servers: {
      process: {
        command: process.execPath,
        args: [chatty, "--api-key", SECRETS.argument],
        env: { API_TOKEN: SECRETS.env },
      },
      headers: { url: remote.url, headers: { "x-api-key": SECRETS.header } },
      oauth: {
        url: remote.url,
        auth: { type: "oauth", token_url: `${origin}/token`, client_id: "me", client_secret: SECRETS.oauthSecret },
      },
      bearer: { url: remote.url, auth: { type: "bearer", credential: "stored" } },
    },
  };
  const dying = { command: "sh", args: ["-c", `echo 'no:${SECRETS.agent}' >&2; exit 1`] };
  const servers = { ...config.servers, dying };
  writeFileSync(join(sandbox.dir, "gateway.json"), JSON.stringify({ ...config, servers }));
  const gateway = await sandbox.serve(["-c", "gateway.json"], {
    STORED: SECRETS.credential,
    BIFROST_LOG_LEVEL: "debug",
  });
  const person = ["--name", "Ada", "--email", "ada@example.com", "--url", gateway.url, "--json"];
  const setUp = await sandbox.run(["setup", "--token", gateway.setup_token ?? "", ...person]);
  issued.push(...new Set(`${setUp.stdout}${readHome()}`.match(/bf[kust]_[0-9A-Za-z]{39}/g)));
  expect(issued.length).toBeGreaterThan(0);

  for (const [token, agent] of [
    [SECRETS.agent, {}],
    [issued.find((one) => one.startsWith("bfu_")) ?? issued[0] ?? "", { "x-agent-id": "agent-7" }],
  ] as const) {
    for (const name of Object.keys(config.servers)) {
      await using client = await connectMcp(`${gateway.url}/mcp/${name}`, token, "2025-11-25", agent);
      await client.listTools();
      await client.callTool({ name: "tell", arguments: { every: Object.values(SECRETS), key: issued[0] } });
      await client.callTool({ name: "tell", arguments: { long: "x".repeat(10_100), all: Object.values(SECRETS) } });
      sessionIds.push(sessionOf(client));
    }
    await using unified = await connectMcp(`${gateway.url}/mcp`, token, "2026-07-28");
    await unified.callTool({ name: "process___tell", arguments: { session: sessionIds } });
  }
  sessionIds = sessionIds.filter(Boolean);
  expect(sessionIds.length).toBe(8);
  expect(issued.some((one) => one.startsWith("bfu_"))).toBe(true);
  metrics = await (await fetch(`${gateway.url}/metrics`)).text();
  status = await (
    await fetch(`${gateway.url}/v1/mcp/servers`, {
      headers: { "x-api-key": issued.find((one) => one.startsWith("bfu_")) ?? "" },
    })
  ).text();
  expect(await gateway.stop()).toBe(0);
  stderr = gateway.logs();
  const dir = join(sandbox.dir, "logs");
  files = new Map(readdirSync(dir).map((name) => [name, readFileSync(join(dir, name), "utf8")]));
}, 120_000);
afterAll(async () => {
  await remote.close();
  await sandbox.remove();
});

function sessionOf({ transport }: { transport?: { sessionId?: string | undefined } | undefined }): string {
  return transport?.sessionId ?? "";
}

/** What the command line keeps after a login. */
function readHome(): string {
  const dir = join(sandbox.dir, "config");
  return readdirSync(dir, { recursive: true, encoding: "utf8" })
    .filter((name) => statSync(join(dir, name)).isFile())
    .map((name) => readFileSync(join(dir, name), "utf8"))
    .join("\n");
}

function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const inner = bytes.toString("base64").replace(/=+$/, "").slice(0, -1);
  return [
    secret,
    JSON.stringify(secret).slice(1, -1),
    JSON.stringify(JSON.stringify(secret).slice(1, -1)).slice(1, -1),
    encodeURIComponent(secret),
    bytes.toString("hex"),
    inner,
  ];
}

it("the files are those of the reference, and each has something to say", () => {
  expect([...files.keys()].sort()).toEqual(
    [
      "bearer.log",
      "dying.log",
      "gateway.md",
      "headers.log",
      "mcp-gateway.log",
      "oauth.log",
      "process.log",
      "rpc-messages.jsonl",
      "tools.json",
    ].sort(),
  );
  for (const [name, text] of files) expect(text.length, name).toBeGreaterThan(50);
});

describe("no secret that was used", () => {
  const used = () => [
    ...Object.entries(SECRETS),
    ...[...issued, ...sessionIds].map((one, i) => [`issued ${i}`, one] as const),
  ];

  it("is in any log file, in the log on stderr, in the metrics, or in what is told of the servers", () => {
    const others = [
      ["stderr", stderr],
      ["metrics", metrics],
      ["status", status],
    ] as const;
    for (const [where, text] of [...files, ...others]) {
      for (const [name, secret] of used()) {
        for (const form of formsOf(secret)) {
          const at = text.indexOf(form);
          const before = at === -1 ? null : text.slice(Math.max(0, at - 200), at);
          expect(before, `${name} is in ${where}, after this`).toBeNull();
        }
      }
    }
  });

  it("was simply left out: its place is marked", () => {
    for (const name of ["process.log", "rpc-messages.jsonl", "gateway.md", "tools.json"])
      expect(files.get(name), name).toContain("[REDACTED]");
    expect(stderr).toContain("[REDACTED]");
    expect(status).toContain("no:[REDACTED]");
  });
});

it("the metrics count what was asked of each server, and how it ended", () => {
  const lines = metrics.split("\n");
  expect(lines).toContain('bifrost_mcp_requests_total{server="process",method="tools/call",outcome="ok"} 6');
  expect(lines).toContain('bifrost_mcp_tool_call_duration_seconds_count{server="oauth"} 4');
  expect(lines).toContain('bifrost_mcp_server_up{server="bearer"} 1');
  expect(lines).toContain("bifrost_mcp_log_lines_dropped_total 0");
});

describe("the formats", () => {
  it("of rpc-messages.jsonl are records of version 2, with payloads of at most 10 KB that are JSON", () => {
    const records = (files.get("rpc-messages.jsonl") ?? "")
      .trimEnd()
      .split("\n")
      .map((line) => {
        expect(line.length).toBeLessThan(24_000);
        return JSON.parse(line) as Record<string, unknown>;
      });
    const call = records.find(({ event, tool_name: tool }) => event === "rpc_request" && tool === "tell");
    expect(call).toMatchObject({
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      _schema: "rpc-message/v2",
      direction: "OUT",
      server_id: expect.any(String),
      method: "tools/call",
      payload: { params: { name: "tell", arguments: { key: "[REDACTED]" } } },
    });
    expect(records.filter(({ event }) => event === "rpc_response").length).toBeGreaterThan(10);
    expect(records.some(({ payload }) => JSON.stringify(payload ?? "").includes('"_truncated":true'))).toBe(true);
    expect(records.find(({ method, error }) => method === "initialize" && error)).toBeUndefined();
  });

  it("of the line files are time, level, category and one line of text", () => {
    for (const name of ["mcp-gateway.log", "process.log"]) {
      for (const line of (files.get(name) ?? "").trimEnd().split("\n"))
        expect(line).toMatch(/^\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\] \[(DEBUG|INFO|WARN|ERROR)\] \[[^\]]+\] \S/);
    }
    expect(files.get("process.log")).toMatch(/\[INFO\] \[stderr\] asked \{/);
    expect(files.get("mcp-gateway.log")).toMatch(
      /\[process\] tools\/call tell principal=\S+ agent=agent-7 request=\S+: ok in \d+ ms/,
    );
  });

  it("of tools.json are the tools of each server", () => {
    const { servers } = JSON.parse(files.get("tools.json") ?? "") as { servers: Record<string, { name: string }[]> };
    expect(Object.keys(servers).sort()).toEqual(["bearer", "headers", "oauth", "process"]);
    expect(servers["process"]?.map(({ name }) => name)).toEqual(["tell"]);
  });

  it("of gateway.md are blocks to unfold", () => {
    expect(files.get("gateway.md")).toMatch(/<details>\n<summary>✅ process tools\/call tell \(\d+ ms\)<\/summary>/);
  });

  it("are for this user's eyes only", () => {
    const dir = join(sandbox.dir, "logs");
    expect(statSync(dir).mode & 0o777).toBe(0o700);
    for (const name of files.keys()) expect(statSync(join(dir, name)).mode & 0o777, name).toBe(0o600);
  });
});
