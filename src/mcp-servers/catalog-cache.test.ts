import { expect, it } from "vitest";
import { createFakeUpstream, declaredStdio } from "../../test/support/fake-mcp-upstream.ts";
import { createManualSchedule, settle } from "../../test/support/manual-schedule.ts";
import { GatewayError } from "../core/errors.ts";
import type { Link } from "../mcp-links/types.ts";
import { createCatalogCache } from "./catalog-cache.ts";

const terms = { facts: { info: null, capabilities: "{}" }, headers: {}, era: "2025" as const };

async function cacheOf(http = false) {
  const schedule = createManualSchedule();
  const fake = createFakeUpstream();
  const changes: string[] = [];
  const failures: unknown[] = [];
  const link = await fake.open(declaredStdio("files"), { ...terms, signal: new AbortController().signal });
  const cache = createCatalogCache({
    clock: schedule.clock,
    schedule,
    timeoutMs: 5_000,
    http,
    timedOut: () => new GatewayError("upstream.timeout"),
    onChange: (part) => changes.push(part),
    onFailure: (error) => failures.push(error),
    onLoaded: () => {},
  });
  const get = (key = "k", from: () => Promise<Link> = async () => link) => cache.get(key, terms, from);
  const lists = () => fake.links[0]?.requests.filter(({ method }) => method === "tools/list").length;
  return { cache, fake, schedule, changes, failures, link, get, lists };
}
const names = (catalog: { tools: readonly { name: string }[] }) => catalog.tools.map(({ name }) => name);

it("reads once for parallel callers, and gives the same object until something changed", async () => {
  const { get, lists, cache } = await cacheOf();
  const [a, b] = await Promise.all([get(), get()]);
  expect(a).toBe(b);
  expect(await get()).toBe(a);
  expect(lists()).toBe(1);
  cache.invalidate("prompts");
  expect(await get()).toBe(a);
  expect(lists()).toBe(1);
});

it("asks only for the lists that the server announced", async () => {
  const { get, fake } = await cacheOf();
  await get();
  expect(fake.links[0]?.requests.map(({ method }) => method)).toEqual(["tools/list"]);
});

it("reads again what the server said has changed, and tells nobody twice", async () => {
  const { get, fake, cache, changes } = await cacheOf();
  await get();
  fake.tools = ["echo", "more"];
  cache.invalidate("tools");
  expect(names(await get())).toEqual(["echo", "more"]);
  expect(changes).toEqual([]);
});

it("tells what differs when it was in doubt, and nothing when all is as it was", async () => {
  const { get, fake, cache, changes } = await cacheOf();
  const before = await get();
  cache.doubt();
  expect(await get()).toBe(before);
  expect(changes).toEqual([]);
  fake.tools = [];
  cache.doubt();
  expect(names(await get())).toEqual([]);
  expect(changes).toEqual(["tools"]);
});

it("tells once of a change that two kinds of clients would both find", async () => {
  const { get, fake, cache, changes } = await cacheOf();
  await get("one");
  await get("two");
  fake.tools = ["new"];
  cache.doubt();
  expect(names(await get("one"))).toEqual(["new"]);
  expect(names(await get("two"))).toEqual(["new"]);
  expect(changes).toEqual(["tools"]);
});

it("does not keep for true what was read before the server said that it changed", async () => {
  const { get, fake, cache, lists } = await cacheOf();
  const { promise, resolve } = Promise.withResolvers<void>();
  fake.answer = () => promise.then(() => ({ result: '{"tools":[{"name":"old"}]}' }));
  const first = get();
  await settle();
  cache.invalidate("tools");
  const second = get();
  fake.answer = null;
  resolve();
  expect(names(await first)).toEqual(["old"]);
  expect(names(await second)).toEqual(["echo"]);
  expect(lists()).toBe(2);
});

it("reads at most twice at a time, however often the server says that it changed", async () => {
  const { get, cache, fake, lists } = await cacheOf();
  const { promise, resolve } = Promise.withResolvers<void>();
  fake.answer = () => promise.then(() => undefined as never);
  const waiting = Array.from({ length: 100 }, () => {
    cache.invalidate("tools");
    return get().catch(() => {});
  });
  await settle();
  fake.answer = null;
  resolve();
  await Promise.all(waiting);
  expect(lists()).toBeLessThanOrEqual(2);
});

it("gives up on a list that does not come in time, and fails for a server that was never read", async () => {
  const { get, schedule, failures, fake } = await cacheOf();
  fake.answer = ({ signal }) =>
    new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason as Error)));
  const failed = get().catch((error: GatewayError) => error.code);
  await schedule.pass(5_000);
  expect(await failed).toBe("upstream.timeout");
  expect(failures).toHaveLength(1);
});

it("keeps the last known lists while the server cannot be read, and does not try with every call", async () => {
  const { get, cache, fake, lists, schedule } = await cacheOf();
  const known = await get();
  fake.answer = async () => ({ error: '{"code":-32603,"message":"broken"}' });
  cache.invalidate("tools");
  expect(await get()).toBe(known);
  expect(await get()).toBe(known);
  expect(lists()).toBe(2);
  fake.answer = null;
  fake.tools = ["again"];
  await schedule.pass(5_000);
  expect(names(await get())).toEqual(["again"]);
});

it("looks up lists of an HTTP server again after five minutes, without making anyone wait", async () => {
  const { get, fake, schedule, changes } = await cacheOf(true);
  const known = await get();
  fake.tools = ["other"];
  await schedule.pass(300_000);
  expect(await get()).toBe(known);
  await settle();
  expect(names(await get())).toEqual(["other"]);
  expect(changes).toEqual(["tools"]);
});

it("shares the memory of equal catalogs between kinds of clients, and forgets the oldest kinds", async () => {
  const { get, lists } = await cacheOf();
  const one = await get("one");
  const two = await get("two");
  expect(two.tools).toBe(one.tools);
  for (let n = 0; n < 100; n++) await get(`kind-${n}`);
  const before = lists();
  await get("one");
  expect(lists()).toBe((before ?? 0) + 1);
});

it("keeps no more than 32 Mi characters of a server's lists", async () => {
  const { get, fake, lists } = await cacheOf();
  let n = 0;
  fake.answer = async () => ({ result: `{"tools":[{"name":"t","x":"${"x".repeat(7 * 1024 * 1024)}","n":${n++}}]}` });
  for (let key = 0; key < 6; key++) await get(`k${key}`);
  expect(lists()).toBe(6);
  await get("k5");
  expect(lists()).toBe(6);
  await get("k0");
  expect(lists()).toBe(7);
});
