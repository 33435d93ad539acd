// An MCP server of the 2025 era that fails on command, over stdio or, where a port is given, over streamable HTTP. What it
// is comes from `state.json` in the folder of its first argument; it writes the ids of its processes into `pids` there, and what
// it hears into `heard`. All its processes have the folder among their arguments.
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";

const [folder, port] = process.argv.slice(2);
const state = JSON.parse(readFileSync(join(folder, "state.json"), "utf8"));
const note = (pid) => appendFileSync(join(folder, "pids"), `${pid}\n`);
note(process.pid);
const heard = (what) => appendFileSync(join(folder, "heard"), `${what}\n`);

const forever = () => void setInterval(() => undefined, 1_000);
const text = (value) => ({ content: [{ type: "text", text: String(value) }] });
/** Until the file is there. */
const released = () =>
  new Promise((resolve) => {
    const timer = setInterval(() => {
      if (!existsSync(join(folder, "released"))) return;
      clearInterval(timer);
      resolve();
    }, 20);
  });
const GARBAGE = "<html>this is no JSON</html>";

/** Results by tool, or promises of them; undefined answers nothing, a string is written as it is. */
const tools = {
  echo: () => text("echo"),
  pid: () => text(process.pid),
  hang: () => void heard("hang"),
  wait: async () => {
    heard("wait");
    await released();
    return text("waited");
  },
  progress: async () => {
    await released();
    return text("reported");
  },
  long: () => text("long ".repeat(1_000)),
  busy: () => ({ ...text("API rate limit exceeded"), isError: true }),
  fail: () => ({ ...text("failed as asked"), isError: true }),
  die: () => void process.kill(process.pid, "SIGKILL"),
  garbage: () => GARBAGE,
  huge: () => text("x".repeat(100 * 1024 * 1024)),
  child: () => {
    const child = spawn(process.execPath, ["-e", "setInterval(() => undefined, 1000)", folder], {
      stdio: "ignore",
    });
    note(child.pid);
    return text(child.pid);
  },
};

function answer({ method, params }) {
  switch (method) {
    case "initialize":
      return {
        protocolVersion: "2025-11-25",
        capabilities: { tools: { listChanged: true } },
        serverInfo: { name: "faulty", version: "1" },
      };
    case "tools/list":
      return state.lists === "garbage"
        ? GARBAGE
        : { tools: state.tools.map((name) => ({ name, inputSchema: { type: "object" } })) };
    case "tools/call":
      return (tools[params.name] ?? (() => text(params.name)))();
    default:
      return {};
  }
}

/** Written before the answer of `flood`: many times what any buffer of the gateway may hold. */
function* flood() {
  const data = "x".repeat(10_000);
  for (let i = 0; i < 4_000; i++) {
    yield JSON.stringify({ jsonrpc: "2.0", method: "notifications/message", params: { level: "error", data } });
  }
}

/** What comes before the answer. */
function before({ params }) {
  if (params?.name === "flood") return flood();
  const progressToken = params?._meta?.progressToken;
  if (params?.name !== "progress" || progressToken === undefined) return null;
  return [JSON.stringify({ jsonrpc: "2.0", method: "notifications/progress", params: { progressToken, progress: 1 } })];
}

async function reply(message) {
  const result = await answer(message);
  if (result === undefined || typeof result === "string") return result;
  return JSON.stringify({ jsonrpc: "2.0", id: message.id, result });
}

function serveStdio() {
  createInterface({ input: process.stdin }).on("line", async (line) => {
    const message = JSON.parse(line);
    if (message.id === undefined) return heard(message.method);
    for (const one of before(message) ?? []) process.stdout.write(`${one}\n`);
    const body = await reply(message);
    if (body !== undefined) process.stdout.write(`${body}\n`);
    if (message.params?.name !== "flood-later") return;
    for (const one of flood()) process.stdout.write(`${one}\n`);
    process.stdout.write("\n", () => heard("flooded"));
  });
}

function serveHttp() {
  const sessions = new Set();
  const server = createServer(async (request, response) => {
    const session = request.headers["mcp-session-id"];
    if (session !== undefined && !sessions.has(session)) return void response.writeHead(404).end();
    if (request.method === "GET")
      return void response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
    if (request.method === "DELETE") {
      sessions.delete(session);
      heard("session ended");
      return void response.writeHead(200).end();
    }
    let body = "";
    for await (const chunk of request) body += chunk;
    const message = JSON.parse(body);
    if (message.id === undefined) {
      heard(message.method);
      return void response.writeHead(202).end();
    }
    const earlier = before(message);
    if (earlier) {
      response.writeHead(200, { "content-type": "text/event-stream" });
      for (const one of earlier) response.write(`data: ${one}\n\n`);
      const last = await reply(message);
      return void response.end(`data: ${last}\n\n`, () => heard(`${message.params.name}ed`));
    }
    const headers = { "content-type": "application/json" };
    if (message.method === "initialize") {
      headers["mcp-session-id"] = randomUUID();
      sessions.add(headers["mcp-session-id"]);
    }
    const answered = await reply(message);
    if (answered !== undefined) response.writeHead(200, headers).end(answered);
  });
  server.listen(Number(port), "127.0.0.1", () => process.stdout.write(`${server.address().port}\n`));
}

if (state.start === "exit") process.exitCode = 1;
else if (state.start === "hang") forever();
else if (port === undefined) serveStdio();
else serveHttp();
