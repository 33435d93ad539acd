// Attack: a key is taken away, and what it opened over MCP before goes on for whoever has it.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connectRaw, type FaultyGateway, stageGateway } from "../mcp/faults/gateway-stage.ts";
import { addUser } from "../support/management.ts";
import { askRaw, request2025 } from "../support/raw-mcp.ts";

const PATIENT = { timeout: 20_000 };

let on: FaultyGateway;
beforeAll(async () => {
  on = await stageGateway("http", { declared: { toolTimeoutMs: 0 } });
});
afterAll(() => on[Symbol.asyncDispose]());

const as = () => on.gateway.owner.token;

async function issue(id: string, more: Record<string, unknown> = {}): Promise<string> {
  const body = { id, grants: [{ mcp_server: "faulty" }], scope: "write", rate_limit: 1_000, ...more };
  const issued = await on.gateway.call("POST", "/v1/keys", { as: as(), body });
  expect(issued.status, issued.body.error).toBe(201);
  return issued.body.virtual_key;
}

/** A call is over for its server when it hears that, or when the session ends in which it was made. */
const endings = () =>
  on.faulty.heard().filter((line) => line === "notifications/cancelled" || line === "session ended").length;

/** Opens all that can be held open, in both eras. */
async function holdOpen(secret: string) {
  const [older, newer] = await Promise.all(
    (["2025", "2026"] as const).map((era) => connectRaw(on.gateway.url, `Bearer ${secret}`, era)),
  );
  if (!older || !newer) throw new Error("unreachable");
  const streams = await Promise.all([older.listen(), newer.listen()]);
  await expect.poll(() => streams[1].messages.length, PATIENT).toBe(1);
  return {
    older,
    streams,
    call: () => Promise.all([older.call("hang"), newer.call("hang")]),
    /** What a key opened is of no use any more: refused as it is, and unknown to everybody else. */
    async expectGone(code: string) {
      await Promise.all(streams.map(({ ended }) => ended));
      const again = await older.ask("tools/list");
      expect([again.status, again.body.error.data.code]).toEqual([401, code]);
      const get = await askRaw(on.gateway.url, "GET", older.path, { headers: older.headers });
      expect(get.status).toBe(401);
      const headers = { ...older.headers, authorization: `Bearer ${on.gateway.owner.apiKey}` };
      const stolen = await askRaw(on.gateway.url, "POST", older.path, { headers, body: request2025(1, "tools/list") });
      expect(stolen.status).toBe(404);
    },
  };
}

async function untilHanging(count: number): Promise<void> {
  await expect.poll(() => on.faulty.heard().filter((line) => line === "hang").length, PATIENT).toBe(count);
}
const hanging = () => on.faulty.heard().filter((line) => line === "hang").length;

describe("what a key holds open over MCP", () => {
  it("ends when it is revoked: sessions, streams, subscriptions and running calls, whose servers are told", async () => {
    const open = await holdOpen(await issue("revoked"));
    const before = { hanging: hanging(), ended: endings() };
    const calls = open.call();
    await untilHanging(before.hanging + 2);
    expect((await on.gateway.call("DELETE", "/v1/keys/revoked", { as: as() })).status).toBe(204);
    for (const { body } of await calls) expect(JSON.stringify(body)).toContain("key.revoked");
    await open.expectGone("key.revoked");
    await expect.poll(endings, PATIENT).toBeGreaterThanOrEqual(before.ended + 2);
  });

  it("ends when it expires: sessions, streams and subscriptions", async () => {
    const open = await holdOpen(await issue("expires", { ttl_seconds: 2 }));
    await open.expectGone("key.expired");
  });

  it("stays when another key of the same owner is revoked", async () => {
    const secret = await issue("stays");
    await issue("goes");
    const open = await holdOpen(secret);
    expect((await on.gateway.call("DELETE", "/v1/keys/goes", { as: as() })).status).toBe(204);
    expect((await open.older.call("echo")).status).toBe(200);
    for (const stream of open.streams) stream.close();
  });
});

describe("what a user holds open over MCP", () => {
  it("ends when the user is removed", async () => {
    const user = await addUser(on.gateway.call, as(), "member");
    const open = await holdOpen(user.apiKey);
    const before = { hanging: hanging(), ended: endings() };
    const calls = open.call();
    await untilHanging(before.hanging + 2);
    expect((await on.gateway.call("DELETE", `/v1/users/${user.id}`, { as: as() })).status).toBe(204);
    for (const { body } of await calls) expect(body.result).toBeUndefined();
    await Promise.all(open.streams.map(({ ended }) => ended));
    expect((await open.older.ask("tools/list")).status).toBe(401);
    await expect.poll(endings, PATIENT).toBeGreaterThanOrEqual(before.ended + 2);
  });

  it("ends when the user's key is made anew", async () => {
    const user = await addUser(on.gateway.call, as(), "member");
    const open = await holdOpen(user.apiKey);
    expect((await on.gateway.call("POST", `/v1/users/${user.id}/rotate-key`, { as: as() })).status).toBe(200);
    await Promise.all(open.streams.map(({ ended }) => ended));
    expect((await open.older.ask("tools/list")).status).toBe(401);
  });
});
