import { expect, it } from "vitest";
import { conversation, declaredHttp, declaredStdio } from "../../test/support/fake-mcp-upstream.ts";
import { settle } from "../../test/support/manual-schedule.ts";
import { callOnce, neverAnswers, outcomeOf, registryOf, TOOL_CALL } from "../../test/support/mcp-registry.ts";
import { GatewayError } from "../core/errors.ts";

const refuse = async () => {
  throw new GatewayError("upstream.unreachable", { detail: "connection refused" });
};
const OTHER = { facts: { info: null, capabilities: '{"roots":{}}' } };

it("refuses at once while a server is in back-off, and says when the next try is", async () => {
  const { server, servers, fake, schedule } = registryOf(declaredStdio("files"));
  fake.opening = refuse;
  servers.start();
  await settle();
  expect(server.status()).toMatchObject({
    state: "error",
    lastError: { code: "upstream.unreachable", message: "connection refused" },
    nextTryAtMs: schedule.clock.now() + 1_000,
    tools: null,
  });
  const error = await server.lease(conversation("a")).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: "upstream.unavailable", headers: { "retry-after": "1" } });
  expect(fake.attempts).toBe(1);
});

it("tries a dead server again by itself, later each time, and never twice at once", async () => {
  const { servers, fake, schedule } = registryOf(declaredStdio("files"));
  fake.opening = refuse;
  servers.start();
  servers.start();
  await settle();
  const attempts: number[] = [];
  for (const seconds of [1, 2, 4, 8, 16, 32, 60, 60]) {
    await schedule.pass(seconds * 1_000);
    attempts.push(fake.attempts);
  }
  expect(attempts).toEqual([2, 3, 4, 5, 6, 7, 8, 9]);
});

it("brings a server back without traffic, and tells clients that it has tools now", async () => {
  const { server, servers, fake, schedule, changes } = registryOf(declaredHttp("search"));
  fake.opening = refuse;
  servers.start();
  await settle();
  fake.opening = async () => {};
  await schedule.pass(1_000);
  expect(server.status()).toMatchObject({ state: "running", tools: 1, nextTryAtMs: null });
  expect(changes).toEqual(["tools"]);
  expect((await server.catalog(conversation("a"))).tools).toHaveLength(1);
});

it("is starting until a late server answered, and gives up on it after its time to start", async () => {
  const { server, servers, fake, schedule } = registryOf(declaredStdio("files", 4, { startupTimeoutMs: 10_000 }));
  fake.opening = neverAnswers;
  servers.start();
  await settle();
  expect(server.status().state).toBe("starting");
  await schedule.pass(10_000);
  expect(server.status()).toMatchObject({ state: "error", lastError: { code: "upstream.timeout" } });
  expect(fake.alive).toBe(0);
});

it("keeps a server for everybody when it fails for one caller, and lets that caller wait", async () => {
  const { server, servers, fake, schedule } = registryOf(declaredStdio("files"));
  servers.start();
  await settle();
  fake.opening = ({ facts }) => (facts.capabilities === "{}" ? Promise.resolve() : refuse());
  expect(await outcomeOf(callOnce(server, "bad", OTHER))).toBe("upstream.unreachable");
  expect(await outcomeOf(callOnce(server, "bad", OTHER))).toBe("upstream.unavailable");
  await callOnce(server, "good", { principalUid: "usr_2" });
  expect(server.status().state).toBe("running");
  fake.opening = async () => {};
  await schedule.pass(1_000);
  await callOnce(server, "bad", OTHER);
});

it("finds out for itself when a process cannot be started for a caller", async () => {
  const { server, servers, fake } = registryOf(declaredStdio("files"));
  servers.start();
  await settle();
  await callOnce(server, "a");
  fake.opening = refuse;
  expect(await outcomeOf(callOnce(server, "b", { principalUid: "usr_2" }))).toBe("upstream.unreachable");
  await settle();
  expect(server.status().state).toBe("error");
  await callOnce(server, "a");
});

it("slows down one caller's process that dies as soon as it runs", async () => {
  const { server, fake } = registryOf(declaredStdio("files"));
  await callOnce(server, "a");
  fake.links[0]?.die();
  await settle();
  expect(await outcomeOf(server.lease(conversation("a")))).toBe("upstream.unavailable");
  await callOnce(server, "b", { principalUid: "usr_2" });
});

it("tells clients when a process that was started again has other tools", async () => {
  const { server, servers, fake, schedule, changes } = registryOf(declaredStdio("files"));
  servers.start();
  await settle();
  await callOnce(server, "a");
  await schedule.pass(20_000);
  changes.length = 0;
  fake.links[0]?.die();
  fake.tools = ["echo", "new"];
  await settle();
  await callOnce(server, "a");
  await settle();
  expect(changes).toEqual(["tools"]);
  expect((await server.catalog(conversation("a"))).tools.map(({ name }) => name)).toEqual(["echo", "new"]);
  const { attempts } = fake;
  await schedule.pass(5_000);
  expect(fake.attempts).toBe(attempts);
});

it("tells clients of other tools also when nobody calls", async () => {
  const { server, servers, fake, schedule, changes } = registryOf(declaredStdio("files"));
  servers.start();
  await settle();
  await callOnce(server, "a");
  changes.length = 0;
  fake.links[0]?.die();
  fake.tools = ["new"];
  await schedule.pass(1_000);
  expect(changes).toEqual(["tools"]);
});

it("replaces its own old process when another one died, because only a new one can tell what changed", async () => {
  const { server, servers, fake, schedule, changes } = registryOf(declaredStdio("files"));
  servers.start();
  await settle();
  await callOnce(server, "a", OTHER);
  changes.length = 0;
  fake.tools = ["new"];
  fake.links[1]?.die();
  await schedule.pass(1_000);
  expect(fake.links.map(({ isClosed }) => isClosed)).toEqual([true, true, false]);
  expect(changes).toEqual(["tools"]);
});

it("relays list_changed from any link of the server, at once and not more often than clients can use", async () => {
  const { server, servers, fake, schedule, changes } = registryOf(declaredStdio("files"));
  servers.start();
  await settle();
  await callOnce(server, "a");
  await callOnce(server, "b", OTHER);
  changes.length = 0;
  await schedule.pass(1_000);
  const say = (link: number) =>
    fake.links[link]?.say({ method: "notifications/tools/list_changed", params: undefined });
  fake.tools = ["one"];
  say(1);
  expect(changes).toEqual(["tools"]);
  expect((await server.catalog(conversation("a"))).tools.map(({ name }) => name)).toEqual(["one"]);
  for (let n = 0; n < 1_000; n++) say(0);
  expect(changes).toEqual(["tools"]);
  await schedule.pass(1_000);
  expect(changes).toEqual(["tools", "tools"]);
});

it("answers what a server offers without a link where capabilities are equal, and opens one where not", async () => {
  const { server, servers, fake } = registryOf(declaredHttp("search"));
  servers.start();
  await settle();
  await Promise.all(Array.from({ length: 50 }, (_, n) => server.catalog(conversation(`c${n}`))));
  expect(fake.attempts).toBe(1);
  await Promise.all([server.catalog(conversation("x", OTHER)), server.catalog(conversation("x", OTHER))]);
  await server.catalog(conversation("y", OTHER));
  expect(fake.attempts).toBe(2);
});

it("keeps lists that a server calls private apart by identity", async () => {
  const { server, servers, fake } = registryOf(declaredHttp("search"));
  fake.era = "2026";
  fake.answer = async ({ headers }) => ({
    result: JSON.stringify({
      tools: [{ name: `for-${headers["x-bifrost-agent-id"]}` }],
      cacheScope: "private",
      ttlMs: 60_000,
    }),
  });
  servers.start();
  await settle();
  const toolOf = async (agent: string) => {
    const headers = { "x-bifrost-agent-id": agent };
    return (await server.catalog(conversation(agent, { headers, era: "2026" }))).tools[0]?.name;
  };
  expect(await Promise.all([toolOf("one"), toolOf("two"), toolOf("one")])).toEqual(["for-one", "for-two", "for-one"]);
});

it("notices that an HTTP server is gone by the calls that fail, and that it is back without any", async () => {
  const { server, servers, fake, schedule } = registryOf(declaredHttp("search"));
  servers.start();
  await settle();
  const link = await callOnce(server, "a");
  fake.answer = refuse;
  fake.opening = refuse;
  await schedule.pass(1_000);
  expect(await outcomeOf(link.request(TOOL_CALL))).toBe("upstream.unreachable");
  await settle();
  expect(server.status().state).toBe("error");
  expect(await outcomeOf(server.lease(conversation("a")))).toBe("upstream.unavailable");
  expect((await server.catalog(conversation("a"))).tools).toHaveLength(1);
  fake.answer = null;
  fake.opening = async () => {};
  await schedule.pass(1_000);
  await callOnce(server, "a");
});

it("notices that an HTTP server is gone by its pings, without calls", async () => {
  const { server, servers, fake, schedule } = registryOf(declaredHttp("search"));
  servers.start();
  await settle();
  fake.answer = neverAnswers;
  fake.opening = refuse;
  await schedule.pass(600_000);
  expect(server.status().state).toBe("running");
  await schedule.pass(10_000);
  expect(server.status()).toMatchObject({ state: "error", lastError: { code: "upstream.timeout" } });
});

it("pings idle sessions so that the server keeps them, and does not take a ping for use", async () => {
  const { server, servers, fake, schedule } = registryOf(declaredHttp("search"));
  servers.start();
  await settle();
  await callOnce(server, "session");
  await callOnce(server, "shared", { shared: true });
  await schedule.pass(1_200_000);
  const pings = fake.links.map(({ requests }) => requests.filter(({ method }) => method === "ping").length);
  expect(pings).toEqual([2, 2, 0]);
  expect(fake.links.map(({ isClosed }) => isClosed)).toEqual([false, false, true]);
});

it("opens its own link to an HTTP server again after it ended, and reads the lists anew", async () => {
  const { server, servers, fake, schedule, changes } = registryOf(declaredHttp("search"));
  servers.start();
  await settle();
  changes.length = 0;
  fake.links[0]?.die();
  fake.tools = ["new"];
  await schedule.pass(2_000);
  expect(fake.attempts).toBe(2);
  expect(changes).toEqual(["tools"]);
  expect(server.status()).toMatchObject({ state: "running", tools: 1, links: 1 });
});

it("learns which era a server does not speak, and then hands its process over to clients of that era too", async () => {
  const { server, servers, fake } = registryOf(declaredStdio("files"));
  fake.era = "2026";
  servers.start();
  await settle();
  await callOnce(server, "a", { era: "2025" });
  expect(fake.attempts).toBe(1);
});

it("asks a server once for an era that it does not speak", async () => {
  const { server, fake } = registryOf(declaredStdio("files"));
  fake.era = "2025";
  await callOnce(server, "a", { era: "2026" });
  await callOnce(server, "b", { era: "2026" });
  expect(fake.links.map(({ options }) => options.era)).toEqual(["2026", "2025"]);
});

it("gives a client a link of its own era where the server may speak it", async () => {
  const { server, servers, fake } = registryOf(declaredStdio("files"));
  servers.start();
  await settle();
  expect((await callOnce(server, "a", { era: "2026" })).era).toBe("2026");
  expect(fake.attempts).toBe(2);
});

it("lets the gateway be closed while it looks for a dead server", async () => {
  const { server, servers, fake, schedule } = registryOf(declaredHttp("search"));
  fake.opening = refuse;
  servers.start();
  await settle();
  fake.opening = neverAnswers;
  await schedule.pass(1_000);
  await servers.close(5_000);
  await settle();
  expect(fake.alive).toBe(0);
  expect(schedule.waiting()).toBe(0);
  expect(server.status().state).toBe("stopped");
});
