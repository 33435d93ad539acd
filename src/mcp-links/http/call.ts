import type { Dispatcher } from "undici";
import { ByteCollector } from "../../core/byte-collector.ts";
import { GatewayError } from "../../core/errors.ts";
import type { JsonText } from "../../jsonrpc/json-slice.ts";
import { type IdText, type Reply, requestText } from "../../jsonrpc/message.ts";
import { EventDecoder, EventTooLarge } from "../../jsonrpc/sse.ts";
import type { ChannelRequest, ExchangeEvents } from "../types.ts";
import {
  abortReason,
  type Conversation,
  isCoded,
  mediaType,
  requestHeaders,
  statusError,
  transportError,
} from "./conversation.ts";
import { type Follow, followEvents } from "./follow-events.ts";
import { withoutMessageHeaders } from "./headers.ts";
import { Inbound, parseMessages, textOf } from "./inbound.ts";
import { readRefusal } from "./refusal.ts";
import { postMessage } from "./send.ts";

/** How a call ended. `status` is that of the answer where there was one, also in failure. */
export interface CallEnd {
  reply(reply: Reply): void;
  fail(error: GatewayError, status: number | null): void;
}

/** How long a server may keep the stream open after the reply, before the connection is cut. */
const LINGER_MS = 1_000;
/** Many more than any exchange needs (RFC 8297 allows several). */
const MAX_INFORMATIONAL = 32;
/** Attempts in a row, without one event, to resume a stream that broke before the reply. */
const RESUME_ATTEMPTS = 10;
/** Beyond this an answer with a failure status is not looked into. */
const MAX_FAILURE_BYTES = 1024 * 1024;

/**
 * One request over streamable HTTP: a POST, answered with JSON or with an event stream that the reply ends. A stream that
 * breaks before the reply is resumed where its events had ids (2025-11-25, Resumability). Repeated only after a 401, and
 * once. A state with the lifetime of the exchange; every way out goes through `#finish`.
 */
export class Call implements Dispatcher.DispatchHandler {
  readonly #conversation: Conversation;
  readonly #request: ChannelRequest;
  readonly #events: ExchangeEvents;
  readonly #end: CallEnd;
  readonly #hadSession: boolean;
  #controller: Dispatcher.DispatchController | null = null;
  #authorization: string | null = null;
  #renewed = false;
  #renewing = false;
  #ended = false;
  #status: number | null = null;
  #informational = 0;
  /** An answer in JSON. */
  #body: ByteCollector | null = null;
  #left = 0;
  /** An answer as an event stream. */
  #decoder: EventDecoder | null = null;
  #inbound: Inbound | null = null;
  #follow: Follow | null = null;
  #streamOver = false;
  #linger: NodeJS.Timeout | null = null;

  constructor(conversation: Conversation, request: ChannelRequest, events: ExchangeEvents, end: CallEnd) {
    this.#conversation = conversation;
    this.#request = request;
    this.#events = events;
    this.#end = end;
    this.#hadSession = conversation.sessionId !== null;
  }

  start(): void {
    const { signal } = this.#request;
    if (signal?.aborted) {
      this.handleEvent();
      return;
    }
    signal?.addEventListener("abort", this);
    const authorization = this.#conversation.upstream.authorization;
    if (authorization === null) {
      this.#send(null);
      return;
    }
    try {
      const value = authorization.current();
      if (typeof value === "string") this.#send(value);
      else
        value.then(
          (later) => this.#send(later),
          (thrown: unknown) => this.#failWith(thrown),
        );
    } catch (thrown) {
      this.#failWith(thrown);
    }
  }

  /** Ends the call for a reason of the channel's own. */
  abort(reason: GatewayError): void {
    this.#fail(reason);
  }

  #send(authorization: string | null): void {
    if (this.#ended) return;
    this.#authorization = authorization;
    const { upstream, limits } = this.#conversation;
    const { id, method, params, headers } = this.#request;
    try {
      upstream.pool().dispatch(
        {
          path: upstream.path,
          method: "POST",
          headers: requestHeaders(this.#conversation, "POST", authorization, headers),
          body: requestText(String(id), method, params),
          headersTimeout: limits.headersTimeoutMs,
          bodyTimeout: limits.idleTimeoutMs,
        },
        this,
      );
    } catch (thrown) {
      this.#failWith(thrown);
    }
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#ended) controller.abort(new GatewayError("upstream.reset", { detail: "the call has ended" }));
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (status < 200) {
      // Each one restarts the wait for the head: without a bound a server could send them for ever.
      if (++this.#informational > MAX_INFORMATIONAL)
        this.#fail(new GatewayError("upstream.protocol", { detail: "too many informational responses" }));
      return;
    }
    this.#status = status;
    if (isCoded(headers)) {
      this.#fail(new GatewayError("upstream.protocol", { detail: "a coded body, which was not asked for" }));
    } else if (status < 300) {
      this.#accepted(status, headers);
    } else {
      this.#refused(status, headers);
    }
  }

  #accepted(status: number, headers: Record<string, string | string[] | undefined>): void {
    if (this.#request.method === "initialize" && !this.#takeSession(headers["mcp-session-id"])) return;
    const type = mediaType(headers);
    if (type === "application/json") this.#collect(headers, this.#conversation.limits.maxMessageBytes);
    else if (type === "text/event-stream") this.#readEvents();
    else
      this.#fail(
        new GatewayError("upstream.protocol", { detail: `${status} with neither JSON nor an event stream in it` }),
      );
  }

  /** 2025-11-25, Session Management: visible ASCII only. A longer one than any server makes is not carried about. */
  #takeSession(header: string | string[] | undefined): boolean {
    if (header === undefined) return true;
    if (typeof header === "string" && /^[\x21-\x7e]{1,1024}$/.test(header)) {
      this.#conversation.sessionId = header;
      return true;
    }
    this.#fail(new GatewayError("upstream.protocol", { detail: "a session id that is not visible ASCII" }));
    return false;
  }

  #refused(status: number, headers: Record<string, string | string[] | undefined>): void {
    const canRenew = status === 401 && this.#authorization !== null && !this.#renewed;
    if (canRenew) {
      this.#renewed = true;
      this.#renewing = true;
      this.#controller?.abort(new GatewayError("upstream.refused", { detail: "the credential is renewed" }));
      return;
    }
    const isSessionLost = status === 404 && this.#hadSession;
    const mayHoldError = status >= 400 && status !== 401 && status !== 403 && !isSessionLost;
    if (mayHoldError && mediaType(headers) === "application/json") this.#collect(headers, MAX_FAILURE_BYTES);
    else this.#fail(statusError(this.#conversation, status, this.#hadSession));
  }

  #collect(headers: Record<string, string | string[] | undefined>, maxBytes: number): void {
    this.#left = Math.min(maxBytes, this.#conversation.limits.maxMessageBytes);
    if (Number(headers["content-length"] ?? 0) > this.#left) this.#tooLarge();
    else this.#body = new ByteCollector();
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#decoder !== null) this.#push(this.#decoder, chunk);
    else if (this.#body !== null) {
      this.#left -= chunk.length;
      if (this.#left < 0) this.#tooLarge();
      else this.#body.add(chunk);
    }
  }

  onResponseEnd(): void {
    if (this.#decoder !== null) this.#streamEnded(new GatewayError("upstream.reset", { detail: "the stream ended" }));
    else if (this.#body !== null) this.#readAnswer(this.#body.take());
  }

  onResponseError(_controller: Dispatcher.DispatchController, thrown: Error): void {
    if (this.#renewing) void this.#renew();
    else if (this.#decoder !== null) this.#streamEnded(transportError(thrown));
    else this.#failWith(thrown);
  }

  async #renew(): Promise<void> {
    this.#renewing = false;
    const { authorization } = this.#conversation.upstream;
    const next = (await authorization?.renew(this.#authorization ?? "")) ?? null;
    if (next === null) this.#fail(statusError(this.#conversation, 401, this.#hadSession));
    else this.#send(next);
  }

  #readAnswer(bytes: Buffer): void {
    if (this.#ended) return;
    const status = this.#status ?? 0;
    const text = textOf(bytes);
    try {
      if (status < 300) {
        const [message, ...more] = parseMessages(text);
        if (message && more.length === 0 && message.kind === "result") this.#reply(message.id, message);
        else this.#stream().take(text);
        if (!this.#ended) throw new GatewayError("upstream.protocol", { detail: "an answer without the reply" });
      } else {
        const outcome = readRefusal(text, String(this.#request.id), this.#hadSession && status === 400);
        const failure = (): GatewayError => statusError(this.#conversation, status, this.#hadSession);
        if (outcome === "none") throw failure();
        if (outcome === "session lost") throw new GatewayError("upstream.session_lost", { detail: failure().message });
        this.#finish(() => this.#end.reply(outcome));
      }
    } catch (thrown) {
      this.#failWith(thrown);
    }
  }

  #readEvents(): void {
    const inbound = this.#stream();
    this.#decoder = new EventDecoder(this.#conversation.limits.maxMessageBytes, ({ type, data }) => {
      if (type === "message" && data !== "") inbound.take(data);
    });
  }

  #stream(): Inbound {
    const responseHeaders = (): Readonly<Record<string, string>> => withoutMessageHeaders(this.#request.headers);
    return (this.#inbound ??= new Inbound({
      events: this.#events,
      onReply: (id, reply) => this.#reply(id, reply),
      answer: (text) => postMessage(this.#conversation, text, responseHeaders()),
      onAnswerFailed: (error) => this.#fail(error),
    }));
  }

  #push(decoder: EventDecoder, chunk: Buffer): void {
    if (this.#ended) return;
    try {
      decoder.push(chunk);
    } catch (thrown) {
      if (thrown instanceof EventTooLarge) this.#tooLarge();
      else this.#failWith(thrown);
    }
  }

  #streamEnded(error: GatewayError): void {
    this.#streamOver = true;
    if (this.#ended) {
      if (this.#linger) clearTimeout(this.#linger);
      return;
    }
    const decoder = this.#decoder;
    if (decoder === null || decoder.lastEventId === "") {
      this.#fail(error);
      return;
    }
    this.#decoder = null;
    this.#controller = null;
    const inbound = this.#stream();
    this.#follow = followEvents(this.#conversation, {
      headers: withoutMessageHeaders(this.#request.headers),
      from: { lastEventId: decoder.lastEventId, retryMs: decoder.retryMs },
      attempts: RESUME_ATTEMPTS,
      onText: (text) => this.#takeResumed(inbound, text),
      onGiveUp: (reason) => this.#fail(reason),
    });
  }

  #takeResumed(inbound: Inbound, text: JsonText): void {
    try {
      inbound.take(text);
    } catch (thrown) {
      this.#failWith(thrown);
    }
  }

  #reply(id: IdText | null, reply: Reply): void {
    if (this.#ended) return;
    if (id !== null && id !== String(this.#request.id)) {
      // A resumed stream may bring what was not for this call.
      if (this.#follow) return;
      throw new GatewayError("upstream.protocol", { detail: "a reply to another request" });
    }
    if (id === null && "result" in reply) return;
    this.#finish(() => this.#end.reply("result" in reply ? { result: reply.result } : { error: reply.error }));
    // Mostly the stream ends in the same packet, so that no timer is needed.
    if (this.#decoder !== null) process.nextTick(() => this.#awaitEnd());
  }

  /** The server ends the stream after the reply. The connection is worth waiting for, but not for long. */
  #awaitEnd(): void {
    if (this.#streamOver) return;
    this.#linger = setTimeout(() => {
      this.#controller?.abort(
        new GatewayError("upstream.protocol", { detail: "a stream that goes on after the reply" }),
      );
    }, LINGER_MS);
    this.#linger.unref();
  }

  /** As the signal's listener: one object for both the method and its caller's list, none where there is no signal. */
  handleEvent(): void {
    this.#fail(abortReason(this.#request.signal));
  }

  #failWith(thrown: unknown): void {
    this.#fail(transportError(thrown));
  }

  #tooLarge(): void {
    const detail = `an answer of more than ${this.#conversation.limits.maxMessageBytes} bytes`;
    this.#fail(new GatewayError("upstream.too_large", { detail }));
  }

  #fail(error: GatewayError): void {
    if (this.#ended) return;
    this.#finish(() => this.#end.fail(error, this.#status));
    this.#controller?.abort(error);
  }

  #finish(tell: () => void): void {
    this.#ended = true;
    this.#request.signal?.removeEventListener("abort", this);
    this.#inbound?.end();
    this.#follow?.stop();
    this.#body = null;
    tell();
  }
}
