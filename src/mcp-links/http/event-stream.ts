import type { Dispatcher } from "undici";
import { GatewayError } from "../../core/errors.ts";
import { EventDecoder, EventTooLarge, type ServerSentEvent } from "../../jsonrpc/sse.ts";
import { type Conversation, isCoded, mediaType, statusError, transportError } from "./conversation.ts";

export interface StreamEnd {
  readonly status: number | null;
  /** Another attempt would end the same. */
  readonly isFinal: boolean;
  readonly reason: GatewayError;
}

/** One GET for an event stream. */
export class EventStream implements Dispatcher.DispatchHandler {
  readonly #conversation: Conversation;
  readonly #decoder: EventDecoder;
  readonly #ended = Promise.withResolvers<StreamEnd>();
  #controller: Dispatcher.DispatchController | null = null;
  #isOpen = false;
  #cut: GatewayError | null = null;

  constructor(conversation: Conversation, onEvent: (event: ServerSentEvent) => void) {
    this.#conversation = conversation;
    this.#decoder = new EventDecoder(conversation.limits.maxMessageBytes, onEvent);
  }

  get lastEventId(): string {
    return this.#decoder.lastEventId;
  }

  get retryMs(): number | null {
    return this.#decoder.retryMs;
  }

  /** Resolves when the stream has ended, in whatever way. @throws GatewayError `upstream.address_refused` */
  async open(path: string, headers: string[]): Promise<StreamEnd> {
    const { limits, upstream } = this.#conversation;
    const headersTimeout = limits.headersTimeoutMs > 0 ? limits.headersTimeoutMs : 60_000;
    // Silence is no fault of this stream: TCP keep-alive tells a dead peer.
    upstream.pool().dispatch({ path, method: "GET", headers, headersTimeout, bodyTimeout: 0 }, this);
    return this.#ended.promise;
  }

  cut(reason = new GatewayError("upstream.reset", { detail: "the stream is no longer wanted" })): void {
    this.#cut ??= reason;
    this.#controller?.abort(reason);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#cut) controller.abort(this.#cut);
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (status < 200) return;
    const isStream = status === 200 && mediaType(headers) === "text/event-stream" && !isCoded(headers);
    if (isStream) {
      this.#isOpen = true;
      return;
    }
    const hadSession = this.#conversation.sessionId !== null;
    const reason =
      status < 300
        ? new GatewayError("upstream.protocol", { detail: `${status} instead of an event stream` })
        : statusError(this.#conversation, status, hadSession);
    this.#ended.resolve({ status, isFinal: reason.code !== "upstream.unavailable", reason });
    controller.abort(reason);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#cut) return;
    try {
      this.#decoder.push(chunk);
    } catch (thrown) {
      const reason =
        thrown instanceof EventTooLarge
          ? new GatewayError("upstream.too_large", { detail: thrown.message })
          : transportError(thrown);
      this.#cut = reason;
      controller.abort(reason);
    }
  }

  onResponseEnd(): void {
    const reason = new GatewayError("upstream.reset", { detail: "the server ended the stream" });
    this.#ended.resolve({ status: 200, isFinal: false, reason });
  }

  onResponseError(_controller: Dispatcher.DispatchController, thrown: Error): void {
    const status = this.#isOpen ? 200 : null;
    this.#ended.resolve({ status, isFinal: false, reason: this.#cut ?? transportError(thrown) });
  }
}
