// Attack: one principal makes up agent ids, each of which would get a session and a process of its own.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connectRaw, type FaultyGateway, outcomeOf, stageGateway } from "../mcp/faults/gateway-stage.ts";
import { nodeProcess } from "../mcp/fixtures/declare.ts";
import { addUser, type TestUser } from "../support/management.ts";
import { askRaw, beginSession, initializeMessage, request2025 } from "../support/raw-mcp.ts";

const AGENTS = 10_000;
const MAX_SESSIONS = 50;
const MAX_PROCESSES = 4;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

let on: FaultyGateway;
let attacker: TestUser;
let victim: TestUser;
beforeAll(async () => {
  on = await stageGateway("stdio", {
    change: (config) => ({
      ...config,
      gateway: { ...config.gateway, maxSessionsPerPrincipal: MAX_SESSIONS },
      mcpServers: config.mcpServers.map((server) =>
        server.transport.kind === "stdio"
          ? { ...server, transport: { ...nodeProcess(""), ...server.transport, maxProcesses: MAX_PROCESSES } }
          : server,
      ),
    }),
  });
  const add = () => addUser(on.gateway.call, on.gateway.owner.token, "member");
  [attacker, victim] = await Promise.all([add(), add()]);
});
afterAll(() => on[Symbol.asyncDispose]());

const headersOf = (agent: string) => ({ authorization: `Bearer ${attacker.apiKey}`, "x-agent-id": agent });

async function sessionsOf(user: TestUser): Promise<number> {
  const { body } = await on.gateway.call("GET", "/reflect", { as: user.apiKey });
  return (Object.values(body.agents) as { sessions: number }[]).reduce((sum, { sessions }) => sum + sessions, 0);
}

/** Bytes in use after so many agents more said initialize, and called a tool in the other era too. */
async function heapAfter(from: number, to: number): Promise<number> {
  const numbers = Array.from({ length: to - from }, (_, index) => from + index).values();
  const oneByOne = async () => {
    for (const number of numbers) {
      const headers = headersOf(`agent-${number}`);
      const begun = await askRaw(on.gateway.url, "POST", "/mcp", { headers, body: initializeMessage() });
      if (begun.status !== 200) throw new Error(`initialize answered ${begun.status}`);
      const body = request2025(1, "tools/call", { name: "list_services", arguments: {} });
      const called = await askRaw(on.gateway.url, "POST", "/mcp", { headers, body });
      if (called.status !== 200) throw new Error(`a call answered ${called.status}`);
    }
  };
  await Promise.all(Array.from({ length: 8 }, oneByOne));
  collect();
  return process.memoryUsage().heapUsed;
}

describe("10,000 agents of one principal", () => {
  it("have no more sessions than the principal may have, and cost no memory each", { timeout: 120_000 }, async () => {
    const before = await connectRaw(on.gateway.url, `Bearer ${victim.apiKey}`, "2025");
    const early = await heapAfter(0, AGENTS / 5);
    const late = await heapAfter(AGENTS / 5, AGENTS);
    expect(await sessionsOf(attacker)).toBeLessThanOrEqual(MAX_SESSIONS);
    // 8,000 agents later: a kilobyte each would be 8 MiB.
    expect(late - early).toBeLessThan(8 * 1024 * 1024);
    expect(await sessionsOf(victim)).toBe(1);
    expect(outcomeOf(await before.call("echo"))).toBe("echo");
  });

  it("get half of a server's processes at most; another principal gets one at once", { timeout: 60_000 }, async () => {
    let most = 0;
    const calls = Array.from({ length: 12 }, async (_, index) => {
      const path = "/mcp/faulty";
      const body = request2025(1, "tools/call", { name: "hang", arguments: {} });
      const answer = await askRaw(on.gateway.url, "POST", path, { headers: headersOf(`busy-${index}`), body });
      most = Math.max(most, on.faulty.alive().length);
      return outcomeOf(answer);
    });
    const other = await connectRaw(on.gateway.url, `Bearer ${victim.apiKey}`, "2025", { agentId: "mine" });
    expect(outcomeOf(await other.call("echo"))).toBe("echo");
    const outcomes = new Set(await Promise.all(calls));
    expect(outcomes).toEqual(new Set(["upstream.timeout", "upstream.unavailable"]));
    expect(most).toBeLessThanOrEqual(MAX_PROCESSES);
  });

  it("lose only their own idle sessions to the limit, and the client of one of those notices nothing", async () => {
    const first = headersOf("first");
    const id = await beginSession(on.gateway.url, "/mcp", first);
    for (let index = 0; index < MAX_SESSIONS; index++) {
      await beginSession(on.gateway.url, "/mcp", headersOf(`later-${index}`));
    }
    expect(await sessionsOf(attacker)).toBe(MAX_SESSIONS);
    const headers = { ...first, "mcp-session-id": id };
    expect((await askRaw(on.gateway.url, "POST", "/mcp", { headers, body: request2025(1, "ping") })).status).toBe(200);
  });
});
