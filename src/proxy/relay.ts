import type { IncomingMessage, ServerResponse } from "node:http";
import type { Dispatcher } from "undici";
import { GatewayError } from "../core/errors.ts";
import { ClientGone } from "./client-gone.ts";
import type { BodyMask } from "./echo-mask.ts";
import type { ResponseHeaderRules } from "./response-headers.ts";
import { relayedHeaders, relayedTrailers } from "./response-headers.ts";
import { toUpstreamError } from "../core/upstream-errors.ts";

export interface RelayOptions {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly rules: ResponseHeaderRules;
  /** Headers of the gateway's own on the response, alternating names and values. */
  readonly ownHeaders: readonly string[];
  /** Refuse a body whose content coding hides it from the mask. */
  readonly refuseCoded: boolean;
  /** How long a client may take nothing of what waits for it; 0 for ever. */
  readonly idleMs: number;
  /** 0 for none. */
  readonly totalTimeoutMs: number;
  /** Called once, when the exchange has ended in whatever way. */
  done(outcome: RelayOutcome): void;
}

export type RelayOutcome =
  | { readonly kind: "complete"; readonly status: number }
  /** The client went away. */
  | { readonly kind: "aborted"; readonly status: number | null }
  | { readonly kind: "failed"; readonly status: number | null; readonly error: GatewayError };

/** Many more than any exchange needs (RFC 8297 allows several). */
const MAX_INFORMATIONAL = 32;

/**
 * One response on its way from the upstream to the client: a state with the lifetime of the exchange.
 *
 * Bytes go on as they come. Back-pressure: while the client's socket is full, reading from the upstream
 * stops. Abort: when the client goes away the upstream request is cut, and {@link abort} cuts both. A
 * response that fails after its head was sent is cut, never ended, so that it cannot look complete.
 */
export class Relay implements Dispatcher.DispatchHandler {
  readonly #options: RelayOptions;
  #controller: Dispatcher.DispatchController | null = null;
  #abortReason: GatewayError | null = null;
  #status: number | null = null;
  #ended = false;
  #timer: NodeJS.Timeout | null = null;
  #mask: BodyMask | null = null;
  /** Body bytes still to come, where the upstream said how many; -1 where it did not. */
  #left = -1;
  /** The last piece of a body of known length, held to be sent together with the end. */
  #last: Buffer | null = null;
  #bodyBegan = false;
  #informational = 0;
  #stalled: NodeJS.Timeout | null = null;

  constructor(options: RelayOptions) {
    this.#options = options;
    options.res.on("close", this.#onClientClose);
    if (options.totalTimeoutMs > 0) {
      this.#timer = setTimeout(
        () => this.abort(new GatewayError("upstream.timeout", { detail: "total time is up" })),
        options.totalTimeoutMs,
      );
    }
  }

  /** Ends the exchange for a reason of the gateway's own: revocation, total time, shutdown. */
  abort(reason: GatewayError): void {
    if (this.#ended || this.#abortReason) return;
    this.#abortReason = reason;
    if (this.#controller) this.#controller.abort(reason);
    // Not dispatched yet (waiting for a connection): onRequestStart will see the reason.
    else this.#finish({ kind: "failed", status: this.#status, error: reason });
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#abortReason) controller.abort(this.#abortReason);
    else if (this.#ended || this.#options.res.closed)
      controller.abort(new GatewayError("upstream.reset", { detail: "the client is gone" }));
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
    statusText?: string,
  ): void {
    // RFC 9110 §15: other codes are invalid, and what a client makes of them is anyone's guess.
    if (status < 100 || status > 599) {
      controller.abort(new GatewayError("upstream.protocol", { detail: `status ${status}` }));
      return;
    }
    // Informational responses (RFC 9110 §15.2) are of this hop; the final one follows.
    if (status < 200) {
      // Each one restarts the wait for the head: without a bound an upstream could send them for ever.
      if (++this.#informational > MAX_INFORMATIONAL)
        controller.abort(new GatewayError("upstream.protocol", { detail: "too many informational responses" }));
      return;
    }
    const { res, rules, ownHeaders } = this.#options;
    if (this.#options.refuseCoded && isCoded(headers["content-encoding"])) {
      controller.abort(
        new GatewayError("upstream.protocol", {
          detail: "a coded body, which the service's credential_echo = strict refuses",
        }),
      );
      return;
    }
    this.#status = status;
    const out = relayedHeaders(controller.rawHeaders ?? headers, headers["connection"], rules);
    if (headers["trailer"] !== undefined && !this.#canHaveTrailers(status, headers)) dropTrailerHeader(out);
    for (const part of ownHeaders) out.push(part);
    // HTTP/2 upstreams send no reason phrase, and some HTTP/1.1 ones one that a header may not hold.
    if (statusText !== undefined && statusText !== "" && /^[\t\x20-\x7e]+$/.test(statusText))
      res.writeHead(status, rules.mask === null ? statusText : rules.mask.text(statusText), out);
    else res.writeHead(status, out);

    const length = headers["content-length"];
    this.#left = typeof length === "string" ? Number(length) : -1;
    if (rules.mask !== null && !isCoded(headers["content-encoding"])) this.#mask = rules.mask.stream();
    // A stream may be silent for long: its head goes out at the end of this turn of the loop, unless data took it along.
    if (this.#left === -1) setImmediate(this.#flushHead);
    res.on("drain", this.#onDrain);
  }

  /** Trailers travel in chunked bodies only (RFC 9112 §7.1.2); Node refuses to announce them elsewhere. */
  #canHaveTrailers(status: number, headers: Record<string, string | string[] | undefined>): boolean {
    const { req } = this.#options;
    const hasBody = req.method !== "HEAD" && status !== 204 && status !== 304;
    return hasBody && headers["content-length"] === undefined && req.httpVersion === "1.1";
  }

  readonly #flushHead = (): void => {
    if (!this.#bodyBegan && !this.#ended) this.#options.res.flushHeaders();
  };

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#left >= 0) this.#left -= chunk.length;
    const data = this.#mask === null ? chunk : this.#mask.push(chunk);
    if (this.#left === 0) {
      // The end is known to follow in this same turn: one write instead of two.
      this.#last = joined(data, this.#mask?.end() ?? null);
      return;
    }
    if (data === null) return;
    this.#bodyBegan = true;
    if (this.#options.res.write(data)) return;
    controller.pause();
    // Undici's own idle time rests while it is paused: a client that stops reading would hold the upstream for ever.
    const { res, idleMs } = this.#options;
    if (idleMs > 0) this.#stalled ??= setTimeout(() => res.destroy(), idleMs);
  }

  onResponseEnd(
    controller: Dispatcher.DispatchController,
    trailers: Record<string, string | string[] | undefined>,
  ): void {
    const { res, rules } = this.#options;
    const rest = this.#last ?? this.#mask?.end() ?? null;
    const pairs = relayedTrailers(controller.rawTrailers ?? trailers, rules.mask);
    if (pairs.length > 0) res.addTrailers(pairs);
    if (rest === null) res.end();
    // As text, a small body goes out in one piece with the head; as a buffer, in a second one.
    else if (rest.length <= ONE_PIECE_BYTES) res.end(rest.toString("latin1"), "latin1");
    else res.end(rest);
    this.#finish({ kind: "complete", status: this.#status ?? 0 });
  }

  onResponseError(_controller: Dispatcher.DispatchController, thrown: Error): void {
    if (thrown instanceof ClientGone && !this.#abortReason) {
      this.#finish({ kind: "aborted", status: this.#status });
      return;
    }
    this.#finish({ kind: "failed", status: this.#status, error: this.#abortReason ?? toUpstreamError(thrown) });
  }

  readonly #onDrain = (): void => {
    this.#endStall();
    this.#controller?.resume();
  };

  readonly #onClientClose = (): void => {
    if (this.#ended) return;
    this.#finish({ kind: "aborted", status: this.#status });
    this.#controller?.abort(new GatewayError("upstream.reset", { detail: "the client went away" }));
  };

  #endStall(): void {
    if (this.#stalled) clearTimeout(this.#stalled);
    this.#stalled = null;
  }

  #finish(outcome: RelayOutcome): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#endStall();
    if (this.#timer) clearTimeout(this.#timer);
    const { res } = this.#options;
    res.off("close", this.#onClientClose);
    res.off("drain", this.#onDrain);
    this.#options.done(outcome);
  }
}

function dropTrailerHeader(pairs: string[]): void {
  for (let i = pairs.length - 2; i >= 0; i -= 2) if (pairs[i]?.toLowerCase() === "trailer") pairs.splice(i, 2);
}

/** Above this, copying the body costs more than the second piece. */
const ONE_PIECE_BYTES = 16 * 1024;

function joined(a: Buffer | null, b: Buffer | null): Buffer | null {
  return a === null || b === null ? (a ?? b) : Buffer.concat([a, b]);
}

function isCoded(header: string | string[] | undefined): boolean {
  return header !== undefined && header !== "identity";
}
