import { GatewayError } from "../../core/errors.ts";
import { elements, type JsonText, memberText } from "../../jsonrpc/json-slice.ts";
import {
  errorReply,
  type IdText,
  type Message,
  NotAMessage,
  readMessage,
  type Reply,
  type RequestMessage,
  responseText,
} from "../../jsonrpc/message.ts";
import { RPC } from "../../jsonrpc/codes.ts";
import { isJson } from "../../jsonrpc/is-json.ts";
import type { ExchangeEvents } from "../types.ts";

/** Requests of a server that may be open at a time, per stream. */
const MAX_OPEN_REQUESTS = 64;
/** Batches are of 2025-03-26 only, and hardly ever used; each of their elements costs memory, however short. */
const MAX_BATCH_LENGTH = 1024 * 1024;

export interface InboundOptions {
  readonly events: ExchangeEvents;
  /** A reply to whatever request. */
  onReply(id: IdText | null, reply: Reply): void;
  /** Sends our answer to a request of the server. */
  answer(text: JsonText): Promise<void>;
  onAnswerFailed(error: GatewayError): void;
}

/** What a server sends over a stream, told apart and handed on. */
export class Inbound {
  readonly #options: InboundOptions;
  /** Requests of the server that wait for an answer, by the text of their id. */
  #open: Map<IdText, AbortController> | null = null;
  #ended = false;

  constructor(options: InboundOptions) {
    this.#options = options;
  }

  /** One message, or a batch of 2025-03-26. @throws GatewayError `upstream.protocol` */
  take(text: JsonText): void {
    for (const message of parseMessages(text)) {
      if (this.#ended) return;
      if (message.kind === "notification") this.#notification(message.method, message.params);
      else if (message.kind === "request") this.#request(message);
      else if (message.kind === "result") this.#options.onReply(message.id, { result: message.result });
      else this.#options.onReply(message.id, { error: message.error });
    }
  }

  /** Gives up what the server still waits for. Nothing is handed on from here. Idempotent. */
  end(): void {
    this.#ended = true;
    if (this.#open) for (const controller of this.#open.values()) controller.abort();
    this.#open = null;
  }

  #notification(method: string, params: JsonText | undefined): void {
    if (method === "notifications/cancelled" && this.#open && params !== undefined) {
      const id = memberText(params, "requestId");
      const controller = id === undefined ? undefined : this.#open.get(id);
      if (id !== undefined && controller) {
        this.#open.delete(id);
        controller.abort();
        return;
      }
    }
    this.#options.events.onNotification({ method, params });
  }

  #request({ id, method, params }: RequestMessage): void {
    this.#open ??= new Map();
    if (this.#open.size >= MAX_OPEN_REQUESTS || this.#open.has(id))
      throw new GatewayError("upstream.protocol", { detail: "too many open requests of the server, or one id twice" });
    const controller = new AbortController();
    this.#open.set(id, controller);
    void this.#serve(id, method, params, controller);
  }

  async #serve(id: IdText, method: string, params: JsonText | undefined, controller: AbortController): Promise<void> {
    let reply: Reply;
    try {
      reply = await this.#options.events.onRequest({ method, params }, controller.signal);
    } catch {
      reply = errorReply(RPC.internalError, "the client could not answer");
    }
    // Cancelled, or its stream is over: nobody waits (2025-11-25, Cancellation).
    if (controller.signal.aborted) return;
    this.#open?.delete(id);
    try {
      await this.#options.answer(responseText(id, reply));
    } catch (thrown) {
      if (thrown instanceof GatewayError) this.#options.onAnswerFailed(thrown);
    }
  }
}

/** The messages in a text that a server sent. @throws GatewayError `upstream.protocol` */
export function parseMessages(text: JsonText): readonly Message[] {
  if (!isJson(text)) throw noMessage("not JSON");
  try {
    const first = text.startsWith("{") ? 0 : text.search(/\S/);
    if (text[first] !== "[") return [readMessage(text)];
    if (text.length > MAX_BATCH_LENGTH) throw new NotAMessage("a batch that is too long");
    return elements(text, first).map(({ start, end }) => readMessage(text.slice(start, end)));
  } catch (thrown) {
    if (thrown instanceof NotAMessage) throw noMessage(thrown.message);
    throw thrown;
  }
}

function noMessage(why: string): GatewayError {
  return new GatewayError("upstream.protocol", { detail: `the server sent what is no message: ${why}` });
}

/** An answer's body as text, without the byte order mark that some servers put before it. */
export function textOf(bytes: Buffer): JsonText {
  const hasMark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
  return bytes.toString("utf8", hasMark ? 3 : 0);
}
