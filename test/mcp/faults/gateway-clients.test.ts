// What clients that break off cost the gateway and the servers behind it.
import { describe, it } from "vitest";
import { streamRaw } from "../../support/raw-mcp.ts";
import { outcomeOf, type RawClient, stageGateway } from "./gateway-stage.ts";

const PATIENT = { timeout: 20_000 };
const KINDS = ["stdio", "http"] as const;

const progressCall = (client: RawClient) =>
  client.request("tools/call", { name: "progress", arguments: {}, _meta: { progressToken: "p" } });

describe.concurrent.each(KINDS)("a client of 2025 whose event stream breaks in mid-call to a %s server", (kind) => {
  it("comes back with Last-Event-ID and gets the reply, and the server was not disturbed", async ({ expect }) => {
    await using on = await stageGateway(kind, { declared: { toolTimeoutMs: 60_000 } });
    const client = await on.client("2025");
    const { url } = on.gateway;
    const first = await streamRaw(url, "POST", client.path, progressCall(client));
    await expect.poll(() => first.messages.map(({ method }) => method), PATIENT).toEqual(["notifications/progress"]);
    first.close();
    await first.ended;
    const headers = { ...client.headers, "last-event-id": first.lastEventId() };
    const second = await streamRaw(url, "GET", client.path, { headers });
    on.faulty.release();
    await second.ended;
    expect(second.messages.map(({ result }) => result?.content[0].text)).toEqual(["reported"]);
    expect(on.faulty.heard()).not.toContain("notifications/cancelled");
  });

  it("comes back after the reply was sent into the void, and gets it, once", async ({ expect }) => {
    await using on = await stageGateway(kind, { declared: { toolTimeoutMs: 60_000 } });
    const client = await on.client("2025");
    const { url } = on.gateway;
    const first = await streamRaw(url, "POST", client.path, progressCall(client));
    await expect.poll(() => first.messages.length, PATIENT).toBe(1);
    first.close();
    await first.ended;
    on.faulty.release();
    // The server has answered the earlier call when it answers the later one.
    expect(outcomeOf(await client.call("wait"))).toBe("waited");
    const headers = { ...client.headers, "last-event-id": first.lastEventId() };
    await expect
      .poll(async () => {
        const stream = await streamRaw(url, "GET", client.path, { headers });
        await Promise.race([stream.ended, new Promise((resolve) => setTimeout(resolve, 500))]);
        stream.close();
        return stream.messages.map(({ result }) => result?.content[0].text);
      }, PATIENT)
      .toEqual(["reported"]);
  });
});
