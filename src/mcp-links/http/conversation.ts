import type { Dispatcher } from "undici";
import { GatewayError } from "../../core/errors.ts";
import { toUpstreamError } from "../../core/upstream-errors.ts";
import type { Authorization } from "./authorization.ts";
import { addForwarded, type ConfiguredHeaders } from "./headers.ts";

/** What all channels to one server share. */
export interface HttpUpstream {
  readonly url: URL;
  /** With the query: what a request line holds. */
  readonly path: string;
  readonly protocol: "auto" | "streamable" | "sse";
  readonly connectTimeoutMs: number;
  readonly headers: ConfiguredHeaders;
  readonly authorization: Authorization | null;
  /** @throws GatewayError `upstream.address_refused` */
  pool(): Dispatcher;
}

/** Bounds of a channel. Times in milliseconds; 0 means none. */
export interface HttpLimits {
  /** Of one message, and of an answer in JSON. */
  readonly maxMessageBytes: number;
  /** From the request to the head of the answer. A call's own deadline is its signal. */
  readonly headersTimeoutMs: number;
  /** Between two pieces of an answer. Not applied to streams that belong to no request. */
  readonly idleTimeoutMs: number;
  /** How long `close` waits for the server to end the session. */
  readonly closeTimeoutMs: number;
}

export const DEFAULT_HTTP_LIMITS: HttpLimits = {
  maxMessageBytes: 16 * 1024 * 1024,
  headersTimeoutMs: 0,
  idleTimeoutMs: 0,
  closeTimeoutMs: 2_000,
};

/** The state of one channel that its exchanges share. */
export interface Conversation {
  readonly upstream: HttpUpstream;
  readonly limits: HttpLimits;
  sessionId: string | null;
}

const POST_HEADERS = ["content-type", "application/json", "accept", "application/json, text/event-stream"];
const GET_HEADERS = ["accept", "text/event-stream", "cache-control", "no-cache"];
const DELETE_HEADERS = ["accept", "application/json"];

/** The headers of one HTTP request, alternating names and values. */
export function requestHeaders(
  conversation: Conversation,
  method: "POST" | "GET" | "DELETE",
  authorization: string | null,
  forwarded: Readonly<Record<string, string>>,
): string[] {
  const own = method === "POST" ? POST_HEADERS : method === "GET" ? GET_HEADERS : DELETE_HEADERS;
  const { upstream, sessionId } = conversation;
  const pairs = own.concat(upstream.headers.pairs);
  if (authorization !== null) pairs.push("authorization", authorization);
  if (sessionId !== null) pairs.push("mcp-session-id", sessionId);
  addForwarded(pairs, forwarded, upstream.headers);
  return pairs;
}

/** What a status without an answer in JSON-RPC means. `detail` names the status; the body is never quoted. */
export function statusError(conversation: Conversation, status: number, hadSession: boolean): GatewayError {
  const { origin } = conversation.upstream.url;
  const detail = `${origin} answered ${status}`;
  if (status === 404 && hadSession) return new GatewayError("upstream.session_lost", { detail });
  if (status >= 300 && status < 400)
    return new GatewayError("upstream.refused", {
      detail: `${detail}: redirects are not followed; configure the new URL`,
    });
  if (status >= 500 || status === 408 || status === 429) return new GatewayError("upstream.unavailable", { detail });
  if (status === 401 || status === 403)
    return new GatewayError("upstream.refused", { detail: `${detail}: check the server's headers and auth` });
  if (status === 404) return new GatewayError("upstream.refused", { detail: `${detail}: check the path of its url` });
  if (status >= 400) return new GatewayError("upstream.refused", { detail });
  return new GatewayError("upstream.protocol", { detail: `${detail} to a request` });
}

/** A failure of the transport. What undici refuses to send is a fault of this gateway's, not of the server's. */
export function transportError(thrown: unknown): GatewayError {
  if (thrown instanceof Error && "code" in thrown && thrown.code === "UND_ERR_INVALID_ARG")
    return new GatewayError("internal", { detail: "a header that cannot be sent", cause: thrown });
  return toUpstreamError(thrown);
}

/** The media type without parameters, in lower case; "" where there is none. */
export function mediaType(headers: Record<string, string | string[] | undefined>): string {
  const value = headers["content-type"];
  if (typeof value !== "string") return "";
  if (value === "application/json" || value === "text/event-stream") return value;
  return (value.split(";", 1)[0] ?? "").trim().toLowerCase();
}

/** Bodies are asked for without coding; one that has some cannot be bounded before it is opened. */
export function isCoded(headers: Record<string, string | string[] | undefined>): boolean {
  const coding = headers["content-encoding"];
  return coding !== undefined && coding !== "" && coding !== "identity";
}

/** Why a request ends that its caller gave up: the caller's own reason where it is one of ours (a time limit). */
export function abortReason(signal: AbortSignal | undefined): GatewayError {
  const reason: unknown = signal?.reason;
  if (reason instanceof GatewayError) return reason;
  const isTimeout = reason instanceof Error && reason.name === "TimeoutError";
  return new GatewayError(isTimeout ? "upstream.timeout" : "upstream.reset", {
    detail: isTimeout ? "the caller's time is up" : "the caller gave up",
  });
}
