import { afterEach, beforeEach, expect, it } from "vitest";
import { startChangeRelay } from "../../src/cluster/change-relay.ts";
import { openRedis } from "../../src/cluster/redis-connection.ts";
import { type Change, createChangeBus } from "../../src/core/changes.ts";
import { steadyClock } from "../../src/core/clock.ts";
import { createLogger } from "../../src/core/log.ts";
import { describeWithRedis, type RedisServer, startRedis } from "../support/redis-server.ts";

const log = createLogger("silent");
const revoked: Change = { kind: "key", uid: "vk_1", revoked: true };

describeWithRedis("changes relayed over Redis", () => {
  let server: RedisServer;
  const cleanup: (() => unknown)[] = [];
  beforeEach(async () => {
    server = await startRedis();
  });
  afterEach(async () => {
    for (const step of cleanup.splice(0).reverse()) await step();
    await server.stop();
  });

  async function instance(prefix = "bifrost") {
    const [publisher, subscriber] = [
      await openRedis(server.url, "publisher", log),
      await openRedis(server.url, "subscriber", log),
    ];
    const bus = createChangeBus();
    const heard: Change[] = [];
    const relay = await startChangeRelay({ bus, publisher, subscriber, clock: steadyClock, log, prefix });
    bus.subscribe((change) => heard.push(change));
    cleanup.push(async () => {
      await relay.close();
      publisher.disconnect();
      subscriber.disconnect();
    });
    return { bus, heard, relay, publisher };
  }
  const count = (changes: Change[], kind: Change["kind"]) => changes.filter((change) => change.kind === kind).length;

  it("tells every other instance, and the publishing one once", async () => {
    const [one, two, three] = [await instance(), await instance(), await instance()];
    one.bus.publish(revoked);
    expect(one.heard).toEqual([revoked]);
    await expect.poll(() => [two.heard, three.heard]).toEqual([[revoked], [revoked]]);
    three.bus.publish({ kind: "org", uid: "org_1" });
    await expect.poll(() => count(one.heard, "org")).toBe(1);
    expect(count(one.heard, "key")).toBe(1);
  });

  it("keeps gateways with different prefixes apart", async () => {
    const [one, same, other] = [await instance("a"), await instance("a"), await instance("b")];
    one.bus.publish(revoked);
    await expect.poll(() => same.heard).toEqual([revoked]);
    expect(other.heard).toEqual([]);
  });

  it("empties the caches again and again while Redis hangs, and once more when it is back", async () => {
    const { heard, relay } = await instance();
    server.freeze();
    cleanup.push(() => server.thaw());
    await expect.poll(() => relay.isConnected(), { timeout: 5_000 }).toBe(false);
    await expect.poll(() => count(heard, "all"), { timeout: 5_000 }).toBeGreaterThanOrEqual(3);
    server.thaw();
    await expect.poll(() => relay.isConnected(), { timeout: 10_000 }).toBe(true);
    expect(heard.at(-1)).toEqual({ kind: "all" });
  });

  it("starts with empty caches after the connection dropped, however short", async () => {
    const [one, two] = [await instance(), await instance()];
    await one.publisher.call("CLIENT", "KILL", "TYPE", "pubsub");
    await expect.poll(() => [count(one.heard, "all") > 0, count(two.heard, "all") > 0]).toEqual([true, true]);
    await expect.poll(() => one.relay.isConnected() && two.relay.isConnected(), { timeout: 5_000 }).toBe(true);
    one.bus.publish(revoked);
    await expect.poll(() => count(two.heard, "key")).toBe(1);
  });

  it("makes up for a change that could not be published", async () => {
    const [one, two] = [await instance(), await instance()];
    await server.kill();
    await expect.poll(() => one.relay.isConnected() || two.relay.isConnected()).toBe(false);
    one.bus.publish(revoked);
    expect(one.heard).toContainEqual(revoked);
    await server.restart();
    await expect.poll(() => one.relay.isConnected() && two.relay.isConnected(), { timeout: 10_000 }).toBe(true);
    await expect.poll(() => two.heard.at(-1)).toEqual({ kind: "all" });
    two.bus.publish({ kind: "service", uid: "svc_1" });
    await expect.poll(() => count(one.heard, "service")).toBe(1);
  });

  it("forgets everything on a message it does not understand", async () => {
    const { heard, publisher } = await instance();
    for (const text of ["{", "{}", '{"from":"x","change":{"kind":"later","uid":"a"}}']) {
      await publisher.publish("bifrost:changes", text);
    }
    await expect.poll(() => count(heard, "all")).toBe(3);
    expect(heard).toHaveLength(3);
  });
});
