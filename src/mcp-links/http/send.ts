import type { Dispatcher } from "undici";
import { ByteCollector } from "../../core/byte-collector.ts";
import { GatewayError } from "../../core/errors.ts";
import type { JsonText } from "../../jsonrpc/json-slice.ts";
import { type Conversation, requestHeaders, statusError, transportError } from "./conversation.ts";

/** A short answer, read whole. */
export interface ShortAnswer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: Buffer;
}

export interface ShortRequest {
  readonly path: string;
  readonly method: "POST" | "DELETE";
  /** Alternating names and values. */
  readonly headers: string[];
  readonly body: string | null;
  /** From now to the end of the answer. */
  readonly timeoutMs: number;
}

/** What a token, or the answer to a notification, may weigh. */
const MAX_BYTES = 64 * 1024;

/**
 * One exchange with a short answer: notifications, responses, DELETE, tokens. The connection is cut when the answer is too
 * large or too late. An event stream, which may never end, is cut at its head, and has an empty body.
 *
 * @throws GatewayError `upstream.*`
 */
export function sendShort(pool: Dispatcher, request: ShortRequest): Promise<ShortAnswer> {
  return new Promise((resolve, reject) => {
    const { path, method, headers, body, timeoutMs } = request;
    pool.dispatch({ path, method, headers, body }, new ShortExchange(timeoutMs, resolve, reject));
  });
}

class ShortExchange implements Dispatcher.DispatchHandler {
  readonly #resolve: (answer: ShortAnswer) => void;
  readonly #reject: (error: GatewayError) => void;
  readonly #timer: NodeJS.Timeout;
  readonly #body = new ByteCollector();
  #controller: Dispatcher.DispatchController | null = null;
  #status = 0;
  #headers: Record<string, string | string[] | undefined> = {};
  #failure: GatewayError | null = null;

  constructor(timeoutMs: number, resolve: (answer: ShortAnswer) => void, reject: (error: GatewayError) => void) {
    this.#resolve = resolve;
    this.#reject = reject;
    this.#timer = setTimeout(() => {
      this.#fail(new GatewayError("upstream.timeout", { detail: `no whole answer in ${timeoutMs} ms` }));
    }, timeoutMs);
    this.#timer.unref();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#failure) controller.abort(this.#failure);
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (status < 200) return;
    this.#status = status;
    this.#headers = headers;
    const type = headers["content-type"];
    if (typeof type === "string" && type.startsWith("text/event-stream")) {
      this.#finish();
      controller.abort(new GatewayError("upstream.protocol", { detail: "an unexpected event stream" }));
    }
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#body.add(chunk);
    if (this.#body.length > MAX_BYTES)
      this.#fail(new GatewayError("upstream.too_large", { detail: `an answer of more than ${MAX_BYTES} bytes` }));
  }

  onResponseEnd(): void {
    this.#finish();
  }

  onResponseError(_controller: Dispatcher.DispatchController, thrown: Error): void {
    clearTimeout(this.#timer);
    this.#reject(this.#failure ?? transportError(thrown));
  }

  #finish(): void {
    clearTimeout(this.#timer);
    this.#resolve({ status: this.#status, headers: this.#headers, body: this.#body.take() });
  }

  #fail(error: GatewayError): void {
    this.#failure = error;
    clearTimeout(this.#timer);
    this.#reject(error);
    this.#controller?.abort(error);
  }
}

/**
 * Posts a notification or a response. Resolves when the server accepted it.
 *
 * @throws GatewayError `upstream.*`
 */
export async function postMessage(
  conversation: Conversation,
  text: JsonText,
  forwarded: Readonly<Record<string, string>>,
  path = conversation.upstream.path,
): Promise<void> {
  const hadSession = conversation.sessionId !== null;
  const { status } = await sendAuthorized(conversation, "POST", path, text, forwarded, POST_TIMEOUT_MS);
  if (status < 200 || status >= 300) throw statusError(conversation, status, hadSession);
}

/** Acceptance takes a server no work. */
const POST_TIMEOUT_MS = 30_000;

/** {@link sendShort} with the conversation's headers; once more with a renewed credential where the first was refused. */
export async function sendAuthorized(
  conversation: Conversation,
  method: "POST" | "DELETE",
  path: string,
  body: string | null,
  forwarded: Readonly<Record<string, string>>,
  timeoutMs: number,
): Promise<ShortAnswer> {
  const { authorization } = conversation.upstream;
  const send = (value: string | null): Promise<ShortAnswer> => {
    const headers = requestHeaders(conversation, method, value, forwarded);
    return sendShort(conversation.upstream.pool(), { path, method, headers, body, timeoutMs });
  };
  if (authorization === null) return send(null);
  const value = await authorization.current();
  const answer = await send(value);
  if (answer.status !== 401) return answer;
  const renewed = await authorization.renew(value);
  return renewed === null ? answer : send(renewed);
}
