import type { ServerResponse } from "node:http";
import type { JsonText } from "../../jsonrpc/json-slice.ts";
import { type IdText, notificationText, type Reply, responseText } from "../../jsonrpc/message.ts";
import { encodeEvent, EVENT_STREAM_PING } from "../../jsonrpc/sse.ts";
import type { ServerNotification } from "../../mcp-links/types.ts";
import { statusOf } from "./results.ts";

/** How one POST is answered. */
export interface Exchange {
  /** False once it is answered, or the client is gone. */
  isOpen(): boolean;
  /** Sends a notification before the answer, which makes the answer an event stream. Dropped once it is not open. */
  notify(notification: ServerNotification): void;
  /** Keeps proxies from closing a stream on which nothing happens. Nothing before the first notification. */
  keepAlive(): void;
  /** The one answer: plain JSON, or the last event. Nothing once it is not open. */
  answer(reply: Reply, options?: AnswerOptions): void;
}

export interface AnswerOptions {
  /** Where the reply alone does not say it. Once events were sent the status is 200 for good. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The open event streams of an adapter: kept alive together, by one timer. */
export interface OpenStreams {
  add(stream: Pick<Exchange, "keepAlive">): void;
  delete(stream: Pick<Exchange, "keepAlive">): void;
}

export interface ExchangeParts {
  readonly response: ServerResponse;
  readonly id: IdText | null;
  /** Bytes that may wait for a client that does not read; more, and it is cut off. */
  readonly maxBufferedBytes: number;
  readonly streams: OpenStreams;
  /** The client closed the connection before the answer: it wants no answer (Streamable HTTP, Cancellation). */
  onGone(): void;
}

/** Headers of an event stream; the last is for nginx, which holds events back otherwise. */
const STREAM_HEADERS = { "content-type": "text/event-stream", "x-accel-buffering": "no" };

const MESSAGE = { type: "message" };

/** Opens the exchange of one POST. `onGone` is called at most once, never after `answer`, and never before this returns. */
export function openExchange({ response, id, maxBufferedBytes, streams, onGone }: ExchangeParts): Exchange {
  let open = !response.destroyed;
  let streaming = false;

  const end = () => {
    open = false;
    if (streaming) streams.delete(exchange);
  };
  const exchange: Exchange = {
    isOpen: () => open,

    notify({ method, params }) {
      if (!open) return;
      if (!streaming) {
        streaming = true;
        streams.add(exchange);
        response.writeHead(200, STREAM_HEADERS);
      }
      write(notificationText(method, params));
    },

    keepAlive() {
      if (open && streaming && response.writableLength <= maxBufferedBytes) response.write(EVENT_STREAM_PING);
    },

    answer(reply, options = {}) {
      if (!open) return;
      const text = responseText(id, reply);
      end();
      if (streaming) return void response.end(encodeEvent(text, MESSAGE));
      response.writeHead(options.status ?? statusOf(reply), {
        ...options.headers,
        "content-type": "application/json",
        "content-length": Buffer.byteLength(text),
      });
      response.end(text);
    },
  };
  // The client may be gone before anybody looked: what its request starts then has to hear of it all the same.
  if (!open) queueMicrotask(onGone);
  response.once("close", () => {
    if (!open) return;
    end();
    onGone();
  });
  return exchange;

  function write(text: JsonText): void {
    response.write(encodeEvent(text, MESSAGE));
    if (response.writableLength > maxBufferedBytes) response.destroy();
  }
}
