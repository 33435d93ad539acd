import { once } from "node:events";
import { describe, expect, it } from "vitest";
import {
  ALL,
  HELLO_2026,
  openPost,
  post,
  readStream,
  type ScriptedBackend,
  startModernClients,
} from "../../../test/support/modern-clients.ts";
import { GatewayError } from "../../core/errors.ts";
import type { ServerNotification, WatchFilter } from "../../mcp-links/types.ts";

/** A backend that agrees to `granted`, and the watches it was asked for. */
function watched(granted: WatchFilter | Promise<WatchFilter>) {
  const watches: {
    readonly filter: WatchFilter;
    notify(n: ServerNotification): void;
    readonly closed: Promise<void>;
  }[] = [];
  const script: ScriptedBackend = {
    hello: async () => HELLO_2026,
    watch(filter, notify) {
      const closed = Promise.withResolvers<void>();
      watches.push({ filter, notify, closed: closed.promise });
      return { granted: Promise.resolve(granted), change: async () => {}, close: () => closed.resolve() };
    },
  };
  return { script, watches };
}

const mark = (id: unknown) => ({ "io.modelcontextprotocol/subscriptionId": id });
const TOOLS = { method: "notifications/tools/list_changed", params: undefined };
const everything = { toolsListChanged: true, promptsListChanged: true, resourcesListChanged: true };

describe("subscriptions/listen", () => {
  it("is acknowledged first with what the server agreed to, and carries that only, marked with its id", async () => {
    const granted = Promise.withResolvers<WatchFilter>();
    const { script, watches } = watched(granted.promise);
    await using gateway = await startModernClients(script);
    const notifications = { toolsListChanged: true, promptsListChanged: true, resourceSubscriptions: ["a://b"] };
    const opening = openPost(gateway.port, "subscriptions/listen", { notifications }, { id: "sub" });
    while (watches.length === 0) await new Promise(setImmediate);
    const [watch] = watches;
    expect(watch?.filter).toEqual({ tools: true, prompts: true, resources: false, resourceUris: ["a://b"] });
    // Before the server answered: it waits for the acknowledgment.
    watch?.notify(TOOLS);
    granted.resolve({ tools: true, prompts: false, resources: true, resourceUris: ["a://b", "x://y"] });
    const response = await opening;
    expect(response.headers["content-type"]).toBe("text/event-stream");
    const stream = readStream(response);
    const next = async () => (await stream.next()).value;
    expect(await next()).toEqual({
      jsonrpc: "2.0",
      method: "notifications/subscriptions/acknowledged",
      params: { notifications: { toolsListChanged: true, resourceSubscriptions: ["a://b"] }, _meta: mark("sub") },
    });
    expect(await next()).toMatchObject({ method: TOOLS.method, params: { _meta: mark("sub") } });
    for (const method of [
      "notifications/prompts/list_changed",
      "notifications/resources/list_changed",
      "notifications/message",
    ])
      watch?.notify({ method, params: undefined });
    watch?.notify({ method: "notifications/resources/updated", params: '{"uri":"x://y"}' });
    watch?.notify({ method: "notifications/resources/updated", params: '{"uri":"a://b/part","_meta":{"k":1}}' });
    expect(await next()).toMatchObject({ params: { uri: "a://b/part", _meta: { k: 1, ...mark("sub") } } });
    response.destroy();
    await watch?.closed;
  });

  it("ends with its result when the gateway stops", async () => {
    const { script, watches } = watched(ALL);
    await using gateway = await startModernClients(script);
    const stream = readStream(
      await openPost(gateway.port, "subscriptions/listen", { notifications: everything }, { id: 0 }),
    );
    await stream.next();
    gateway.clients.close();
    expect((await stream.next()).value).toEqual({
      jsonrpc: "2.0",
      id: 0,
      result: {
        resultType: "complete",
        _meta: { ...mark(0), "io.modelcontextprotocol/serverInfo": { name: "fixture", version: "1.2.3" } },
      },
    });
    expect((await stream.next()).done).toBe(true);
    await watches[0]?.closed;
    const refused = await post(gateway.port, "subscriptions/listen", { notifications: everything });
    expect(refused.status).toBe(503);
  });

  it("to which the server agrees in nothing is acknowledged and over", async () => {
    const { script, watches } = watched({ tools: false, prompts: false, resources: false, resourceUris: [] });
    await using gateway = await startModernClients(script);
    const { messages } = await post(gateway.port, "subscriptions/listen", { notifications: everything });
    expect(messages).toMatchObject([
      { params: { notifications: {}, _meta: mark(1) } },
      { id: 1, result: { resultType: "complete" } },
    ]);
    await watches[0]?.closed;
  });

  it.each([
    undefined,
    null,
    [],
    { toolsListChanged: "yes" },
    { resourceSubscriptions: "a" },
    { resourceSubscriptions: [1] },
  ])("without a proper filter is -32602: %j", async (notifications) => {
    await using gateway = await startModernClients({});
    expect((await post(gateway.port, "subscriptions/listen", { notifications })).messages[0]?.error?.code).toBe(-32602);
  });

  it("that the server cannot give is answered like any request", async () => {
    await using gateway = await startModernClients({
      ...watched(ALL).script,
      watch: () => ({
        granted: Promise.reject(new GatewayError("upstream.timeout")),
        change: async () => {},
        close: () => {},
      }),
    });
    const { messages } = await post(gateway.port, "subscriptions/listen", { notifications: everything });
    expect(messages[0]?.error).toMatchObject({ data: { code: "upstream.timeout" } });
  });

  it("is bounded for a principal, and a stream that ended makes room", async () => {
    const { script, watches } = watched(ALL);
    await using gateway = await startModernClients(script, { limits: { listensPerPrincipal: 1 } });
    const open = async (principal: string) =>
      openPost(
        gateway.port,
        "subscriptions/listen",
        { notifications: everything },
        { headers: { "x-test-principal": principal } },
      );
    const first = await open("usr_1");
    await readStream(await open("usr_2")).next();
    const refused = await post(gateway.port, "subscriptions/listen", { notifications: everything });
    expect(refused.messages[0]?.error).toMatchObject({ data: { code: "limit.concurrency" } });
    first.destroy();
    await watches[0]?.closed;
    expect((await readStream(await open("usr_1")).next()).value).toHaveProperty("method");
  });

  it("ends with the caller's key", async () => {
    const { script, watches } = watched(ALL);
    await using gateway = await startModernClients(script);
    const stream = readStream(await openPost(gateway.port, "subscriptions/listen", { notifications: everything }));
    await stream.next();
    gateway.revoke("usr_1");
    expect((await stream.next()).value).toMatchObject({ id: 1, error: { data: { code: "key.revoked" } } });
    await watches[0]?.closed;
    expect(gateway.watches.size).toBe(0);
  });

  it("says now and then that it is alive", async () => {
    const { script } = watched(ALL);
    await using gateway = await startModernClients(script, { limits: { keepAliveMs: 1 } });
    const response = await openPost(gateway.port, "subscriptions/listen", { notifications: everything });
    let text = "";
    while (!text.includes("\n\n:\n\n")) text += String((await once(response, "data"))[0]);
    response.destroy();
  });

  it("of a client that does not read is cut off", async () => {
    const { script, watches } = watched(ALL);
    await using gateway = await startModernClients(script, { limits: { maxBufferedBytes: 16 * 1024 } });
    const response = await openPost(gateway.port, "subscriptions/listen", { notifications: everything });
    response.on("error", () => {}).pause();
    let cut = false;
    void watches[0]?.closed.then(() => (cut = true));
    while (!cut) {
      watches[0]?.notify({ ...TOOLS, params: JSON.stringify({ x: "x".repeat(64 * 1024) }) });
      await new Promise(setImmediate);
    }
    response.destroy();
  });
});
