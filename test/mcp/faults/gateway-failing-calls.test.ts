// What clients of both eras see, through the whole gateway, of a call that a real MCP server fails at. Each test ends with a
// look for processes that it left.
import { describe, it } from "vitest";
import { ERAS, outcomeOf, stageGateway } from "./gateway-stage.ts";

const PATIENT = { timeout: 20_000 };
const PAIRS = (["stdio", "http"] as const).flatMap((kind) => ERAS.map((era) => ({ kind, era })));

describe.concurrent.each(PAIRS)("a server over $kind, for a client of $era,", ({ kind, era }) => {
  it("that hangs is given up after the tool's time, is told so, and holds up no other server", async ({ expect }) => {
    await using on = await stageGateway(kind);
    const unified = await on.client(era, { path: "/mcp" });
    const hung = unified.call("faulty___hang");
    await expect.poll(on.faulty.heard, PATIENT).toContain("hang");
    expect(outcomeOf(await unified.call("healthy___echo"))).toBe("echo");
    expect(outcomeOf(await unified.call("faulty___echo"))).toBe("echo");
    const answer = await hung;
    expect(answer).toMatchObject({ status: 200, body: { error: { data: { code: "upstream.timeout" } } } });
    await expect.poll(on.faulty.heard, PATIENT).toContain("notifications/cancelled");
  });

  it("is told when a client that waits goes away", async ({ expect }) => {
    await using on = await stageGateway(kind, { declared: { toolTimeoutMs: 0 } });
    const client = await on.client(era);
    const gone = new AbortController();
    const hung = client.call("hang", { signal: gone.signal }).catch(() => "gone");
    await expect.poll(on.faulty.heard, PATIENT).toContain("hang");
    expect(on.faulty.heard()).not.toContain("notifications/cancelled");
    gone.abort();
    expect(await hung).toBe("gone");
    await expect.poll(on.faulty.heard, PATIENT).toContain("notifications/cancelled");
    expect(outcomeOf(await client.call("echo"))).toBe("echo");
  });

  it("that answers garbage fails the call with a stable code and none of its text, and nothing else", async ({
    expect,
  }) => {
    await using on = await stageGateway(kind);
    const [client, other] = await Promise.all([on.client(era), on.client(era, { agentId: "other" })]);
    const answer = await client.call("garbage");
    expect(answer.body.error.data.code).toMatch(/^upstream\.(?:protocol|timeout)$/);
    expect(JSON.stringify(answer.body)).not.toContain("html");
    for (const one of [client, other]) {
      await expect.poll(async () => outcomeOf(await one.call("echo")), PATIENT).toBe("echo");
    }
  });

  it("that answers 100 MiB fails the call, and serves the next one", async ({ expect }) => {
    await using on = await stageGateway(kind, { declared: { toolTimeoutMs: 60_000 } });
    const client = await on.client(era);
    expect(outcomeOf(await client.call("huge"))).toBe("upstream.too_large");
    await expect.poll(async () => outcomeOf(await client.call("echo")), PATIENT).toBe("echo");
  });

  it("that floods a call with notifications costs the call nothing but their loss", async ({ expect }) => {
    await using on = await stageGateway(kind, { declared: { toolTimeoutMs: 60_000 } });
    const client = await on.client(era);
    const flooded = await client.call("flood");
    expect(flooded.body?.result?.content?.[0]?.text ?? flooded.body?.error?.data?.code).toMatch(/^flood$|^upstream\./);
    await expect.poll(async () => outcomeOf(await client.call("echo")), PATIENT).toBe("echo");
  });

  it("whose lists are garbage is missing from the lists of all servers, and only there", async ({ expect }) => {
    await using on = await stageGateway(kind, { state: { lists: "garbage" } });
    const unified = await on.client(era, { path: "/mcp" });
    const { body } = await unified.ask("tools/list");
    const names: string[] = body.result.tools.map(({ name }: { name: string }) => name);
    expect(names).toContain("healthy___echo");
    expect(names.filter((name) => name.startsWith("faulty___"))).toEqual([]);
    expect(outcomeOf(await unified.call("faulty___echo"))).toBe("echo");
  });
});
