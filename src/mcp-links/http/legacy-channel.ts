import { GatewayError } from "../../core/errors.ts";
import type { JsonText } from "../../jsonrpc/json-slice.ts";
import { errorReply, type IdText, notificationText, type Reply, requestText } from "../../jsonrpc/message.ts";
import { RPC } from "../../jsonrpc/codes.ts";
import type { ServerSentEvent } from "../../jsonrpc/sse.ts";
import type { Channel, ChannelEnd, ChannelRequest, ExchangeEvents } from "../types.ts";
import { abortReason, type Conversation, requestHeaders } from "./conversation.ts";
import { EventStream, type StreamEnd } from "./event-stream.ts";
import { withoutMessageHeaders } from "./headers.ts";
import { Inbound } from "./inbound.ts";
import { postMessage } from "./send.ts";

/** A channel of kind `sse`, with its start apart, for who must know whether the server speaks this at all. */
export interface LegacyChannel extends Channel {
  /** Opens the stream and waits for the endpoint, no longer than the server's connect timeout. @throws GatewayError */
  connect(headers: Readonly<Record<string, string>>): Promise<void>;
}

interface Pending {
  readonly events: ExchangeEvents;
  settle(outcome: Reply | GatewayError): void;
}

/**
 * The transport of 2024-11-05: one event stream brings everything, also the replies; messages are posted to the address that
 * its first event names, which must be of the same origin. The channel ends with the stream.
 */
export function openLegacyChannel(conversation: Conversation): LegacyChannel {
  const pending = new Map<IdText, Pending>();
  const closed = Promise.withResolvers<ChannelEnd>();
  const endpoint = Promise.withResolvers<string>();
  // Waited for only by who sends something.
  endpoint.promise.catch(() => undefined);
  let listener: ExchangeEvents | null = null;
  let streamHeaders: Readonly<Record<string, string>> = {};
  let connecting: Promise<void> | null = null;
  let stream: EventStream | null = null;
  let ended: GatewayError | null = null;

  /** Nothing on the wire says to which request a message belongs, unless there is but one. */
  const receiver = (): ExchangeEvents | undefined => {
    if (listener) return listener;
    return pending.size === 1 ? pending.values().next().value?.events : undefined;
  };
  const inbound = new Inbound({
    events: {
      onNotification: (notification) => receiver()?.onNotification(notification),
      onRequest: (request, signal) =>
        receiver()?.onRequest(request, signal) ??
        Promise.resolve(errorReply(RPC.methodNotFound, "nobody is there to answer")),
    },
    onReply: (id, reply) => {
      if (id !== null) pending.get(id)?.settle("result" in reply ? { result: reply.result } : { error: reply.error });
    },
    answer: async (text) => postMessage(conversation, text, streamHeaders, await endpoint.promise),
    onAnswerFailed: () => undefined,
  });

  function end(reason: GatewayError, expected: boolean): void {
    if (ended) return;
    ended = reason;
    endpoint.reject(reason);
    inbound.end();
    for (const each of pending.values()) each.settle(reason);
    stream?.cut(reason);
    closed.resolve({ reason: reason.message, expected });
  }

  function onEvent({ type, data }: ServerSentEvent): void {
    if (ended) return;
    if (type === "endpoint") {
      const path = endpointPath(conversation, data);
      if (path === null)
        end(new GatewayError("upstream.protocol", { detail: "the endpoint is not at the server's own origin" }), false);
      else endpoint.resolve(path);
    } else if (type === "message" && data !== "") {
      try {
        inbound.take(data);
      } catch (thrown) {
        // What the server sent is no message. What follows may be one.
        if (!(thrown instanceof GatewayError)) throw thrown;
      }
    }
  }

  async function open(headers: Readonly<Record<string, string>>): Promise<void> {
    streamHeaders = withoutMessageHeaders(headers);
    const { authorization, connectTimeoutMs } = conversation.upstream;
    const timer = setTimeout(() => {
      end(new GatewayError("upstream.timeout", { detail: `no endpoint event in ${connectTimeoutMs} ms` }), false);
    }, connectTimeoutMs);
    timer.unref();
    const run = async (): Promise<void> => {
      let value = authorization === null ? null : await authorization.current();
      let over = await follow(value);
      if (over.status === 401 && authorization !== null && value !== null && !ended) {
        value = await authorization.renew(value);
        if (value !== null) over = await follow(value);
      }
      end(over.reason, false);
    };
    run().catch((thrown: unknown) => {
      const reason = thrown instanceof GatewayError ? thrown : new GatewayError("internal", { cause: thrown });
      end(reason, false);
    });
    try {
      await endpoint.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  async function follow(authorization: string | null): Promise<StreamEnd> {
    if (ended) return { status: null, isFinal: true, reason: ended };
    stream = new EventStream(conversation, onEvent);
    return stream.open(conversation.upstream.path, requestHeaders(conversation, "GET", authorization, streamHeaders));
  }

  const connect = (headers: Readonly<Record<string, string>>): Promise<void> => (connecting ??= open(headers));

  async function request(channelRequest: ChannelRequest, events: ExchangeEvents): Promise<Reply> {
    const { id, method, params, headers, signal } = channelRequest;
    if (ended) throw ended;
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    const onAbort = (): void => each.settle(abortReason(signal));
    const each: Pending = {
      events,
      settle(outcome) {
        pending.delete(String(id));
        signal?.removeEventListener("abort", onAbort);
        if (outcome instanceof GatewayError) reject(outcome);
        else resolve(outcome);
      },
    };
    pending.set(String(id), each);
    if (signal?.aborted) onAbort();
    else {
      signal?.addEventListener("abort", onAbort);
      void send(requestText(String(id), method, params), headers, each);
    }
    return promise;
  }

  async function send(text: JsonText, headers: Readonly<Record<string, string>>, each: Pending): Promise<void> {
    try {
      await connect(headers);
      await postMessage(conversation, text, headers, await endpoint.promise);
    } catch (thrown) {
      each.settle(thrown instanceof GatewayError ? thrown : new GatewayError("internal", { cause: thrown }));
    }
  }

  return {
    kind: "sse",
    connect,
    request,
    async notify(method, params, headers) {
      if (ended) throw ended;
      await connect(headers);
      await postMessage(conversation, notificationText(method, params), headers, await endpoint.promise);
    },
    listen(events) {
      listener = events;
    },
    sessionId: null,
    closed: closed.promise,
    async close() {
      end(new GatewayError("upstream.reset", { detail: "closed" }), true);
    },
  };
}

/** The path to post to, or null where the address is of another origin or none at all. */
function endpointPath(conversation: Conversation, data: string): string | null {
  const { url } = conversation.upstream;
  if (!URL.canParse(data, url.href)) return null;
  const target = new URL(data, url.href);
  return target.origin === url.origin ? target.pathname + target.search : null;
}
