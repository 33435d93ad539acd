import { expect, it } from "vitest";
import { conversation, declaredHttp, declaredStdio, type FakeLink } from "../../test/support/fake-mcp-upstream.ts";
import { settle } from "../../test/support/manual-schedule.ts";
import { callOnce, neverAnswers, outcomeOf, registryOf, TOOL_CALL } from "../../test/support/mcp-registry.ts";
import { GatewayError } from "../core/errors.ts";

const OTHER = { facts: { info: null, capabilities: '{"roots":{}}' } };

it("opens one link for parallel requests of one conversation, and another one for each other conversation", async () => {
  const { server, fake } = registryOf(declaredStdio("files"));
  const [a1, a2, b] = await Promise.all(["a", "a", "b"].map((key) => server.lease(conversation(key))));
  expect(a1).toBe(a2);
  expect(a1).not.toBe(b);
  expect(fake.attempts).toBe(2);
});

it("opens a link with what the client said of itself, and never serves it to another principal", async () => {
  const { server, fake } = registryOf(declaredHttp("search"));
  const facts = { info: '{"name":"agent"}', capabilities: '{"sampling":{}}' };
  await server.lease(conversation("a", { facts, headers: { "x-bifrost-agent-id": "one" } }));
  expect(fake.links[0]?.options).toMatchObject({ facts, headers: { "x-bifrost-agent-id": "one" }, era: "2025" });
  expect(await outcomeOf(server.lease(conversation("a", { principalUid: "usr_2" })))).toBe("internal");
});

it("hands the process that discovery started to the first conversation on equal terms, also while it starts", async () => {
  const { server, servers, fake } = registryOf(declaredStdio("files"));
  servers.start();
  const first = server.lease(conversation("a"));
  const second = server.lease(conversation("b"));
  await Promise.all([first, second]);
  await settle();
  expect(fake.attempts).toBe(2);
  expect(server.status()).toMatchObject({ state: "running", tools: 1, processes: 2 });
});

it("starts an own process for a client that can do more than discovery said", async () => {
  const { server, servers, fake } = registryOf(declaredStdio("files"));
  servers.start();
  await settle();
  await server.lease(conversation("a", OTHER));
  expect(fake.links.map(({ options }) => options.facts.capabilities)).toEqual(["{}", '{"roots":{}}']);
});

it("never hands the discovery session of an HTTP server to a caller", async () => {
  const { server, servers, fake } = registryOf(declaredHttp("search"));
  servers.start();
  await settle();
  await server.lease(conversation("a"));
  expect(fake.links).toHaveLength(2);
});

it("ends the link of a released conversation, and opens a new one when it comes back", async () => {
  const { server, fake } = registryOf(declaredStdio("files"));
  await callOnce(server, "a");
  await server.release("a");
  await server.release("a");
  expect(fake.alive).toBe(0);
  await callOnce(server, "a");
  expect(fake.links).toHaveLength(2);
});

it("ends what is being opened when its conversation is released, and nobody gets it", async () => {
  const { server, fake } = registryOf(declaredStdio("files"));
  const { promise, resolve } = Promise.withResolvers<void>();
  fake.opening = () => promise;
  const lease = outcomeOf(server.lease(conversation("a")));
  await server.release("a");
  resolve();
  expect(await lease).toBe("upstream.unavailable");
  expect(fake.alive).toBe(0);
});

it("keeps discovery going when the conversation that took it over is released before it is open", async () => {
  const { server, servers, fake } = registryOf(declaredStdio("files"));
  const { promise, resolve } = Promise.withResolvers<void>();
  fake.opening = () => promise;
  servers.start();
  const lease = outcomeOf(server.lease(conversation("a")));
  await server.release("a");
  resolve();
  expect(await lease).toBe("upstream.unavailable");
  await settle();
  expect(server.status()).toMatchObject({ state: "running", processes: 1 });
  expect(fake.attempts).toBe(1);
});

it("closes a link that arrives after its time to start was over", async () => {
  const { server, fake, schedule } = registryOf(declaredStdio("files", 4, { startupTimeoutMs: 5_000 }));
  let arrive = () => {};
  const late = new Promise<void>((resolve) => (arrive = resolve));
  const inner = fake.open;
  // This one does not listen to its signal.
  fake.open = (declared, options) =>
    late.then(() => inner(declared, { ...options, signal: new AbortController().signal }));
  const lease = outcomeOf(server.lease(conversation("a")));
  await schedule.pass(5_000);
  expect(await lease).toBe("upstream.timeout");
  expect(server.status().processes).toBeGreaterThan(0);
  arrive();
  await settle();
  expect(fake.links.every(({ isClosed }) => isClosed)).toBe(true);
});

it("makes room by ending the process that was idle longest, and starts no process before it is gone", async () => {
  const { server, fake, schedule } = registryOf(declaredStdio("files", 2));
  await callOnce(server, "a", { principalUid: "usr_1" });
  await schedule.pass(1_000);
  await callOnce(server, "b", { principalUid: "usr_2" });
  await schedule.pass(1_000);
  await callOnce(server, "c", { principalUid: "usr_3" });
  expect(fake.links.map(({ isClosed }) => isClosed)).toEqual([true, false, false]);
  expect(fake.mostAlive).toBe(2);
});

it("refuses a conversation more when every process has a call in flight", async () => {
  const { server, fake } = registryOf(declaredStdio("files", 2));
  fake.answer = () => neverAnswers();
  for (const uid of ["usr_1", "usr_2"])
    void (await server.lease(conversation(uid, { principalUid: uid }))).request(TOOL_CALL);
  expect(await outcomeOf(server.lease(conversation("c", { principalUid: "usr_3" })))).toBe("upstream.unavailable");
  expect(fake.attempts).toBe(2);
});

it("does not end a process between its lease and its first call", async () => {
  const { server, fake } = registryOf(declaredStdio("files", 2));
  const links = await Promise.all(
    ["usr_1", "usr_2", "usr_3"].map((uid) =>
      server.lease(conversation(uid, { principalUid: uid })).catch((error: { code: string }) => error.code),
    ),
  );
  expect(links[2]).toBe("upstream.unavailable");
  expect(fake.links.map(({ isClosed }) => isClosed)).toEqual([false, false]);
});

it("does not end a process between its late start and its first call", async () => {
  const { server, fake, schedule } = registryOf(declaredStdio("files", 1));
  fake.opening = () => new Promise((resolve) => schedule.after(5_000, resolve));
  const slow = server.lease(conversation("a"));
  await schedule.pass(5_000);
  await slow;
  expect(await outcomeOf(server.lease(conversation("b", { principalUid: "usr_2" })))).toBe("upstream.unavailable");
  expect(fake.links[0]?.isClosed).toBe(false);
});

it("gives 10,000 conversations of one principal half of the processes at most, and the others the rest", async () => {
  const { server, fake } = registryOf(declaredStdio("files", 8));
  for (let n = 0; n < 10_000; n++) await callOnce(server, `agent-${n}`);
  expect(fake.mostAlive).toBe(4);
  const many = Array.from({ length: 10_000 }, (_, n) => outcomeOf(server.lease(conversation(`new-${n}`))));
  const outcomes = await Promise.all(many);
  expect(outcomes.filter((code) => code === "fulfilled")).toHaveLength(4);
  await callOnce(server, "other", { principalUid: "usr_2" });
  expect(fake.mostAlive).toBeLessThanOrEqual(8);
  expect(server.status().processes).toBeLessThanOrEqual(8);
});

it("never has more processes than allowed, however slowly they start and end", async () => {
  const { server, fake, schedule } = registryOf(declaredStdio("files", 4));
  let turn = 0;
  fake.opening = () => new Promise((resolve) => schedule.after((turn++ * 7) % 50, resolve));
  fake.closing = () => new Promise((resolve) => schedule.after((turn++ * 13) % 70, resolve));
  const work = Array.from({ length: 200 }, async (_, n) => {
    const key = `c-${n % 23}`;
    await outcomeOf(callOnce(server, key, { principalUid: `usr_${n % 5}` }));
    if (n % 3 === 0) await server.release(key);
  });
  for (let n = 0; n < 60; n++) await schedule.pass(50);
  await Promise.all(work);
  expect(fake.mostAlive).toBeLessThanOrEqual(4);
});

it("stops a process that nobody used for its idle time, but none with a call or a listener", async () => {
  const { server, fake, schedule } = registryOf(declaredStdio("files", 8));
  await callOnce(server, "idle");
  const listening = await callOnce(server, "listening");
  const watch = listening.watch({ tools: true, prompts: false, resources: false, resourceUris: [] }, () => {});
  const busy = await callOnce(server, "busy");
  fake.answer = () => neverAnswers();
  void busy.request(TOOL_CALL);
  await schedule.pass(300_000);
  expect(fake.links.map(({ isClosed }) => isClosed)).toEqual([true, false, false]);
  watch.close();
  await schedule.pass(120_000);
  expect(fake.links[1]?.isClosed).toBe(true);
});

it("keeps an idle HTTP session until it is released, and ends an idle conversation without session", async () => {
  const { server, fake, schedule } = registryOf(declaredHttp("search"));
  await callOnce(server, "session");
  await callOnce(server, "shared", { shared: true });
  await schedule.pass(400_000);
  expect(fake.links.map(({ isClosed }) => isClosed)).toEqual([false, true]);
});

it("opens a new link after the old one died, without waiting for anything", async () => {
  const { server, fake, schedule } = registryOf(declaredStdio("files"));
  await callOnce(server, "a");
  await schedule.pass(20_000);
  fake.links[0]?.die();
  await settle();
  await callOnce(server, "a");
  expect(fake.links).toHaveLength(2);
  expect(fake.alive).toBe(1);
});

it("opens a new link after the server forgot the session of the old one", async () => {
  const { server, fake } = registryOf(declaredHttp("search"));
  const link = await callOnce(server, "a");
  fake.answer = async () => {
    throw new GatewayError("upstream.session_lost");
  };
  expect(await outcomeOf(link.request(TOOL_CALL))).toBe("upstream.session_lost");
  fake.answer = null;
  await callOnce(server, "a");
  expect((fake.links as FakeLink[]).map(({ isClosed }) => isClosed)).toEqual([true, false]);
});

it("closes everything, also what is being opened, and opens nothing afterwards", async () => {
  const { server, servers, fake } = registryOf(declaredStdio("files", 8));
  await callOnce(server, "a");
  const { promise, resolve } = Promise.withResolvers<void>();
  fake.opening = () => promise;
  const opening = outcomeOf(server.lease(conversation("b")));
  await servers.close(5_000);
  resolve();
  expect(await opening).toBe("upstream.unavailable");
  expect(fake.alive).toBe(0);
  expect(await outcomeOf(server.lease(conversation("c")))).toBe("gateway.draining");
  expect(server.status()).toMatchObject({ state: "stopped", processes: 0 });
});

it("lets a call in flight end before it closes its link, but no longer than half of the grace", async () => {
  const { server, servers, fake, schedule } = registryOf(declaredStdio("files", 8));
  let answer = () => {};
  fake.answer = () => new Promise((resolve) => (answer = () => resolve({ result: "{}" })));
  const call = (await server.lease(conversation("a"))).request(TOOL_CALL);
  fake.answer = () => neverAnswers();
  void (await server.lease(conversation("b"))).request(TOOL_CALL);
  const closing = servers.close(10_000);
  await schedule.pass(1_000);
  answer();
  expect(await call).toEqual({ result: "{}" });
  await settle();
  expect(fake.links.map(({ isClosed }) => isClosed)).toEqual([true, false]);
  await schedule.pass(4_000);
  await closing;
  expect(fake.alive).toBe(0);
});

it("leaves no timer behind when it is closed", async () => {
  const { servers, server, schedule } = registryOf(declaredHttp("search"));
  servers.start();
  await callOnce(server, "a");
  await settle();
  await servers.close(1_000);
  expect(schedule.waiting()).toBe(0);
});
