import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { describe, expect, it } from "vitest";
import {
  ALL,
  HELLO_2025,
  result,
  type ScriptedBackend,
  startModernClients,
} from "../../../test/support/modern-clients.ts";
import { ERAS } from "../../../test/support/mcp-client.ts";
import type { ServerNotification } from "../../mcp-links/types.ts";

const FORM = { message: "Name?", requestedSchema: { type: "object", properties: { name: { type: "string" } } } };

/** The official client, which knows nothing of a bridge, and a server of the 2025 era behind it. */
async function connect(script: ScriptedBackend) {
  const gateway = await startModernClients({ hello: async () => HELLO_2025, ...script });
  const client = new Client(
    { name: "official", version: "1" },
    { versionNegotiation: ERAS["2026-07-28"], capabilities: { elicitation: {}, roots: {} } },
  );
  client.setRequestHandler("elicitation/create", async ({ params }) => ({
    action: "accept",
    content: { name: `answer to ${String(params.message)}` },
  }));
  client.setRequestHandler("roots/list", async () => ({ roots: [{ uri: "file:///here" }] }));
  await client.connect(new StreamableHTTPClientTransport(new URL(`http://127.0.0.1:${gateway.port}/mcp`)));
  return {
    client,
    gateway,
    async [Symbol.asyncDispose]() {
      await client.close();
      await gateway[Symbol.asyncDispose]();
    },
  };
}

describe("the official client", () => {
  it("answers what an older server asks during a call, round by round, and hears its progress", async () => {
    await using both = await connect({
      async request({ method, onNotification, onRequest, params }) {
        if (method === "tools/list") return result({ tools: [{ name: "ask", inputSchema: { type: "object" } }] });
        const never = new AbortController().signal;
        const ask = async (asked: string, given?: unknown) => {
          const reply = await onRequest(
            { method: asked, params: given === undefined ? undefined : JSON.stringify(given) },
            never,
          );
          return "result" in reply ? reply.result : reply.error;
        };
        const first = await ask("elicitation/create", FORM);
        const progressToken: unknown = (JSON.parse(params ?? "{}") as { _meta: Record<string, unknown> })._meta[
          "progressToken"
        ];
        onNotification({ method: "notifications/progress", params: JSON.stringify({ progressToken, progress: 0.25 }) });
        return result({ content: [{ type: "text", text: first + (await ask("roots/list")) }] });
      },
    });
    const progress: number[] = [];
    const answer = await both.client.callTool(
      { name: "ask", arguments: {} },
      { onprogress: (step) => void progress.push(step.progress) },
    );
    expect(JSON.stringify(answer.content)).toContain("answer to Name?");
    expect(JSON.stringify(answer.content)).toContain("file:///here");
    // The client counts the rounds as progress too.
    expect(progress).toContain(0.25);
    expect(both.client.getServerVersion()).toMatchObject({ name: "fixture" });
  });

  it("hears of changes on a subscription", async () => {
    const told: { tell?: (notification: ServerNotification) => void } = {};
    await using both = await connect({
      watch(_filter, tell) {
        told.tell = tell;
        return { granted: Promise.resolve(ALL), change: async () => {}, close: () => {} };
      },
    });
    const changed = Promise.withResolvers<void>();
    both.client.setNotificationHandler("notifications/tools/list_changed", () => changed.resolve());
    const subscription = await both.client.listen({ toolsListChanged: true });
    expect(subscription.honoredFilter).toEqual({ toolsListChanged: true });
    told.tell?.({ method: "notifications/tools/list_changed", params: undefined });
    await changed.promise;
    both.gateway.clients.close();
    expect(await subscription.closed).toBe("graceful");
  });
});
