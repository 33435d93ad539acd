// What clients cost that never read what they asked for.
import { connect } from "node:net";
import { describe, it } from "vitest";
import { request2026 } from "../../support/raw-mcp.ts";
import { type FaultyGateway, outcomeOf, type RawClient, stageGateway } from "./gateway-stage.ts";

const PATIENT = { timeout: 20_000 };
/** However slow the machine is, it is not the clock that ends a call. */
const UNHURRIED = { declared: { toolTimeoutMs: 60_000 } };
/** What `flood` sends, in bytes. The gateway and the two sockets together hold much less. */
const FLOOD = 4_000 * 10_000;
const MAX_HELD = FLOOD * 0.6;

describe.concurrent("a client that never reads its event stream", () => {
  it("for what belongs to no request (2025) is cut off, and its session goes on", async ({ expect }) => {
    await using on = await stageGateway("stdio", UNHURRIED);
    const client = await on.client("2025");
    const headers = { ...client.headers, accept: "text/event-stream" };
    const unread = sendUnread(on, "GET", client.path, headers, null);
    await unread.begun;
    expect(outcomeOf(await client.call("flood-later"))).toBe("flood-later");
    // What comes while a call is open counts as its own, so that there is none.
    await expect.poll(on.faulty.heard, PATIENT).toContain("flooded");
    expect(await unread.rest()).toBeLessThan(MAX_HELD);
    expect(outcomeOf(await client.call("echo"))).toBe("echo");
  });

  it("of a call (2025) is cut off, and may come back for the reply: the call goes on", async ({ expect }) => {
    await using on = await stageGateway("http", UNHURRIED);
    const client = await on.client("2025");
    const sent = client.request("tools/call", { name: "flood", arguments: {} });
    const unread = sendUnread(on, "POST", client.path, sent.headers, sent.body);
    await unread.begun;
    await expect.poll(on.faulty.heard, PATIENT).toContain("flooded");
    expect(outcomeOf(await client.call("echo"))).toBe("echo");
    expect(await unread.rest()).toBeLessThan(MAX_HELD);
    expect(on.faulty.heard()).not.toContain("notifications/cancelled");
  });

  it("of a call (2026) is cut off, and the server is told that nobody waits", async ({ expect }) => {
    await using on = await stageGateway("http", UNHURRIED);
    const client = await on.client("2026");
    const sent = loudRequest(client, { name: "flood", arguments: {} });
    const unread = sendUnread(on, "POST", client.path, sent.headers, sent.body);
    await unread.begun;
    await expect.poll(on.faulty.heard, PATIENT).toContain("notifications/cancelled");
    expect(outcomeOf(await client.call("echo"))).toBe("echo");
    expect(await unread.rest()).toBeLessThan(MAX_HELD);
  });
});

/** With every log message asked for. */
function loudRequest(client: RawClient, params: { name: string; arguments: object }) {
  const { headers, body } = request2026(1, "tools/call", params);
  const meta = { ...body.params._meta, "io.modelcontextprotocol/logLevel": "debug" };
  return { headers: { ...client.headers, ...headers }, body: { ...body, params: { ...body.params, _meta: meta } } };
}

/** Sends a request, and reads nothing of the answer. */
function sendUnread({ gateway }: FaultyGateway, method: string, path: string, given: object, body: object | null) {
  const { hostname, port, host } = new URL(gateway.url);
  const text = body === null ? "" : JSON.stringify(body);
  const types = { accept: "application/json, text/event-stream", "content-type": "application/json" };
  const headers = { host, ...types, ...given, "content-length": Buffer.byteLength(text) };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const socket = connect(Number(port), hostname).on("error", () => undefined);
  const ended = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.write(`${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n${text}`);
  return {
    /** The answer has begun, and waits; or the connection was cut at once. */
    begun: Promise.race([ended, new Promise<void>((resolve) => socket.once("readable", () => resolve()))]),
    /** What was held for the client, in bytes. Resolves only where the gateway closed the connection. */
    async rest(): Promise<number> {
      let bytes = 0;
      socket.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
      });
      socket.resume();
      await ended;
      return bytes;
    },
  };
}
