import fc from "fast-check";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { createManualClock } from "../../../test/support/manual-clock.ts";
import { result } from "../../../test/support/modern-clients.ts";
import { GatewayError } from "../../core/errors.ts";
import type { Reply } from "../../jsonrpc/message.ts";
import type { BackendRequest } from "../backend.ts";
import { refusalOf } from "../refusals.ts";
import { type Call, GATHER_MS, openCall, type Waiting } from "./call.ts";
import { createSuspendedCalls } from "./suspended-calls.ts";

const LIMITS = { perPrincipal: 3, total: 4, ms: 1_000 };
const PRINCIPALS = ["usr_1", "usr_2"] as const;

// What a server asks is gathered for some milliseconds; the test says when they are over.
beforeAll(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterAll(() => void vi.useRealTimers());
const tick = () => vi.advanceTimersByTimeAsync(GATHER_MS);

/** One client's call as the test sees it: both ends, and everything that came through. */
interface Tracked {
  readonly principal: string;
  readonly call: Call;
  readonly link: BackendRequest;
  readonly signal: AbortSignal | undefined;
  readonly upstream: PromiseWithResolvers<Reply>;
  /** What the server asked and has no reply to. */
  open: number;
  readonly heard: string[];
  finished: boolean;
  /** Each state the client was ever given, newest last. */
  readonly states: string[];
  readonly posts: Post[];
}

interface Post {
  readonly answers: Reply[];
  readonly waiting: Waiting;
  leave(): void;
  settled: boolean;
}

const CAPABILITIES = '{"roots":{}}';

function openPost(onGone: () => void): Post {
  let open = true;
  const post: Post = {
    answers: [],
    settled: false,
    leave() {
      if (!open) return;
      open = false;
      onGone();
    },
    waiting: {
      exchange: {
        isOpen: () => open,
        notify() {},
        keepAlive() {},
        answer(reply) {
          if (!open) return;
          open = false;
          post.answers.push(reply);
        },
      },
      envelope: {
        revision: "2026-07-28",
        client: { info: null, capabilities: CAPABILITIES },
        logLevel: undefined,
        progressToken: undefined,
      },
      refuse: (thrown) => refusalOf(thrown, { method: "tools/call", requestId: "r", log: { error() {} } }),
      done: () => (post.settled = true),
    },
  };
  return post;
}

function world() {
  const clock = createManualClock();
  const suspended = createSuspendedCalls<Call>(clock, LIMITS);
  const calls: Tracked[] = [];
  const watches = new Set<{ readonly principal: string; end(reason: GatewayError): void }>();

  function start(principal: string): void {
    const upstream = Promise.withResolvers<Reply>();
    const holder: { link?: BackendRequest; signal?: AbortSignal | undefined } = {};
    const call = openCall({
      backend: {
        request: (link) => {
          holder.link = link;
          holder.signal = link.signal;
          holder.signal?.addEventListener("abort", () => upstream.reject(new Error("cancelled")), { once: true });
          return upstream.promise;
        },
      },
      method: "tools/call",
      params: undefined,
      client: { info: null, capabilities: CAPABILITIES },
      headers: {},
      principal,
      suspended,
      bindingOf: () => `${principal} ${calls.findIndex((each) => each.call === call)}`,
      watchCaller(end) {
        const watch = { principal, end };
        watches.add(watch);
        return () => void watches.delete(watch);
      },
    });
    const post = openPost(() => call.abandon());
    call.start(post.waiting);
    if (!holder.link) throw new Error("not sent");
    calls.push({
      principal,
      call,
      link: holder.link,
      signal: holder.signal,
      upstream,
      open: 0,
      heard: [],
      finished: false,
      states: [],
      posts: [post],
    });
  }

  function ask(index: number): void {
    const tracked = calls[index % calls.length];
    if (!tracked || tracked.finished) return;
    tracked.open++;
    void tracked.link
      .onRequest({ method: "roots/list", params: undefined }, new AbortController().signal)
      .then((reply) => {
        tracked.open--;
        tracked.heard.push("result" in reply ? reply.result : "refused");
      });
  }

  /** What clients.ts does with a retry. */
  function retry(index: number, { as, age, mask }: { as: number; age: number; mask: number }): void {
    const tracked = calls[index % calls.length];
    const state = tracked?.states.at(-1 - age);
    if (!tracked || state === undefined) return;
    const found = suspended.find(state, `${PRINCIPALS[as]} ${calls.indexOf(tracked)}`);
    if (!found) return;
    expect(found).toBe(tracked.call);
    expect(PRINCIPALS[as]).toBe(tracked.principal);
    const keys = tracked.posts.flatMap(({ answers }) => answers.flatMap(keysOf));
    const answers = new Map(
      keys.filter((_key, at) => ((mask >> (at % 2)) & 1) === 1).map((key) => [key, rootsOf(tracked)]),
    );
    expect(found.findBadAnswer(answers)).toBeNull();
    suspended.take(state);
    expect(suspended.find(state, tracked.call.binding())).toBeNull();
    const post = openPost(() => tracked.call.abandon());
    tracked.posts.push(post);
    found.resume(post.waiting, answers);
  }

  /** Takes note of the states that clients were given since. */
  function look(): void {
    for (const tracked of calls)
      for (const { answers } of tracked.posts)
        for (const reply of answers) {
          const state = stateOf(reply);
          if (state !== undefined && !tracked.states.includes(state)) tracked.states.push(state);
        }
  }

  const rootsOf = (tracked: Tracked) => `{"roots":[],"of":${calls.indexOf(tracked)}}`;
  return { clock, suspended, calls, start, ask, retry, look, rootsOf, watches };
}

interface Asking {
  readonly resultType?: string;
  readonly requestState?: string;
  readonly inputRequests?: Record<string, unknown>;
}
const parsed = (reply: Reply): Asking => ("result" in reply ? (JSON.parse(reply.result) as Asking) : {});
const keysOf = (reply: Reply) => Object.keys(parsed(reply).inputRequests ?? {});
const stateOf = (reply: Reply) => parsed(reply).requestState;

const index = fc.nat(2);
const operation = fc.oneof(
  fc.record({ do: fc.constant("start" as const), who: fc.nat(1) }),
  { weight: 3, arbitrary: fc.record({ do: fc.constant("ask" as const), index }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("retry" as const),
      index,
      as: fc.nat(1),
      age: fc.nat(1),
      mask: fc.nat(3),
    }),
  },
  fc.record({ do: fc.constant("finish" as const), index }),
  fc.record({ do: fc.constant("leave" as const), index }),
  fc.record({ do: fc.constant("revoke" as const), who: fc.nat(1) }),
  fc.record({ do: fc.constant("advance" as const), ms: fc.nat(700) }),
  { weight: 4, arbitrary: fc.record({ do: fc.constant("tick" as const) }) },
);

it("whatever clients, servers and time do and in whatever order: answers reach the call they are for, and nothing stays open", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 60 }), async (operations) => {
      const { clock, suspended, calls, start, ask, retry, look, rootsOf, watches } = world();
      start("usr_1");
      for (const step of operations) {
        if (step.do === "start") start(PRINCIPALS[step.who] ?? "usr_1");
        else if (step.do === "ask") ask(step.index);
        else if (step.do === "retry") retry(step.index, step);
        else if (step.do === "revoke") {
          for (const { principal, end } of [...watches])
            if (principal === PRINCIPALS[step.who]) end(new GatewayError("key.revoked"));
          for (const { call, signal, states } of calls)
            if (signal?.aborted) for (const state of states) expect(suspended.find(state, call.binding())).toBeNull();
        } else if (step.do === "advance") clock.advance(step.ms);
        else if (step.do === "tick") await tick();
        else {
          const tracked = calls[step.index % calls.length];
          if (step.do === "leave") tracked?.posts.at(-1)?.leave();
          else if (tracked) {
            tracked.finished = true;
            tracked.upstream.resolve(result({ of: calls.indexOf(tracked) }));
          }
        }
        look();
        expect(suspended.size).toBeLessThanOrEqual(LIMITS.total);
      }
      for (let round = 0; round < 3; round++) await tick();
      look();
      // Nobody waits for a server that waits for its client.
      for (const { posts, open } of calls) if (posts.at(-1)?.settled === false) expect(open).toBe(0);
      suspended.close();
      for (const { posts } of calls) for (const post of posts) post.leave();
      for (let round = 0; round < 3; round++) await tick();

      for (const tracked of calls) {
        expect(tracked.open).toBe(0);
        for (const heard of tracked.heard) expect(["refused", rootsOf(tracked)]).toContain(heard);
        for (const { answers, settled } of tracked.posts) {
          expect(settled).toBe(true);
          expect(answers.length).toBeLessThanOrEqual(1);
          for (const { of } of answers.map((reply) => parsed(reply) as { of?: number }))
            expect([undefined, calls.indexOf(tracked)]).toContain(of);
        }
        expect(tracked.finished || tracked.signal?.aborted).toBe(true);
        expect(new Set(tracked.states).size).toBe(tracked.states.length);
      }
      expect(suspended.size).toBe(0);
      expect(watches.size).toBe(0);
    }),
    { numRuns: 300 },
  );
});
