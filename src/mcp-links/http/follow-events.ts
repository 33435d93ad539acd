import { steadyClock } from "../../core/clock.ts";
import { GatewayError } from "../../core/errors.ts";
import type { JsonText } from "../../jsonrpc/json-slice.ts";
import { type Conversation, requestHeaders, transportError } from "./conversation.ts";
import { EventStream, type StreamEnd } from "./event-stream.ts";

/** A stream that is being followed. */
export interface Follow {
  /** Cuts the stream; nothing is handed on from here. Idempotent. */
  stop(): void;
}

export interface FollowOptions {
  readonly headers: Readonly<Record<string, string>>;
  /** Where an earlier stream ended; null begins a new one. */
  readonly from: { readonly lastEventId: string; readonly retryMs: number | null } | null;
  /** How many connections in a row may end soon without an event. */
  readonly attempts: number;
  /** One message or batch, unparsed. May throw GatewayError: it is then passed over. */
  onText(text: JsonText): void;
  /** There was a stream, and it could not be taken up again just now. Before `onGiveUp`; not called after `stop`. */
  onBroken?(): void;
  /** The server has no such stream, or the attempts are used up. Not called after `stop`. */
  onGiveUp(reason: GatewayError): void;
}

const MIN_DELAY_MS = 100;
const FIRST_DELAY_MS = 1_000;
const MAX_DELAY_MS = 60_000;
/** A stream that was open for this long was worth its connection, though it said nothing. */
const LASTING_MS = 5_000;

/**
 * Follows the event stream that GET gives (2025-11-25, Listening for Messages), and resumes it with `Last-Event-ID` after
 * what the server asked for in `retry`, else after a time that doubles with each fruitless attempt.
 */
export function followEvents(conversation: Conversation, options: FollowOptions): Follow {
  let lastEventId = options.from?.lastEventId ?? "";
  let retryMs = options.from?.retryMs ?? null;
  let fruitless = 0;
  let wasOpen = options.from !== null;
  let stopped = false;
  let timer: NodeJS.Timeout | null = null;
  let stream: EventStream | null = null;

  const giveUp = (reason: GatewayError): void => {
    if (stopped) return;
    stop();
    options.onGiveUp(reason);
  };
  const again = (reason: GatewayError): void => {
    if (stopped) return;
    if (fruitless >= options.attempts) {
      giveUp(reason);
      return;
    }
    const backOff = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(fruitless, 10));
    fruitless++;
    // A server that asks for 0 and never has anything would be asked without pause.
    const asked = retryMs === null ? backOff : Math.min(MAX_DELAY_MS, Math.max(MIN_DELAY_MS, retryMs));
    timer = setTimeout(() => void open(), fruitless > 3 ? Math.max(asked, backOff) : asked);
    timer.unref();
  };
  const open = async (): Promise<void> => {
    const { authorization } = conversation.upstream;
    let value: string | null = null;
    try {
      value = authorization === null ? null : await authorization.current();
      let end = await connect(value);
      if (end.status === 401 && authorization !== null && value !== null && !stopped) {
        value = await authorization.renew(value);
        if (value !== null) end = await connect(value);
      }
      if (end.status === 200) wasOpen = true;
      else if (wasOpen && !stopped) options.onBroken?.();
      if (end.isFinal) giveUp(end.reason);
      else again(end.reason);
    } catch (thrown) {
      again(transportError(thrown));
    }
  };
  const connect = async (authorization: string | null): Promise<StreamEnd> => {
    if (stopped) return { status: null, isFinal: true, reason: new GatewayError("upstream.reset") };
    const headers = requestHeaders(conversation, "GET", authorization, options.headers);
    if (lastEventId !== "" && /^[\x20-\x7e]+$/.test(lastEventId)) headers.push("last-event-id", lastEventId);
    const current = new EventStream(conversation, ({ type, data }) => {
      fruitless = 0;
      if (type === "message" && data !== "" && !stopped) handOn(data);
    });
    stream = current;
    const openedAt = steadyClock.now();
    const end = await current.open(conversation.upstream.path, headers);
    if (end.status === 200 && steadyClock.now() - openedAt >= LASTING_MS) fruitless = 0;
    if (current.lastEventId !== "") lastEventId = current.lastEventId;
    retryMs = current.retryMs ?? retryMs;
    return end;
  };
  const handOn = (data: JsonText): void => {
    try {
      options.onText(data);
    } catch (thrown) {
      // What the server sent is no message. What follows may be one.
      if (!(thrown instanceof GatewayError)) throw thrown;
    }
  };
  const stop = (): void => {
    stopped = true;
    if (timer) clearTimeout(timer);
    stream?.cut();
  };

  if (options.from === null) void open();
  else again(new GatewayError("upstream.reset", { detail: "the stream broke" }));
  return { stop };
}
