import type { IncomingMessage, ServerResponse } from "node:http";
import type { JsonText } from "../jsonrpc/json-slice.ts";
import type { Message, Reply } from "../jsonrpc/message.ts";
import type { ClientFacts, Link, LinkRequest, ServerHello } from "../mcp-links/types.ts";
import type { Caller } from "./types.ts";

/** Which part of the MCP plane a path names: one server (`/mcp/{server}`), or all of them (`/mcp`). */
export type Target = { readonly kind: "unified" } | { readonly kind: "routed"; readonly server: string };

/** On behalf of the client for which the backend was opened. */
export type BackendRequest = Omit<LinkRequest, "client">;

/**
 * What one client talks to, for one target. Policy, admission, limits, filters, telemetry and the naming of the target are
 * applied behind it; a client's era is applied in front of it. Its `request` throws GatewayError for what the gateway refuses.
 */
export interface Backend extends Pick<Link, "notify" | "setLogLevel" | "watch" | "listen" | "close"> {
  request(request: BackendRequest): Promise<Reply>;
  /** The answer to `initialize` and `server/discover`. Waits for the server where it must. @throws GatewayError */
  hello(): Promise<ServerHello>;
}

export interface Backends {
  /** For one 2025 session: its own conversation with each server, ended by `close`. */
  open(caller: Caller, target: Target, facts: ClientFacts): Backend;
  /**
   * For one request of a client without session: conversations are shared by all requests of this principal, agent and
   * client (its name and capabilities), and end by themselves when idle. `close` does nothing.
   */
  shared(caller: Caller, target: Target, facts: ClientFacts): Backend;
  /** As `shared`, for a client of the 2025 era that has no session: the gateway says `initialize` for it. */
  sessionless(caller: Caller, target: Target): Backend;
  /** @throws GatewayError `mcp.server_not_found`, also for a server that this caller may not use */
  assertVisible(caller: Caller, target: Target): void;
}

/** One POST with one message, after everything that does not depend on the era: door, authentication, strict JSON. */
export interface InboundMessage {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly caller: Caller;
  readonly target: Target;
  /** The body as it was sent, and its parts. */
  readonly text: JsonText;
  readonly message: Message;
  readonly requestId: string;
  /** Headers for HTTP upstreams: identity (`x-bifrost-*`) and trace. */
  readonly forwardHeaders: Readonly<Record<string, string>>;
}
