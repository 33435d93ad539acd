// An MCP server over streamable HTTP on bare node:http. Arguments: the port, and "modern" to speak the revision of 2026
// as well. Sessions are handed out and not looked at: a real server keeps more, and that is not what is measured.
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { answer } from "./answers.mjs";

const [port, era] = process.argv.slice(2);

createServer({ keepAliveTimeout: 300_000 }, (request, response) => {
  if (request.method !== "POST") {
    // Neither a stream of its own nor sessions that need to be ended.
    response.writeHead(request.method === "DELETE" ? 204 : 405).end();
    return;
  }
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const { reply, method } = answer(Buffer.concat(chunks).toString(), era === "modern");
    if (reply === null) {
      response.writeHead(202, { "content-length": 0 }).end();
      return;
    }
    response.writeHead(200, {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(reply),
      ...(method === "initialize" ? { "mcp-session-id": randomUUID() } : {}),
    });
    response.end(reply);
  });
}).listen(Number(port), "127.0.0.1");
