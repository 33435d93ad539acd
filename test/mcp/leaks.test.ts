import { request, ServerResponse } from "node:http";
import { queryObjects } from "node:v8";
import { expect, it } from "vitest";
import { startMcpEndpoint, type TestMcpEndpoint } from "../support/mcp-endpoint.ts";

const MODERN_META = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientInfo": { name: "leaks", version: "1" },
  "io.modelcontextprotocol/clientCapabilities": {},
};

/** Some of it takes several collections: a signal is held weakly. */
const POLL = { timeout: 20_000, interval: 100 };

/** What each message has of its own. Counting collects garbage first. */
const PER_MESSAGE = [ServerResponse, AbortController];
/** Open connections keep what their last message had. */
const KEPT = 20;

function alive(): number {
  return PER_MESSAGE.reduce((sum, made) => sum + queryObjects(made, { format: "count" }), 0);
}

function message({ secrets }: TestMcpEndpoint, method: string, params: Record<string, unknown>, modern: boolean) {
  const name = typeof params["name"] === "string" ? { "mcp-name": params["name"] } : {};
  const body = { jsonrpc: "2.0", id: 1, method, params: modern ? { ...params, _meta: MODERN_META } : params };
  const headers = {
    authorization: `Bearer ${secrets.alice}`,
    "content-type": "application/json",
    ...(modern ? { "mcp-protocol-version": "2026-07-28", "mcp-method": method, ...name } : {}),
  };
  return { method: "POST", headers, body: JSON.stringify(body) };
}

/** Sends a message and leaves as soon as `started` resolves. */
async function abandon(url: string, { method, headers, body }: ReturnType<typeof message>, started: Promise<void>) {
  const outgoing = request(url, { method, headers });
  const left = new Promise<void>((resolve) => outgoing.on("error", () => {}).on("close", resolve));
  outgoing.end(body);
  await started;
  outgoing.destroy();
  await left;
}

it.each([false, true])("nothing of it outlives an answered or refused message (2026 era: %s)", async (modern) => {
  await using gateway = await startMcpEndpoint();
  const before = alive();
  for (let round = 0; round < 50; round++) {
    for (const init of [
      message(gateway, "tools/list", {}, modern),
      message(gateway, "tools/call", { name: "list_services", arguments: {} }, modern),
      message(gateway, "tools/call", { name: "request_key", arguments: {} }, modern),
      message(gateway, "tools/call", { name: "nothing", arguments: {} }, modern),
      message(gateway, "resources/list", {}, modern),
      message(gateway, "notifications/cancelled", { requestId: 1 }, modern),
    ]) {
      const reply = await fetch(gateway.url, init);
      await reply.text();
    }
  }
  await expect.poll(alive, POLL).toBeLessThanOrEqual(before + KEPT);
});

it.each([false, true])(
  "nothing of a call outlives a client that left while its tool ran (2026 era: %s)",
  async (modern) => {
    let onStart = () => {};
    const stuck: PromiseWithResolvers<void>[] = [];
    await using gateway = await startMcpEndpoint({
      beforeIssue: () => {
        const wait = Promise.withResolvers<void>();
        stuck.push(wait);
        onStart();
        return wait.promise;
      },
    });
    const before = alive();
    for (let round = 0; round < 60; round++) {
      const started = new Promise<void>((resolve) => (onStart = resolve));
      const call = message(gateway, "tools/call", { name: "request_key", arguments: { service_name: "echo" } }, modern);
      await abandon(gateway.url, call, started);
    }
    // The tool's own work may go on (a key that is being written is written); its end must free everything.
    for (const wait of stuck.splice(0)) wait.resolve();
    await expect.poll(alive, POLL).toBeLessThanOrEqual(before + KEPT);
  },
);
