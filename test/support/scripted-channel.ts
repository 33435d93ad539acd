import { GatewayError } from "../../src/core/errors.ts";
import { errorReply, type Reply } from "../../src/jsonrpc/message.ts";
import type { Channel, ChannelEnd, ChannelRequest, ExchangeEvents } from "../../src/mcp-links/types.ts";

/** What a scripted server does with a request; a method that is not in the script is unknown to it. */
export type Script = Readonly<
  Record<string, (request: ChannelRequest, events: ExchangeEvents, channel: ScriptedChannel) => Reply | Promise<Reply>>
>;

export interface ScriptedChannel {
  readonly channel: Channel;
  /** Everything the server got, requests and notifications, in order. */
  readonly got: { readonly method: string; readonly params: string | undefined; readonly headers: object }[];
  /** Who listens for what belongs to no request. */
  outside(): ExchangeEvents;
  /** Ends the channel as a dying server does. */
  end(reason: string): void;
  /** Resolves when the server has got a message with this method, now or later. */
  saw(method: string): Promise<void>;
}

export const ok = (value: object = {}): Reply => ({ result: JSON.stringify(value) });

/** A channel to a server that does as it is told, and ends an exchange whose signal aborts, as all channels do. */
export function createScriptedChannel(kind: Channel["kind"], script: Script): ScriptedChannel {
  const got: ScriptedChannel["got"] = [];
  const waiting: { readonly method: string; readonly resolve: () => void }[] = [];
  const closing = new AbortController();
  let listening: ExchangeEvents | undefined;
  let finish: (end: ChannelEnd) => void;
  const closed = new Promise<ChannelEnd>((resolve) => (finish = resolve));

  function record(method: string, params: string | undefined, headers: object): void {
    got.push({ method, params, headers });
    for (const one of waiting) if (one.method === method) one.resolve();
  }

  function until(signal: AbortSignal | undefined): Promise<never> {
    return new Promise((_, reject) => {
      const fail = (): void => reject(signal?.reason);
      if (signal?.aborted) fail();
      else signal?.addEventListener("abort", fail, { once: true });
    });
  }

  const scripted: ScriptedChannel = {
    got,
    channel: {
      kind,
      sessionId: null,
      closed,
      async request(request, events) {
        record(request.method, request.params, request.headers);
        const serve = script[request.method] ?? (() => errorReply(-32601, `unknown method ${request.method}`));
        const answer = Promise.resolve().then(() => serve(request, events, scripted));
        return Promise.race([answer, until(request.signal), until(closing.signal)]);
      },
      async notify(method, params, headers) {
        record(method, params, headers);
      },
      listen(events) {
        if (listening) throw new Error("listen is called once");
        listening = events;
      },
      async close() {
        scripted.end("closed");
      },
    },
    outside() {
      if (!listening) throw new Error("nobody listens");
      return listening;
    },
    end(reason) {
      closing.abort(new GatewayError("upstream.reset", { detail: reason }));
      finish({ reason, expected: reason === "closed" });
    },
    async saw(method) {
      if (got.some((one) => one.method === method)) return;
      await new Promise<void>((resolve) => waiting.push({ method, resolve }));
    },
  };
  return scripted;
}

/** What a client's adapter hands to a link with each request; nobody hears what is not replaced. */
export const linkRequest = {
  client: { info: '{"name":"client","version":"1"}', capabilities: '{"roots":{}}' },
  signal: undefined,
  headers: {},
  onNotification: () => undefined,
  onRequest: async () => errorReply(-32601, "not scripted"),
  passInputRequired: false,
};
