import { describe, expect, it } from "vitest";
import { GatewayError } from "../../core/errors.ts";
import type { Reply } from "../../jsonrpc/message.ts";
import type { ExchangeEvents, ServerRequest } from "../types.ts";
import { createExchanges } from "./exchanges.ts";

function setUp() {
  const sent: string[] = [];
  const noise: string[] = [];
  const exchanges = createExchanges({ send: (text) => void sent.push(text), onNoise: (why) => void noise.push(why) });
  const heard: string[] = [];
  /** Events that note under `name` what they get, and answer requests with `reply`. */
  const events = (name: string, reply: () => Promise<Reply> = () => Promise.resolve({ result: "{}" })) => ({
    onNotification: ({ method }: { method: string }) => void heard.push(`${name} ${method}`),
    onRequest({ method }: ServerRequest) {
      heard.push(`${name} ${method}`);
      return reply();
    },
  });
  const begin = (id: number, on: ExchangeEvents = events(String(id))) => exchanges.begin(id, on, undefined);
  return { exchanges, sent, noise, heard, events, begin };
}

const notification = (method: string, params: unknown = {}) => JSON.stringify({ jsonrpc: "2.0", method, params });
const flush = () => new Promise((resolve) => setImmediate(resolve));

describe("exchanges", () => {
  it("settles each request once, with the first answer that carries its id", async () => {
    const { exchanges, begin, noise } = setUp();
    const [first, zero] = [begin(1), begin(0)];
    exchanges.receive('{"jsonrpc":"2.0","id":0,"error":{"code":-1,"message":"no"}}');
    exchanges.receive('{"jsonrpc":"2.0","id":0,"result":{}}');
    exchanges.receive('{ "id": 1, "result": {"n": 1.50}, "jsonrpc": "2.0", "extra": true }');
    expect(await zero).toEqual({ error: '{"code":-1,"message":"no"}' });
    expect(await first).toEqual({ result: '{"n": 1.50}' });
    expect(noise).toEqual(["answers no open request"]);
    expect(exchanges.open).toBe(0);
  });

  it("takes a batch apart", async () => {
    const { exchanges, begin, heard } = setUp();
    const both = Promise.all([begin(1), begin(2)]);
    exchanges.receive(
      `[{"jsonrpc":"2.0","id":2,"result":{}},${notification("notifications/x")},{"jsonrpc":"2.0","id":1,"result":{}}]`,
    );
    expect(await both).toEqual([{ result: "{}" }, { result: "{}" }]);
    expect(heard).toEqual(["1 notifications/x"]);
  });

  it.each([
    ["progress", notification("notifications/progress", { progressToken: 1 }), ["1 notifications/progress"]],
    ["progress of a request that is over", notification("notifications/progress", { progressToken: 9 }), []],
    ["progress without a token", notification("notifications/progress"), []],
    [
      "a subscription's",
      notification("notifications/tools/list_changed", { _meta: { "io.modelcontextprotocol/subscriptionId": "1" } }),
      ["1 notifications/tools/list_changed"],
    ],
    [
      "a subscription's, by number",
      notification("notifications/tools/list_changed", { _meta: { "io.modelcontextprotocol/subscriptionId": 2 } }),
      ["2 notifications/tools/list_changed"],
    ],
    [
      "one of a subscription that is over",
      notification("notifications/tools/list_changed", { _meta: { "io.modelcontextprotocol/subscriptionId": 7 } }),
      [],
    ],
    ["any other", notification("notifications/message"), ["3 notifications/message"]],
  ])("hands a notification to the request it belongs to, the last one if it names none: %s", (_, line, expected) => {
    const { exchanges, begin, heard, events } = setUp();
    exchanges.listen(events("listener"));
    void Promise.all([begin(1), begin(2), begin(3)]);
    exchanges.receive(line);
    expect(heard).toEqual(expected);
  });

  it("hands what comes while nothing is open to the listener", async () => {
    const { exchanges, heard, sent, events } = setUp();
    exchanges.listen(events("listener"));
    exchanges.receive(notification("notifications/message"));
    exchanges.receive('{"jsonrpc":"2.0","id":"a\\u0062","method":"ping"}');
    await flush();
    expect(heard).toEqual(["listener notifications/message", "listener ping"]);
    expect(sent).toEqual(['{"jsonrpc":"2.0","id":"a\\u0062","result":{}}']);
  });

  it("answers a server's request with an error where nobody listens or the receiver fails", async () => {
    const { exchanges, sent, events, begin } = setUp();
    exchanges.receive('{"jsonrpc":"2.0","id":1,"method":"ping"}');
    void begin(
      1,
      events("1", () => Promise.reject(new Error("with a secret"))),
    );
    exchanges.receive('{"jsonrpc":"2.0","id":2,"method":"ping"}');
    await flush();
    expect(sent.map((text) => JSON.parse(text).error.code)).toEqual([-32601, -32603]);
    expect(sent.join("")).not.toContain("secret");
  });

  it("does not answer what the server took back, and tells the receiver", async () => {
    const { exchanges, sent, events } = setUp();
    let reason: unknown;
    exchanges.listen({
      ...events("listener"),
      onRequest: (_, signal) =>
        new Promise((_resolve, reject) =>
          signal.addEventListener("abort", () => {
            reason = signal.reason;
            reject(reason);
          }),
        ),
    });
    exchanges.receive('{"jsonrpc":"2.0","id":5,"method":"elicitation/create"}');
    exchanges.receive(notification("notifications/cancelled", { requestId: 5 }));
    await flush();
    expect(reason).toBeInstanceOf(GatewayError);
    expect(sent).toEqual([]);
  });

  it("bounds how much a server may ask at once, and refuses an id that is in use", async () => {
    const { exchanges, sent, events } = setUp();
    exchanges.listen(events("listener", () => new Promise(() => undefined)));
    for (let id = 0; id < 300; id++) exchanges.receive(`{"jsonrpc":"2.0","id":${id},"method":"ping"}`);
    exchanges.receive('{"jsonrpc":"2.0","id":0,"method":"ping"}');
    await flush();
    expect(sent).toHaveLength(45);
    expect(exchanges.open).toBe(0);
  });

  it("ends everything at once", async () => {
    const { exchanges, begin } = setUp();
    const both = Promise.allSettled([begin(1), begin(2)]);
    exchanges.end(new GatewayError("upstream.reset"));
    expect((await both).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(exchanges.open).toBe(0);
  });
});
