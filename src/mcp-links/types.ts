import type { JsonText } from "../jsonrpc/json-slice.ts";
import type { Reply } from "../jsonrpc/message.ts";

/** How a peer speaks: with `initialize` and sessions (revisions up to 2025-11-25), or per request (2026-07-28). */
export type Era = "2025" | "2026";

/** Revisions this gateway speaks, newest first. */
export const REVISIONS_2025 = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"] as const;
export const REVISION_2026 = "2026-07-28";

/** What a client says of itself: in `initialize` (2025), or in the `_meta` of each request (2026). */
export interface ClientFacts {
  /** The Implementation object; null where the client did not say. */
  readonly info: JsonText | null;
  /** The ClientCapabilities object. */
  readonly capabilities: JsonText;
}

/** A notification from a server. */
export interface ServerNotification {
  readonly method: string;
  readonly params: JsonText | undefined;
}

/** A request from a server to its client: elicitation, sampling, roots, ping. */
export interface ServerRequest {
  readonly method: string;
  readonly params: JsonText | undefined;
}

// ---------------------------------------------------------------------------------------------------------------------
// Channels: messages to and from one MCP server, over one transport. No protocol semantics above JSON-RPC.

/** What arrives while a request is open, and belongs to it as far as the transport can tell. */
export interface ExchangeEvents {
  onNotification(notification: ServerNotification): void;
  /** Answered by the returned promise; the channel writes the response with the server's own id. */
  onRequest(request: ServerRequest, signal: AbortSignal): Promise<Reply>;
  /** Streamable HTTP: the stream of what belongs to no request broke, and the server does not let it be taken up again. */
  onStreamLost?(): void;
}

export interface ChannelRequest {
  /** Unique in the channel; the channel's owner counts. */
  readonly id: number;
  readonly method: string;
  readonly params: JsonText | undefined;
  /** Further HTTP headers (lower case): revision, `mcp-method`, `mcp-name`, identity, trace. Ignored by stdio. */
  readonly headers: Readonly<Record<string, string>>;
  /** Ends the exchange. HTTP closes the stream; telling the server (`notifications/cancelled`) is the owner's affair. */
  readonly signal: AbortSignal | undefined;
}

/**
 * One conversation with one MCP server. What a server sends is bounded: a message or an answer above the channel's limit
 * ends the exchange (HTTP) or the channel (stdio) with `upstream.too_large`. Nothing here retries.
 */
export interface Channel {
  readonly kind: "stdio" | "http" | "sse" | "internal";
  /**
   * Sends a request; resolves with the server's result or error.
   *
   * @throws GatewayError `upstream.*`: refused, timed out, closed in mid-call, not JSON-RPC, too large, HTTP status
   */
  request(request: ChannelRequest, events: ExchangeEvents): Promise<Reply>;
  /** Sends a notification. Resolves when it is written or accepted. @throws GatewayError `upstream.*` */
  notify(method: string, params: JsonText | undefined, headers: Readonly<Record<string, string>>): Promise<void>;
  /**
   * Starts to listen for what belongs to no request: the GET stream of streamable HTTP, resumed by itself with
   * `Last-Event-ID`; on the other kinds these always arrive. Set once, by the owner, before the first request.
   */
  listen(events: ExchangeEvents, headers: Readonly<Record<string, string>>): void;
  /**
   * Streamable HTTP of the 2025 era: the session the server gave in its answer to `initialize`. The channel adds it to what
   * follows. When the server answers 404 to a request that carried it, `request` throws `upstream.session_lost`.
   */
  readonly sessionId: string | null;
  /** Resolves, never rejects, when the channel has ended: by close, a dead process, a dropped legacy SSE stream. */
  readonly closed: Promise<ChannelEnd>;
  /** Ends the session (DELETE), or the process with its group. Idempotent; resolves when nothing of it is left. */
  close(): Promise<void>;
}

export interface ChannelEnd {
  /** For operators; holds no secret. */
  readonly reason: string;
  readonly expected: boolean;
}

// ---------------------------------------------------------------------------------------------------------------------
// Links: one conversation in one era, with its semantics. A caller does not see which era the server speaks.

/** What a server says of itself, from `initialize` or `server/discover`. */
export interface ServerHello {
  /** The revision the link speaks. */
  readonly revision: string;
  /** The ServerCapabilities object. */
  readonly capabilities: JsonText;
  /** The Implementation object; null where the server did not say. */
  readonly info: JsonText | null;
  readonly instructions: string | undefined;
}

export interface LinkRequest {
  readonly method: string;
  readonly params: JsonText | undefined;
  /** On behalf of whom. A 2026 upstream is told in `_meta`; a 2025 one was told in `initialize`. */
  readonly client: ClientFacts;
  /** Aborted: the server is told (`notifications/cancelled`, or the stream is closed) and the request rejects. */
  readonly signal: AbortSignal | undefined;
  /** Identity and trace headers for HTTP upstreams (lower case). */
  readonly headers: Readonly<Record<string, string>>;
  /** Progress and log messages of this request. Progress carries the client's own token. */
  onNotification(notification: ServerNotification): void;
  /** What the server asks of the client meanwhile. May stay open for long: a 2026 client answers in its next round. */
  onRequest(request: ServerRequest, signal: AbortSignal): Promise<Reply>;
  /**
   * True for a 2026 client: an `input_required` result of a 2026 server is handed through as it is. False: the link asks
   * through `onRequest` and sends the request again with the answers, until the result is complete.
   */
  readonly passInputRequired: boolean;
}

/** Which changes a client wants to hear of. */
export interface WatchFilter {
  readonly tools: boolean;
  readonly prompts: boolean;
  readonly resources: boolean;
  /** URIs whose updates it wants. */
  readonly resourceUris: readonly string[];
}

export interface Watch {
  /** What the server agreed to, known once it answered. */
  readonly granted: Promise<WatchFilter>;
  change(filter: WatchFilter): Promise<void>;
  close(): void;
}

/** One client's conversation with one server, whatever the eras. */
export interface Link {
  readonly server: string;
  readonly era: Era;
  readonly hello: ServerHello;
  /**
   * Rewrites the request id and the progress token; everything else passes as it is, but for the envelope of the other era:
   * towards a 2026 server `_meta` gets revision, client info, capabilities and log level; towards a 2025 server those keys
   * are taken out.
   *
   * @throws GatewayError `upstream.*`; errors that the server itself answers are replies, not exceptions
   */
  request(request: LinkRequest): Promise<Reply>;
  /** `notifications/roots/list_changed` and the like; a 2026 server has no such thing, and it is dropped. */
  notify(method: string, params: JsonText | undefined): Promise<void>;
  /** Log level for what follows: `logging/setLevel` (2025), `_meta` of each request (2026). */
  setLogLevel(level: string): Promise<Reply>;
  /** Hears of changes: unsolicited notifications and `resources/subscribe` (2025), `subscriptions/listen` (2026). */
  watch(filter: WatchFilter, onNotification: (notification: ServerNotification) => void): Watch;
  /** What a 2025 server asks or says outside of any request. Set once. */
  listen(events: ExchangeEvents): void;
  readonly closed: Promise<ChannelEnd>;
  close(): Promise<void>;
}
