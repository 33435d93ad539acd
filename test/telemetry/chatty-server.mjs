// An MCP server that tells all it knows: its arguments, its environment and what it is asked, in results and on stderr.
import { createInterface } from "node:readline";

const known = JSON.stringify({ args: process.argv.slice(2), env: process.env });
process.stderr.write(`started with ${known}\n`);

createInterface(process.stdin).on("line", (line) => {
  process.stderr.write(`asked ${line}\n`);
  const { id, method } = JSON.parse(line);
  if (id === undefined) return;
  const results = {
    initialize: {
      protocolVersion: "2025-11-25",
      capabilities: { tools: {} },
      serverInfo: { name: "chatty", version: "1" },
    },
    "tools/list": { tools: [{ name: "tell", description: `Tells ${known}`, inputSchema: { type: "object" } }] },
    "tools/call": { content: [{ type: "text", text: `${known} ${line} ${btoa(`user:${process.env["API_TOKEN"]}`)}` }] },
    ping: {},
  };
  const result = results[method];
  const answer = result ? { result } : { error: { code: -32601, message: `no ${method}; ${known}` } };
  process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", id, ...answer })}\n`);
});
