// What clients of both eras see, through the whole gateway, of a real MCP server that dies, does not start, or comes back as
// another one. Each test ends with a look for processes that it left.
import { describe, it } from "vitest";
import { ERAS, outcomeOf, stageGateway } from "./gateway-stage.ts";

const PATIENT = { timeout: 20_000 };
const KINDS = ["stdio", "http"] as const;

describe.concurrent.each(ERAS)("a stdio server, for a client of %s,", (era) => {
  it("that is killed in mid-call fails the call with a stable code, and the next call has a new process", async ({
    expect,
  }) => {
    await using on = await stageGateway("stdio");
    const client = await on.client(era);
    const first = outcomeOf(await client.call("pid"));
    const answer = await client.call("die");
    expect(answer).toMatchObject({ status: 200, body: { error: { code: expect.any(Number) } } });
    expect(outcomeOf(answer)).toMatch(/^upstream\./);
    await expect.poll(async () => outcomeOf(await client.call("pid")), PATIENT).toMatch(/^\d+$/);
    expect(outcomeOf(await client.call("pid"))).not.toBe(first);
  });

  it("that cannot be started degrades only itself, and comes back by itself", async ({ expect }) => {
    await using on = await stageGateway("stdio", { state: { start: "exit" } });
    const unified = await on.client(era, { path: "/mcp" });
    await expect.poll(() => on.stateOf("faulty"), PATIENT).toBe("error");
    expect(outcomeOf(await unified.call("faulty___echo"))).toMatch(/^upstream\.(?:unavailable|start_failed)$/);
    expect(outcomeOf(await unified.call("healthy___echo"))).toBe("echo");
    on.faulty.next({ start: "normal" });
    await expect.poll(() => on.stateOf("faulty"), PATIENT).toBe("running");
    await expect.poll(async () => outcomeOf(await unified.call("faulty___echo")), PATIENT).toBe("echo");
  });
});

describe.concurrent.each(ERAS)("an HTTP server, for a client of %s,", (era) => {
  it("that dies in mid-call and then refuses connections degrades only itself, and comes back by itself", async ({
    expect,
  }) => {
    await using on = await stageGateway("http", { declared: { toolTimeoutMs: 0 } });
    const unified = await on.client(era, { path: "/mcp" });
    const hung = unified.call("faulty___hang");
    await expect.poll(on.faulty.heard, PATIENT).toContain("hang");
    await on.faulty.kill();
    expect(outcomeOf(await hung)).toMatch(/^upstream\./);
    await expect.poll(() => on.stateOf("faulty"), PATIENT).toBe("error");
    expect(outcomeOf(await unified.call("faulty___echo"))).toBe("upstream.unavailable");
    expect(outcomeOf(await unified.call("healthy___echo"))).toBe("echo");
    await on.faulty.start();
    await expect.poll(async () => outcomeOf(await unified.call("faulty___echo")), PATIENT).toBe("echo");
    expect(await on.stateOf("faulty")).toBe("running");
  });
});

describe("an HTTP server that nobody calls", () => {
  it("is known to be down soon after it died, and to be back soon after it came back", async ({ expect }) => {
    await using on = await stageGateway("http");
    await expect.poll(() => on.stateOf("faulty"), PATIENT).toBe("running");
    await on.faulty.kill();
    await expect.poll(() => on.stateOf("faulty"), PATIENT).toBe("error");
    await on.faulty.start();
    await expect.poll(() => on.stateOf("faulty"), PATIENT).toBe("running");
  });
});

const PLACES = KINDS.flatMap((kind) =>
  ERAS.flatMap((era) => ["/mcp", "/mcp/faulty"].map((path) => ({ kind, era, path }))),
);

describe.concurrent.each(PLACES)("a client of $era that listens on $path", ({ kind, era, path }) => {
  it(`hears that a ${kind} server came back with other tools, and gets them`, async ({ expect }) => {
    await using on = await stageGateway(kind);
    const client = await on.client(era, { path });
    const name = (tool: string) => (path === "/mcp" ? `faulty___${tool}` : tool);
    expect(outcomeOf(await client.call(name("echo")))).toBe("echo");
    const toolsOf = async () => {
      const { body } = await client.ask("tools/list");
      return body.result?.tools.map((tool: { name: string }) => tool.name) ?? [];
    };
    expect(await toolsOf()).toContain(name("echo"));
    const stream = await client.listen();
    const changes = () => stream.messages.filter(({ method }) => method === "notifications/tools/list_changed").length;
    if (era === "2026") await expect.poll(() => stream.messages.length).toBeGreaterThan(0);
    const before = changes();
    on.faulty.next({ tools: ["later"] });
    if (kind === "stdio") for (const pid of on.faulty.alive()) process.kill(pid, "SIGKILL");
    else {
      await on.faulty.kill();
      await on.faulty.start();
    }
    await expect.poll(changes, PATIENT).toBeGreaterThan(before);
    await expect.poll(toolsOf, PATIENT).toContain(name("later"));
    expect(await toolsOf()).not.toContain(name("echo"));
    expect(outcomeOf(await client.call(name("later")))).toBe("later");
    stream.close();
    await stream.ended;
  });
});
