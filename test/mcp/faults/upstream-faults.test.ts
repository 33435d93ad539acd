import { afterEach, describe, expect, it } from "vitest";
import { outcomeOf } from "../../support/mcp-registry.ts";
import { type FaultStage, stageFaults } from "./stage.ts";

let stage: FaultStage | null = null;
// Every test ends here, and fails here when it leaves a process behind.
afterEach(async () => {
  await stage?.close();
  stage = null;
});

async function staged(...args: Parameters<typeof stageFaults>): Promise<FaultStage> {
  stage = await stageFaults(...args);
  return stage;
}

const isRunning = (on: FaultStage) => expect.poll(() => on.server.status().state, { timeout: 20_000 }).toBe("running");
const isDown = (on: FaultStage) => expect.poll(() => on.server.status().state, { timeout: 20_000 }).toBe("error");
const ECHO = { result: expect.stringContaining("echo") };

describe.each(["stdio", "http"] as const)("a server over %s", (kind) => {
  it("that hangs in a call holds up nobody else, and the call ends with its client", async () => {
    const on = await staged(kind);
    const stop = new AbortController();
    const hung = outcomeOf(on.call("a", "hang", stop.signal));
    expect(await on.call("b", "echo")).toEqual(ECHO);
    expect(await on.call("a", "echo")).toEqual(ECHO);
    stop.abort();
    expect(await hung).not.toBe("fulfilled");
    expect(await on.call("a", "echo")).toEqual(ECHO);
  });

  it("that answers garbage fails that call, not the gateway and not the other conversations", async () => {
    const on = await staged(kind);
    expect(await on.call("b", "echo")).toEqual(ECHO);
    const stop = new AbortController();
    const failed = outcomeOf(on.call("a", "garbage", stop.signal));
    expect(await on.call("b", "echo")).toEqual(ECHO);
    stop.abort();
    expect(await failed).not.toBe("fulfilled");
    expect(await on.call("b", "echo")).toEqual(ECHO);
  });

  it("that answers 100 MiB is cut off, and serves the next call", async () => {
    const on = await staged(kind);
    expect(await outcomeOf(on.call("a", "huge"))).toBe("upstream.too_large");
    await expect.poll(() => outcomeOf(on.call("a", "echo")), { timeout: 20_000 }).toBe("fulfilled");
  });

  it("whose lists are garbage is running, and its tools can be called", async () => {
    const on = await staged(kind, { lists: "garbage" });
    await isRunning(on);
    expect(await on.call("a", "echo")).toEqual(ECHO);
    expect(on.server.status().tools).toBeNull();
  });
});

describe("a stdio server", () => {
  it("that is killed in mid-call fails the call, and the next call starts it again", async () => {
    const on = await staged("stdio");
    expect(await on.call("a", "echo")).toEqual(ECHO);
    expect(await outcomeOf(on.call("a", "die"))).toMatch(/^upstream\./);
    await expect.poll(() => outcomeOf(on.call("a", "echo")), { timeout: 20_000 }).toBe("fulfilled");
    expect(on.alive().length).toBeLessThanOrEqual(2);
  });

  it("takes its children with it when its conversation ends", async () => {
    const on = await staged("stdio");
    await on.call("a", "child");
    expect(on.alive()).toHaveLength(2);
    await on.server.release("a");
    expect(on.alive()).toEqual([]);
  });

  it("tells clients of other tools after it was killed and started again, also when nobody calls", async () => {
    const on = await staged("stdio", { tools: ["echo"] });
    await expect.poll(() => on.tools()).toEqual(["echo"]);
    await on.call("a", "echo");
    await expect.poll(() => on.changes).toContain("tools");
    on.changes.length = 0;
    on.next({ tools: ["echo", "later"] });
    for (const pid of on.alive()) process.kill(pid, "SIGKILL");
    await expect.poll(() => on.changes, { timeout: 20_000 }).toContain("tools");
    expect(await on.tools()).toEqual(["echo", "later"]);
  });

  it("that exits at its start is an error, is tried again, and comes back by itself", async () => {
    const on = await staged("stdio", { start: "exit" });
    await isDown(on);
    expect(await outcomeOf(on.call("a", "echo"))).toBe("upstream.unavailable");
    on.next({ start: "normal" });
    await isRunning(on);
    expect(await on.call("a", "echo")).toEqual(ECHO);
  });

  it("that hangs at its start leaves no process when its time is over", async () => {
    const on = await staged("stdio", { start: "hang" }, 10_000);
    expect(on.server.status().state).toBe("starting");
    await isDown(on);
    expect(on.server.status().lastError?.code).toBe("upstream.timeout");
    on.next({ start: "normal" });
    await isRunning(on);
    await expect.poll(() => on.alive().length, { timeout: 20_000 }).toBe(1);
  });

  it("is not started twice for the first client", async () => {
    const on = await staged("stdio");
    await on.call("a", "echo");
    await isRunning(on);
    expect(on.alive()).toHaveLength(1);
  });
});

describe("an HTTP server", () => {
  it("that is killed in mid-call fails the call, is noticed, and is used again when it is back", async () => {
    const on = await staged("http");
    await isRunning(on);
    const hung = outcomeOf(on.call("a", "hang"));
    await on.call("a", "echo");
    await on.killHttp();
    expect(await hung).toMatch(/^upstream\./);
    await isDown(on);
    expect(await outcomeOf(on.call("a", "echo"))).toBe("upstream.unavailable");
    await on.startHttp();
    await isRunning(on);
    await expect.poll(() => outcomeOf(on.call("a", "echo")), { timeout: 20_000 }).toBe("fulfilled");
  });

  it("tells clients of other tools after it started anew, also when nobody calls", async () => {
    const on = await staged("http", { tools: ["echo"] });
    await expect.poll(() => on.tools()).toEqual(["echo"]);
    await on.call("a", "echo");
    await expect.poll(() => on.changes).toContain("tools");
    on.changes.length = 0;
    await on.killHttp();
    on.next({ tools: ["echo", "later"] });
    await on.startHttp();
    await expect.poll(() => on.changes, { timeout: 20_000 }).toContain("tools");
    await expect.poll(() => on.tools(), { timeout: 20_000 }).toEqual(["echo", "later"]);
    expect(await on.call("a", "echo")).toEqual(ECHO);
  });

  it("that refuses connections is an error, costs callers no wait, and comes back by itself", async () => {
    const on = await staged("http");
    await on.killHttp();
    await expect.poll(() => outcomeOf(on.call("a", "echo")), { timeout: 20_000 }).toBe("upstream.unavailable");
    await on.startHttp();
    await isRunning(on);
    await expect.poll(() => outcomeOf(on.call("a", "echo")), { timeout: 20_000 }).toBe("fulfilled");
  });
});
