// An MCP server of the 2025 era that fails on command, over stdio or, where a port is given, over streamable HTTP. What it
// is comes from `state.json` in the folder of its first argument; it writes the ids of its processes into `pids` there.
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { appendFileSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";

const [folder, port] = process.argv.slice(2);
const state = JSON.parse(readFileSync(join(folder, "state.json"), "utf8"));
const note = (pid) => appendFileSync(join(folder, "pids"), `${pid}\n`);
note(process.pid);

const forever = () => void setInterval(() => undefined, 1_000);
const text = (value) => ({ content: [{ type: "text", text: String(value) }] });
const GARBAGE = "<html>this is no JSON</html>";

/** Results by tool; undefined answers nothing, a string is written as it is. */
const tools = {
  echo: () => text("echo"),
  pid: () => text(process.pid),
  hang: () => undefined,
  die: () => void process.kill(process.pid, "SIGKILL"),
  garbage: () => GARBAGE,
  huge: () => text("x".repeat(100 * 1024 * 1024)),
  child: () => {
    const child = spawn(process.execPath, ["-e", "setInterval(() => undefined, 1000)"], { stdio: "ignore" });
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

function reply(message) {
  const result = answer(message);
  if (result === undefined || typeof result === "string") return result;
  return JSON.stringify({ jsonrpc: "2.0", id: message.id, result });
}

function serveStdio() {
  createInterface({ input: process.stdin }).on("line", (line) => {
    const message = JSON.parse(line);
    if (message.id === undefined) return;
    const body = reply(message);
    if (body !== undefined) process.stdout.write(`${body}\n`);
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
      return void response.writeHead(200).end();
    }
    let body = "";
    for await (const chunk of request) body += chunk;
    const message = JSON.parse(body);
    if (message.id === undefined) return void response.writeHead(202).end();
    const headers = { "content-type": "application/json" };
    if (message.method === "initialize") {
      headers["mcp-session-id"] = randomUUID();
      sessions.add(headers["mcp-session-id"]);
    }
    const answered = reply(message);
    if (answered !== undefined) response.writeHead(200, headers).end(answered);
  });
  server.listen(Number(port), "127.0.0.1", () => process.stdout.write(`${server.address().port}\n`));
}

if (state.start === "exit") process.exitCode = 1;
else if (state.start === "hang") forever();
else if (port === undefined) serveStdio();
else serveHttp();
