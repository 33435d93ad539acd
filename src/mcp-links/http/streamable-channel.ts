import { GatewayError } from "../../core/errors.ts";
import type { JsonText } from "../../jsonrpc/json-slice.ts";
import { notificationText, type Reply } from "../../jsonrpc/message.ts";
import type { Channel, ChannelEnd, ChannelRequest, ExchangeEvents } from "../types.ts";
import { Call } from "./call.ts";
import type { Conversation } from "./conversation.ts";
import { type Follow, followEvents } from "./follow-events.ts";
import { withoutMessageHeaders } from "./headers.ts";
import { Inbound } from "./inbound.ts";
import { postMessage, sendAuthorized } from "./send.ts";

/** Asked where a request failed: a reply from elsewhere, or null for the failure as it is. */
type OtherWay = (failed: {
  readonly request: ChannelRequest;
  readonly events: ExchangeEvents;
  readonly error: GatewayError;
  /** Of the HTTP answer; null where there was none. */
  readonly status: number | null;
}) => Promise<Reply> | null;

/** A channel over streamable HTTP, of both eras: one POST per message. */
export function openStreamableChannel(conversation: Conversation, otherWay: OtherWay = () => null): Channel {
  const calls = new Set<Call>();
  const closed = Promise.withResolvers<ChannelEnd>();
  let listener: { events: ExchangeEvents; headers: Readonly<Record<string, string>> } | null = null;
  /** The headers with which the session was confirmed; null before that. */
  let initialized: Readonly<Record<string, string>> | null = null;
  let following: { follow: Follow; inbound: Inbound } | null = null;
  let closing: Promise<void> | null = null;

  const assertOpen = (): void => {
    if (closing) throw new GatewayError("upstream.reset", { detail: "the channel is closed" });
  };
  const startListening = (): void => {
    if (listener === null || initialized === null || following !== null || closing) return;
    following = listen(conversation, listener.events, { ...initialized, ...listener.headers });
  };

  /** Before `initialize`, also a second one: what follows belongs to a new session (2025-11-25, Session Management, 4). */
  const forgetSession = (): void => {
    conversation.sessionId = null;
    initialized = null;
    stopListening();
  };
  const stopListening = (): void => {
    following?.follow.stop();
    following?.inbound.end();
    following = null;
  };

  async function request(channelRequest: ChannelRequest, events: ExchangeEvents): Promise<Reply> {
    assertOpen();
    if (channelRequest.method === "initialize") forgetSession();
    return new Promise((resolve, reject) => {
      const call: Call = new Call(conversation, channelRequest, events, {
        reply(reply) {
          calls.delete(call);
          resolve(reply);
        },
        fail(error, status) {
          calls.delete(call);
          const other = closing ? null : otherWay({ request: channelRequest, events, error, status });
          if (other) resolve(other);
          else reject(error);
        },
      });
      calls.add(call);
      call.start();
    });
  }

  async function notify(
    method: string,
    params: JsonText | undefined,
    headers: Readonly<Record<string, string>>,
  ): Promise<void> {
    assertOpen();
    await postMessage(conversation, notificationText(method, params), headers);
    if (method !== "notifications/initialized") return;
    initialized = withoutMessageHeaders(headers);
    startListening();
  }

  async function end(): Promise<void> {
    const reason = new GatewayError("upstream.reset", { detail: "the channel is closed" });
    for (const call of calls) call.abort(reason);
    stopListening();
    if (conversation.sessionId !== null) await endSession(conversation, initialized ?? {});
    closed.resolve({ reason: "closed", expected: true });
  }

  return {
    kind: "http",
    request,
    notify,
    listen(events, headers) {
      listener = { events, headers };
      startListening();
    },
    get sessionId() {
      return conversation.sessionId;
    },
    closed: closed.promise,
    close: () => (closing ??= end()),
  };
}

/** The stream of what belongs to no request. A server that has none answers 405, and that is the end of it. */
function listen(
  conversation: Conversation,
  events: ExchangeEvents,
  headers: Readonly<Record<string, string>>,
): { follow: Follow; inbound: Inbound } {
  const inbound = new Inbound({
    events,
    onReply: () => undefined,
    answer: (text) => postMessage(conversation, text, headers),
    onAnswerFailed: () => undefined,
  });
  const follow = followEvents(conversation, {
    headers,
    from: null,
    attempts: Number.POSITIVE_INFINITY,
    onText: (text) => inbound.take(text),
    onBroken: () => events.onStreamLost?.(),
    onGiveUp: () => inbound.end(),
  });
  return { follow, inbound };
}

/** Ends the session (2025-11-25, Session Management, 5). Servers need not allow it, and are not waited for long. */
async function endSession(conversation: Conversation, headers: Readonly<Record<string, string>>): Promise<void> {
  const { upstream, limits } = conversation;
  const bound = limits.closeTimeoutMs;
  await sendAuthorized(conversation, "DELETE", upstream.path, null, headers, bound).catch(() => undefined);
}
