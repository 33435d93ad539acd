import { once } from "node:events";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { json } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { toNodeHandler } from "@modelcontextprotocol/node";
import { createMcpHandler, McpServer } from "@modelcontextprotocol/server";
import { z } from "zod";

/** A server from npm that keeps notes in a file. */
const MEMORY_SERVER = join(
  dirname(dirname(fileURLToPath(import.meta.url))),
  "node_modules/@modelcontextprotocol/server-memory/dist/index.js",
);

interface ToolCall {
  readonly method?: string;
  readonly params?: { readonly name?: string };
}

export interface WeatherServer {
  readonly url: string;
  /** The headers of everything received so far, in order. */
  readonly seen: readonly IncomingMessage["headers"][];
  close(): Promise<void>;
}

/** A small MCP server over streamable HTTP, on the official SDK, which tells through `print` who called a tool. */
export async function startWeatherServer(print: (line: string) => void): Promise<WeatherServer> {
  const seen: IncomingMessage["headers"][] = [];
  const handler = createMcpHandler(() => weatherServer());
  const serve = toNodeHandler(handler);
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const { method = "GET", url = "/", headers } = request;
    seen.push(headers);
    const body = method === "POST" ? ((await json(request)) as ToolCall) : undefined;
    if (body?.method === "tools/call") {
      print(`POST ${url} tools/call ${String(body.params?.name)}`);
      for (const name of ["authorization", "x-bifrost-key-id", "x-bifrost-agent-id"]) {
        const value = headers[name];
        if (value !== undefined) print(`  ${name}: ${String(value)}`);
      }
    }
    await serve(
      { method, url, headers, [Symbol.asyncIterator]: () => request[Symbol.asyncIterator]() },
      response,
      body,
    );
  };
  const server = createServer((request, response) => void answer(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    seen,
    async close() {
      await handler.close();
      server.close();
      server.closeAllConnections();
    },
  };
}

function weatherServer(): McpServer {
  const server = new McpServer({ name: "weather", version: "1.0.0" });
  server.registerTool(
    "forecast",
    { description: "Tomorrow's weather", inputSchema: z.object({ city: z.string() }) },
    ({ city }) => ({ content: [{ type: "text", text: `Tomorrow in ${city}: sunny, 21 °C.` }] }),
  );
  server.registerTool("delete_station", { description: "Not for agents", inputSchema: z.object({}) }, () => ({
    content: [{ type: "text", text: "deleted" }],
  }));
  return server;
}

/** Writes a file with both servers, as desktop clients have it, into `dir`; returns its path. */
export async function writeMcpConfig(dir: string, weatherUrl: string): Promise<string> {
  const path = join(dir, "mcp.json");
  const config = {
    mcpServers: {
      notes: {
        command: process.execPath,
        args: [MEMORY_SERVER],
        env: { MEMORY_FILE_PATH: join(dir, "notes.jsonl") },
      },
      weather: { url: weatherUrl },
    },
  };
  await writeFile(path, JSON.stringify(config, null, 2), { mode: 0o600 });
  return path;
}

/** How many processes have `dir` in their environment: the gateway and the server that it runs. Zero where there is no /proc. */
export async function processesOf(dir: string): Promise<number> {
  const ids = await readdir("/proc").catch(() => []);
  const found = ids
    .filter((id) => /^\d+$/.test(id))
    .map((id) => readFile(`/proc/${id}/environ`, "utf8").catch(() => ""));
  return (await Promise.all(found)).filter((environment) => environment.includes(dir)).length;
}
