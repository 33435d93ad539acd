import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import type { Dispatcher } from "undici";
import { isForwardedRequestHeader } from "./request-headers.ts";
import { openRawRequest, type RawRequest, rawHeadersOf } from "./raw-exchange.ts";
import type { Relay } from "./relay.ts";
import type { Upstreams } from "./upstreams.ts";

export interface TrailerTimeouts {
  readonly headersMs: number;
  readonly idleMs: number;
}

/**
 * Sends a request that announces trailers (RFC 9110 §6.5), which the pooled client cannot, and feeds its
 * response to the same relay. HTTP/1.1, on a connection of its own.
 */
export function sendWithTrailers(
  req: IncomingMessage,
  body: Readable,
  relay: Relay,
  raw: RawRequest,
  timeouts: TrailerTimeouts,
  upstreams: Upstreams,
): void {
  const request = openRawRequest(
    { ...raw, headers: [...raw.headers, "Transfer-Encoding", "chunked", "Trailer", announced(req)] },
    upstreams,
  );
  let response: IncomingMessage | null = null;
  let aborted: Error | null = null;
  const controller: Dispatcher.DispatchController = {
    get aborted() {
      return aborted !== null;
    },
    get paused() {
      return response?.isPaused() ?? false;
    },
    get reason() {
      return aborted;
    },
    rawHeaders: null,
    rawTrailers: null,
    abort(reason) {
      aborted ??= reason;
      request.destroy(reason);
    },
    pause: () => void response?.pause(),
    resume: () => void response?.resume(),
  };
  const fail = (error: Error) => relay.onResponseError(controller, aborted ?? error);

  relay.onRequestStart(controller);
  // It stays for good: a write that comes after the end of the connection is an error event of its own.
  request.on("error", fail);
  request.setTimeout(timeouts.headersMs, () =>
    request.destroy(Object.assign(new Error("timeout"), { code: "UND_ERR_HEADERS_TIMEOUT" })),
  );
  request.once("response", (incoming) => {
    response = incoming;
    request.setTimeout(timeouts.idleMs);
    controller.rawHeaders = rawHeadersOf(incoming);
    relay.onResponseStart(controller, incoming.statusCode ?? 502, incoming.headers, incoming.statusMessage);
    incoming.on("data", (chunk: Buffer) => relay.onResponseData(controller, chunk));
    incoming.on("error", fail);
    incoming.once("end", () => {
      controller.rawTrailers = incoming.rawTrailers.map((text) => Buffer.from(text, "latin1"));
      relay.onResponseEnd(controller, {});
    });
  });

  request.once("close", () => body.destroy());
  body.on("error", (error) => request.destroy(error));
  body.on("data", (chunk: Buffer) => {
    if (request.destroyed || request.write(chunk)) return;
    body.pause();
    request.once("drain", () => body.resume());
  });
  body.once("end", () => {
    if (request.destroyed) return;
    request.addTrailers(forwardedTrailers(req.rawTrailers));
    request.end();
  });
}

/** The names that the client announces, without those that will not pass. */
function announced(req: IncomingMessage): string {
  const names = (req.headers.trailer ?? "").split(",").map((name) => name.trim());
  return names.filter((name) => name !== "" && isForwardedRequestHeader(name.toLowerCase())).join(", ");
}

function forwardedTrailers(raw: readonly string[]): [string, string][] {
  const pairs: [string, string][] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const [name = "", value = ""] = [raw[i], raw[i + 1]];
    // What may not be a header may not be a trailer either: identity and credentials are not smuggled in at the end.
    if (isForwardedRequestHeader(name.toLowerCase())) pairs.push([name, value]);
  }
  return pairs;
}
