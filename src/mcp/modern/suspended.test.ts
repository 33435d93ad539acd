import { once } from "node:events";
import { describe, expect, it } from "vitest";
import {
  ENVELOPE,
  heldRequest,
  HELLO_2025,
  openPost,
  post,
  type Posted,
  readStream,
  result,
  type ScriptedBackend,
  startModernClients,
} from "../../../test/support/modern-clients.ts";
import type { Reply } from "../../jsonrpc/message.ts";
import type { BackendRequest } from "../backend.ts";

type Ask = (method: string, params?: unknown) => Promise<unknown>;

/** A server of the 2025 era, whose tool is this function. */
function server(tool: (ask: Ask, request: BackendRequest) => Promise<unknown>): ScriptedBackend {
  return {
    hello: async () => HELLO_2025,
    request: async (request) => {
      const never = new AbortController().signal;
      const ask: Ask = async (method, params) => {
        const reply = await request.onRequest(
          { method, params: params === undefined ? undefined : JSON.stringify(params) },
          never,
        );
        return JSON.parse("result" in reply ? reply.result : reply.error);
      };
      return result({ ...Object(await tool(ask, request)) });
    },
  };
}

const FORM = { message: "Name?", requestedSchema: { type: "object" } };
const accept = (content: unknown) => ({ action: "accept", content });
const call = { name: "ask", arguments: { b: 1, a: [{ y: 1, x: 2 }] } };
const asked = ({ messages }: Posted) =>
  messages.at(-1)?.result as { inputRequests: Record<string, unknown>; requestState: string };
const retry = (first: Posted, inputResponses?: unknown) => ({
  ...call,
  requestState: asked(first).requestState,
  ...(inputResponses !== undefined && { inputResponses }),
});
const badState = {
  code: -32602,
  message: "Invalid or expired requestState",
  data: { reason: "invalid_request_state" },
};

describe("a server of the 2025 era that asks its client", () => {
  it("is answered in the client's next round, and its one call goes on", async () => {
    let calls = 0;
    await using gateway = await startModernClients(
      server(async (ask) => (calls++, { heard: await ask("elicitation/create", FORM) })),
    );
    const first = await post(gateway.port, "tools/call", call);
    expect(first.messages[0]?.result).toEqual({
      resultType: "input_required",
      inputRequests: { "elicitation-1": { method: "elicitation/create", params: FORM } },
      requestState: expect.stringMatching(/^bifrost\.[\w-]{43}$/),
    });
    const second = await post(
      gateway.port,
      "tools/call",
      retry(first, { "elicitation-1": accept({ name: "Alice" }) }),
      { id: "two" },
    );
    expect(second.messages[0]).toEqual({
      jsonrpc: "2.0",
      id: "two",
      result: { resultType: "complete", heard: accept({ name: "Alice" }) },
    });
    expect(calls).toBe(1);
  });

  it("may ask again and again, each time under a new state and new keys", async () => {
    await using gateway = await startModernClients(
      server(async (ask) => [
        await ask("elicitation/create", FORM),
        await ask("roots/list"),
        await ask("elicitation/create", FORM),
      ]),
    );
    const states = new Set<string>();
    let reply = await post(gateway.port, "tools/call", call);
    for (const [key, answer] of [
      ["elicitation-1", accept({})],
      ["roots-2", { roots: [] }],
      ["elicitation-3", { action: "decline" }],
    ] as const) {
      expect(Object.keys(asked(reply).inputRequests)).toEqual([key]);
      states.add(asked(reply).requestState);
      reply = await post(gateway.port, "tools/call", retry(reply, { [key]: answer }));
    }
    expect(states.size).toBe(3);
    expect(reply.messages[0]?.result).toMatchObject({
      resultType: "complete",
      0: accept({}),
      1: { roots: [] },
      2: { action: "decline" },
    });
  });

  it("for several things at once asks for them in one round; what a retry lacks is asked again, what it has too much is ignored", async () => {
    await using gateway = await startModernClients(
      server(async (ask) =>
        Promise.all([
          ask("elicitation/create", FORM),
          ask("sampling/createMessage", { messages: [], maxTokens: 1 }),
          ask("roots/list"),
        ]),
      ),
    );
    const sample = { role: "assistant", model: "m", content: { type: "text", text: "hi" } };
    const first = await post(gateway.port, "tools/call", call);
    expect(Object.keys(asked(first).inputRequests)).toEqual(["elicitation-1", "sampling-2", "roots-3"]);
    const second = await post(gateway.port, "tools/call", retry(first, { "sampling-2": sample, other: 5 }));
    expect(Object.keys(asked(second).inputRequests)).toEqual(["elicitation-1", "roots-3"]);
    const third = await post(gateway.port, "tools/call", retry(second));
    expect(Object.keys(asked(third).inputRequests)).toEqual(["elicitation-1", "roots-3"]);
    const last = await post(
      gateway.port,
      "tools/call",
      retry(third, { "elicitation-1": accept({}), "roots-3": { roots: [] } }),
    );
    expect(last.messages[0]?.result).toMatchObject({ 0: accept({}), 1: sample, 2: { roots: [] } });
  });

  it("gets an error where the client did not declare it can, and nothing goes to the client", async () => {
    await using gateway = await startModernClients(
      server(async (ask) =>
        Promise.all([
          ask("elicitation/create", FORM),
          ask("elicitation/create", { mode: "url" }),
          ask("tasks/x"),
          ask("ping"),
        ]),
      ),
    );
    const only = (capabilities: unknown) => ({ meta: { "io.modelcontextprotocol/clientCapabilities": capabilities } });
    const none = await post(gateway.port, "tools/call", call, only({}));
    expect(none.messages[0]?.result).toMatchObject({
      resultType: "complete",
      0: { code: -32601 },
      1: { code: -32601 },
      2: { code: -32601 },
      3: {},
    });
    const forms = await post(gateway.port, "tools/call", call, only({ elicitation: {} }));
    expect(Object.keys(asked(forms).inputRequests)).toEqual(["elicitation-1"]);
    const urls = await post(gateway.port, "tools/call", call, only({ elicitation: { url: {} } }));
    expect(Object.values(asked(urls).inputRequests)).toEqual([
      { method: "elicitation/create", params: { mode: "url" } },
    ]);
  });

  it("that fails for want of what the client did not declare is answered with what must be declared, as HTTP 400", async () => {
    await using gateway = await startModernClients({
      hello: async () => HELLO_2025,
      request: async ({ onRequest }) =>
        onRequest({ method: "sampling/createMessage", params: "{}" }, new AbortController().signal),
    });
    const none = { meta: { "io.modelcontextprotocol/clientCapabilities": {} } };
    const { status, messages } = await post(gateway.port, "tools/call", call, none);
    expect(status).toBe(400);
    expect(messages[0]?.error).toMatchObject({ code: -32021, data: { requiredCapabilities: { sampling: {} } } });
  });

  it("gets an error during a request whose result cannot ask for input", async () => {
    await using gateway = await startModernClients(server(async (ask) => ({ tools: [await ask("roots/list")] })));
    expect((await post(gateway.port, "tools/list")).messages[0]?.result).toMatchObject({ tools: [{ code: -32601 }] });
  });

  it("sends progress of each round to the POST that waits, under its token", async () => {
    await using gateway = await startModernClients(
      server(async (ask, { onNotification }) => {
        const progress = (n: number) =>
          onNotification({ method: "notifications/progress", params: `{"progressToken":"one","progress":${n}}` });
        progress(1);
        await ask("roots/list");
        progress(2);
        return {};
      }),
    );
    const first = await post(gateway.port, "tools/call", call, { meta: { progressToken: "one" } });
    expect(first.messages.map(({ params }) => params)).toEqual([{ progressToken: "one", progress: 1 }, undefined]);
    const second = await post(gateway.port, "tools/call", retry(first, { "roots-1": { roots: [] } }), {
      meta: { progressToken: 2 },
    });
    expect(second.messages.map(({ params }) => params)).toEqual([{ progressToken: 2, progress: 2 }, undefined]);
  });

  it("may withdraw what it asked, and fail later: the client's next round hears it", async () => {
    const reply = Promise.withResolvers<Reply>();
    const withdraw = new AbortController();
    const withdrawn = Promise.withResolvers<Reply>();
    await using gateway = await startModernClients({
      request: (request) => {
        request
          .onRequest({ method: "roots/list", params: undefined }, withdraw.signal)
          .then(withdrawn.resolve, withdrawn.reject);
        return reply.promise;
      },
    });
    const first = await post(gateway.port, "tools/call", call);
    withdraw.abort();
    expect(await withdrawn.promise).toHaveProperty("error");
    reply.resolve({ error: '{"code":7,"message":"too slow"}' });
    const second = await post(gateway.port, "tools/call", retry(first, { "roots-1": { roots: [] } }));
    expect(second.messages[0]?.error).toEqual({ code: 7, message: "too slow" });
  });
});

describe("a server of revision 2025-11-25 that needs its user to visit a URL first", () => {
  const urls = { meta: { "io.modelcontextprotocol/clientCapabilities": { elicitation: { url: {} } } } };
  const visit = { mode: "url", elicitationId: "e1", url: "https://example.com/login", message: "Log in" };
  const needsLogin = (calls: BackendRequest[], visited: () => boolean): ScriptedBackend => ({
    hello: async () => HELLO_2025,
    request: async (request) => {
      calls.push(request);
      if (visited()) return result({ content: [] });
      return { error: JSON.stringify({ code: -32042, message: "log in", data: { elicitations: [visit] } }) };
    },
  });

  it("is called again when the user went there", async () => {
    const calls: BackendRequest[] = [];
    await using gateway = await startModernClients(needsLogin(calls, () => calls.length > 2));
    const first = await post(gateway.port, "tools/call", call, urls);
    const { elicitationId: _, ...params } = visit;
    expect(asked(first).inputRequests).toEqual({ "elicitation-1": { method: "elicitation/create", params } });
    // The user said yes but was not there yet.
    const second = await post(
      gateway.port,
      "tools/call",
      retry(first, { "elicitation-1": { action: "accept" } }),
      urls,
    );
    const third = await post(
      gateway.port,
      "tools/call",
      retry(second, { "elicitation-2": { action: "accept" } }),
      urls,
    );
    expect(third.messages[0]?.result).toEqual({ resultType: "complete", content: [] });
    expect(calls).toHaveLength(3);
  });

  it("is not called again where the user declines, or the client cannot ask", async () => {
    const calls: BackendRequest[] = [];
    await using gateway = await startModernClients(needsLogin(calls, () => false));
    const first = await post(gateway.port, "tools/call", call, urls);
    const declined = await post(
      gateway.port,
      "tools/call",
      retry(first, { "elicitation-1": { action: "decline" } }),
      urls,
    );
    expect(declined.messages[0]?.error?.code).toBe(-32000);
    const cannot = await post(gateway.port, "tools/call", call);
    expect(cannot.status).toBe(400);
    expect(cannot.messages[0]?.error).toMatchObject({
      code: -32021,
      data: { requiredCapabilities: { elicitation: { url: {} } } },
    });
    expect(calls).toHaveLength(2);
  });
});

describe("answers that have not the form of what was asked", () => {
  it.each([
    ["a number", { "elicitation-1": 12_345 }],
    ["wrapped", { "elicitation-1": { method: "elicitation/create", result: accept({}) } }],
    ["of no known action", { "elicitation-1": { action: "maybe" } }],
    ["no object at all", null],
    ["a list", []],
  ])("are refused, and the state stays good: %s", async (_case, responses) => {
    await using gateway = await startModernClients(
      server(async (ask) => ({ heard: await ask("elicitation/create", FORM) })),
    );
    const first = await post(gateway.port, "tools/call", call);
    const bad = await post(gateway.port, "tools/call", retry(first, responses));
    expect(bad.messages[0]?.error?.code).toBe(-32602);
    const good = await post(gateway.port, "tools/call", retry(first, { "elicitation-1": accept({}) }));
    expect(good.messages[0]?.result).toMatchObject({ resultType: "complete" });
  });
});

describe("a state", () => {
  const held = () => server(async (ask) => ({ heard: await ask("elicitation/create", FORM) }));
  const answers = { "elicitation-1": accept({}) };

  it("is answered as unknown for anybody and anything but the caller and the call it was made for", async () => {
    await using gateway = await startModernClients(held());
    const first = await post(gateway.port, "tools/call", call);
    const again = retry(first, answers);
    const { requestState } = again;
    const attempts: readonly (readonly [string, Record<string, unknown>, Record<string, string>])[] = [
      ["tools/call", { ...again, requestState: `${requestState}-TAMPERED` }, {}],
      ["tools/call", { ...again, requestState: requestState.toLowerCase() }, {}],
      ["tools/call", { ...again, requestState: "bifrost." }, {}],
      ["tools/call", { ...again, requestState: "theirs" }, {}],
      ["tools/call", { ...again, requestState: 5 }, {}],
      ["tools/call", { ...again, arguments: { b: 2, a: [] } }, {}],
      ["tools/call", { ...again, name: "other" }, {}],
      ["tools/call", again, { "x-test-principal": "usr_2" }],
      ["tools/call", again, { "x-agent-id": "other" }],
      ["prompts/get", again, {}],
    ];
    for (const [method, params, headers] of attempts) {
      const reply = await post(gateway.port, method, params, { headers });
      expect(reply.status).toBe(200);
      expect(reply.messages[0]?.error).toEqual(badState);
    }
    // None of these took it from the one it belongs to, who may write its parameters in another order.
    const reordered = { ...again, arguments: { a: [{ x: 2, y: 1 }], b: 1 } };
    expect((await post(gateway.port, "tools/call", reordered)).messages[0]?.result).toMatchObject({
      heard: accept({}),
    });
  });

  it("is good once: of two retries at the same time one goes on, and the other finds nothing", async () => {
    await using gateway = await startModernClients(held());
    const first = await post(gateway.port, "tools/call", call);
    const both = await Promise.all(
      [1, 2].map(async (id) => post(gateway.port, "tools/call", retry(first, answers), { id })),
    );
    const errors = both.filter(({ messages }) => messages[0]?.error);
    expect(errors.map(({ messages }) => messages[0]?.error)).toEqual([badState]);
    expect(both.filter(({ messages }) => messages[0]?.result)).toHaveLength(1);
  });

  it("expires, and its call is cancelled upstream", async () => {
    const call1 = heldRequest();
    await using gateway = await startModernClients(
      {
        request: (request) => (
          void request.onRequest({ method: "roots/list", params: undefined }, new AbortController().signal),
          call1.request(request)
        ),
      },
      { limits: { suspendedMs: 60_000 } },
    );
    const first = await post(gateway.port, "tools/call", call);
    const { signal } = await call1.started;
    gateway.clock.advance(59_999);
    expect((await post(gateway.port, "tools/call", { ...retry(first), name: "x" })).messages[0]?.error).toEqual(
      badState,
    );
    expect(signal?.aborted).toBe(false);
    gateway.clock.advance(1);
    expect((await post(gateway.port, "tools/call", retry(first))).messages[0]?.error).toEqual(badState);
    expect(signal?.aborted).toBe(true);
  });

  it("ends with the gateway, and with the caller's key", async () => {
    for (const end of ["close", "revoke"] as const) {
      const open = heldRequest();
      await using gateway = await startModernClients({
        request: (request) => (
          void request.onRequest({ method: "roots/list", params: undefined }, new AbortController().signal),
          open.request(request)
        ),
        hello: async () => HELLO_2025,
      });
      const first = await post(gateway.port, "tools/call", call);
      const { signal } = await open.started;
      if (end === "close") gateway.clients.close();
      else gateway.revoke("usr_1");
      expect(signal?.aborted).toBe(true);
      expect((await post(gateway.port, "tools/call", retry(first))).messages[0]?.error).toEqual(badState);
      expect(gateway.watches.size).toBe(0);
    }
  });
});

describe("the number of calls that wait for input", () => {
  it("is bounded for a principal, whatever agents it names, and another's are not touched", async () => {
    const open: BackendRequest[] = [];
    await using gateway = await startModernClients(
      {
        request: (request) => (
          open.push(request),
          void request.onRequest({ method: "roots/list", params: undefined }, new AbortController().signal),
          new Promise(() => {})
        ),
      },
      { limits: { suspendedPerPrincipal: 2 } },
    );
    const from = async (principal: string, agent: string) =>
      post(gateway.port, "tools/call", call, { headers: { "x-test-principal": principal, "x-agent-id": agent } });
    for (const agent of ["a", "b"]) expect((await from("usr_1", agent)).text).toContain("input_required");
    const third = await from("usr_1", "c");
    expect(third.messages[0]?.result).toMatchObject({ resultType: "complete", isError: true });
    expect(third.text).toContain("limit.concurrency");
    expect(open[2]?.signal?.aborted).toBe(true);
    expect((await from("usr_2", "a")).text).toContain("input_required");
  });
});

describe("a client that goes away", () => {
  it("while its call waits for its input may still come back; during a retry it cancels the call", async () => {
    const open = heldRequest();
    await using gateway = await startModernClients({
      request: (request) => (
        void request.onRequest({ method: "roots/list", params: undefined }, new AbortController().signal),
        open.request(request)
      ),
    });
    // The connection is closed with the first answer.
    const first = await post(gateway.port, "tools/call", call, { headers: { connection: "close" } });
    const { signal, onNotification } = await open.started;
    expect(signal?.aborted).toBe(false);
    const leave = new AbortController();
    const again = openPost(gateway.port, "tools/call", retry(first, { "roots-1": { roots: [] } }), {
      signal: leave.signal,
      meta: { ...ENVELOPE, progressToken: 1 },
    });
    // The retry is there once it hears progress.
    const beat = setInterval(
      () => onNotification({ method: "notifications/progress", params: '{"progressToken":1}' }),
      1,
    );
    const response = await again.finally(() => clearInterval(beat));
    response.on("error", () => {});
    await readStream(response).next();
    leave.abort();
    if (signal?.aborted === false) await once(signal, "abort");
    expect(signal?.aborted).toBe(true);
  });
});
