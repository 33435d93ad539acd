import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createChangeBus } from "../core/changes.ts";
import type { GatewayError } from "../core/errors.ts";
import { makeKey, type VirtualKey } from "../keys/model.ts";
import type { LiveKey } from "./key-cache.ts";
import { createOpenRequests } from "./open-requests.ts";
import { createCallerWatch, type Holder } from "./watch-caller.ts";

beforeEach(() => void vi.useFakeTimers({ now: 1_000_000 }));
afterEach(() => void vi.useRealTimers());

const order = {
  id: null,
  orgUid: "org_1",
  name: "",
  scope: "read" as const,
  expiresAtMs: 1_060_000,
  rateLimit: 60,
  maxConcurrency: null,
  maxUses: null,
  agentId: null,
  source: "api" as const,
  ownerKind: "user" as const,
  ownerUid: "usr_1",
  metadata: {},
  grants: [],
};

function liveKey(change: Partial<VirtualKey> = {}): LiveKey {
  const { key } = makeKey(order, () => "hash", 0);
  const changed = { ...key, uid: "vk_1", ...change };
  return {
    key: changed,
    target: null,
    services: new Map(),
    presentedHash: "hash",
    secretExpiresAtMs: changed.expiresAtMs,
  };
}

function setUp(load: () => Promise<LiveKey | null> = () => Promise.resolve(liveKey())) {
  const changes = createChangeBus();
  const openRequests = createOpenRequests(changes, () => Promise.resolve([]));
  const watch = createCallerWatch({ clock: { now: () => Date.now() }, changes, keys: { load }, openRequests });
  const ended: string[] = [];
  return { changes, openRequests, watch, ended, end: (reason: GatewayError) => void ended.push(reason.code) };
}

const org = { orgUid: "org_1", orgId: "default" };
const keyHolder: Holder = {
  principal: { kind: "virtual_key", uid: "vk_1", id: "vk_1", services: [], ...org },
  live: liveKey(),
};
const user: Holder = {
  principal: { kind: "user", uid: "usr_1", id: "usr_1", name: "", role: "member", sessionUid: null, ...org },
  live: null,
};

it("ends what a key holds when it is revoked, once, and not when another key or the key's name changes", () => {
  const { changes, watch, ended, end } = setUp();
  watch(keyHolder, end);
  changes.publish({ kind: "key", uid: "vk_2", revoked: true });
  changes.publish({ kind: "key", uid: "vk_1", revoked: false });
  expect(ended).toEqual([]);
  changes.publish({ kind: "key", uid: "vk_1", revoked: true });
  changes.publish({ kind: "key", uid: "vk_1", revoked: true });
  expect(ended).toEqual(["key.revoked"]);
});

it("ends what a key holds as soon as it may do other things, and not when only its name changed", async () => {
  let current = liveKey({ name: "renamed" });
  const { changes, watch, ended, end } = setUp(() => Promise.resolve(current));
  watch(keyHolder, end);
  changes.publish({ kind: "key", uid: "vk_1", revoked: false });
  await vi.advanceTimersByTimeAsync(0);
  expect(ended).toEqual([]);
  current = liveKey({ scope: "write" });
  changes.publish({ kind: "key", uid: "vk_2", revoked: false });
  await vi.advanceTimersByTimeAsync(0);
  expect(ended).toEqual([]);
  changes.publish({ kind: "key", uid: "vk_1", revoked: false });
  await vi.advanceTimersByTimeAsync(0);
  expect(ended).toEqual(["auth.required"]);
});

it("looks at every key again, one pass at a time, where changes may have been missed", async () => {
  let reads = 0;
  const { changes, watch, ended, end } = setUp(() => {
    reads += 1;
    return Promise.resolve(liveKey({ grants: [], scope: reads > 3 ? "write" : "read" }));
  });
  watch(keyHolder, end);
  watch(keyHolder, end);
  for (let i = 0; i < 100; i++) changes.publish({ kind: "all" });
  await vi.advanceTimersByTimeAsync(0);
  expect(reads).toBe(2);
  expect(ended).toEqual([]);
  changes.publish({ kind: "all" });
  await vi.advanceTimersByTimeAsync(0);
  expect(ended).toEqual(["auth.required"]);
});

it("ends nothing where the rights of a changed key cannot be read", async () => {
  const { changes, watch, ended, end } = setUp(() => Promise.reject(new Error("database")));
  watch(keyHolder, end);
  changes.publish({ kind: "key", uid: "vk_1", revoked: false });
  changes.publish({ kind: "all" });
  await vi.advanceTimersByTimeAsync(0);
  expect(ended).toEqual([]);
});

it("ends what a key holds when its organization changes", () => {
  const { changes, watch, ended, end } = setUp();
  watch(keyHolder, end);
  changes.publish({ kind: "org", uid: "org_1" });
  expect(ended).toEqual(["key.revoked"]);
});

it("ends what a key holds when it expires", async () => {
  const { watch, ended, end } = setUp();
  watch(keyHolder, end);
  await vi.advanceTimersByTimeAsync(59_999);
  expect(ended).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  expect(ended).toEqual(["key.expired"]);
});

it("lets a key go on that got more time meanwhile", async () => {
  const { watch, ended, end } = setUp(() => Promise.resolve(liveKey({ expiresAtMs: 1_100_000 })));
  watch(keyHolder, end);
  await vi.advanceTimersByTimeAsync(99_999);
  expect(ended).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  expect(ended).toEqual(["key.expired"]);
});

it.each([
  ["is unknown", () => Promise.resolve(null), "key.revoked"],
  ["cannot be looked up", () => Promise.reject(new Error("database")), "internal"],
])("fails closed for a key that %s when its time is over", async (_what, load, code) => {
  const { watch, ended, end } = setUp(load);
  watch(keyHolder, end);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(ended).toEqual([code]);
});

it("ends what a user holds when the user or the organization changes, and nothing of another", () => {
  const { changes, watch, ended, end } = setUp();
  watch(user, end);
  changes.publish({ kind: "principal", uid: "usr_2" });
  changes.publish({ kind: "org", uid: "org_2" });
  changes.publish({ kind: "all" });
  expect(ended).toEqual([]);
  changes.publish({ kind: "principal", uid: "usr_1" });
  changes.publish({ kind: "org", uid: "org_1" });
  expect(ended).toEqual(["auth.required"]);
});

it("keeps nothing after it was stopped: no timer, no entry", async () => {
  const { changes, openRequests, watch, ended, end } = setUp();
  for (let i = 0; i < 100; i++) {
    watch(keyHolder, end)();
    watch(user, end)();
  }
  expect(vi.getTimerCount()).toBe(0);
  expect(openRequests.size).toBe(0);
  changes.publish({ kind: "key", uid: "vk_1", revoked: true });
  changes.publish({ kind: "principal", uid: "usr_1" });
  await vi.advanceTimersByTimeAsync(100_000);
  expect(ended).toEqual([]);
});

it("does not count further than timers can: a key of ten years is watched all the same", async () => {
  const { watch, ended, end } = setUp();
  watch({ ...keyHolder, live: liveKey({ expiresAtMs: 1_000_000 + 315_360_000_000 }) }, end);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(ended).toEqual([]);
});
