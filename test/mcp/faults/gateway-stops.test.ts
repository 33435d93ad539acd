// The end of a real gateway process with MCP servers behind it, in order or not, and its return.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "vitest";
import { createSandbox } from "../../cli/support.ts";
import { type FaultyUpstream, noneAlive, startFaulty } from "../../support/faulty-upstream.ts";
import { askRaw, comparable, madeUp } from "../../support/raw-mcp.ts";
import { connectRaw, ERAS, outcomeOf } from "./gateway-stage.ts";

const PATIENT = { timeout: 20_000 };
const AGENT = "the only agent of this gateway";

/** `bifrost serve` with one stdio server that fails on command. */
async function serve() {
  const faulty = await startFaulty("stdio");
  const sandbox = createSandbox();
  const config = join(sandbox.dir, "bifrost.json");
  writeFileSync(config, JSON.stringify({ gateway: { agentId: AGENT }, mcpServers: { faulty: commandOf(faulty) } }));
  const start = () => sandbox.serve(["--config", config], { BIFROST_SHUTDOWN_TIMEOUT: "20s" });
  return {
    faulty,
    start,
    async [Symbol.asyncDispose]() {
      await sandbox.remove();
      await faulty.close();
      // The gateway, and what watches over its processes.
      await noneAlive(sandbox.dir);
    },
  };
}

function commandOf({ transport }: FaultyUpstream) {
  if (transport.kind !== "stdio") throw new Error("not a stdio server");
  return { command: transport.command, args: transport.args };
}

describe.concurrent.each(ERAS)("a gateway that is stopped in the middle of a call, with a client of %s,", (era) => {
  it("by SIGTERM delivers the reply, exits with 0 and leaves no process", async ({ expect }) => {
    await using on = await serve();
    const gateway = await on.start();
    const client = await connectRaw(gateway.url, AGENT, era);
    expect(outcomeOf(await client.call("child"))).toMatch(/^\d+$/);
    const stream = await client.listen();
    const call = client.call("wait");
    await expect.poll(on.faulty.heard, PATIENT).toContain("wait");
    expect(on.faulty.alive().length).toBeGreaterThanOrEqual(2);
    gateway.child.kill("SIGTERM");
    // What would stay open for ever is ended first: the gateway has understood.
    await stream.ended;
    on.faulty.release();
    expect(outcomeOf(await call)).toBe("waited");
    expect(await gateway.exited).toBe(0);
    await expect.poll(on.faulty.alive, PATIENT).toEqual([]);
  });

  it("by SIGKILL leaves no process of a server, and none of its children", async ({ expect }) => {
    await using on = await serve();
    const gateway = await on.start();
    const client = await connectRaw(gateway.url, AGENT, era);
    expect(outcomeOf(await client.call("child"))).toMatch(/^\d+$/);
    const call = client.call("hang").catch(() => "cut off");
    await expect.poll(on.faulty.heard, PATIENT).toContain("hang");
    gateway.child.kill("SIGKILL");
    expect(await call).toBe("cut off");
    await gateway.exited;
    await expect.poll(on.faulty.alive, PATIENT).toEqual([]);
  });
});

describe.concurrent("a gateway that is started again on the same database", () => {
  it.each(["SIGTERM", "SIGKILL"] as const)("after %s goes on with the sessions of its clients", async (signal) => {
    await using on = await serve();
    const before = await on.start();
    const client = await connectRaw(before.url, AGENT, "2025");
    const { headers } = client;
    await client.call("echo");
    await before.stop(signal);
    const after = await on.start();
    const ask = (id: string | undefined, more = {}, path = "/mcp/faulty") =>
      askRaw(after.url, "POST", path, {
        headers: { ...headers, "mcp-session-id": id, ...more },
        body: { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "echo", arguments: {} } },
      });
    const id = headers["mcp-session-id"] ?? "";
    const unknown = comparable(await ask(madeUp("nobody's", id.length)));
    const foreign = [
      await ask(`${id.slice(0, -2)}${id.endsWith("AA") ? "BB" : "AA"}`),
      await ask(id.slice(0, -1)),
      await ask(`${id}A`),
      await ask(id, { "x-agent-id": "other" }),
    ];
    const seen = foreign.map(comparable).filter((answer) => answer !== unknown);
    if (seen.length > 0) throw new Error(`told apart from an unknown id: ${seen.join("\n")} ${unknown}`);
    if (outcomeOf(await ask(id)) !== "echo") throw new Error("its own session is not known any more");
    await after.stop();
  });
});
