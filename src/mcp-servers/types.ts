import type { DeclaredMcpServer } from "../config/model.ts";
import type { ErrorCode } from "../core/errors.ts";
import type { JsonText } from "../jsonrpc/json-slice.ts";
import type { ClientFacts, Era, Link, ServerHello } from "../mcp-links/types.ts";

/** The MCP servers of the configuration: their state, what they offer, and links to them. */
export interface McpServers {
  find(name: string): McpServer | undefined;
  /** In the order of the configuration. */
  all(): readonly McpServer[];
  /** Begins discovery of all servers in parallel and returns at once. Idempotent. */
  start(): void;
  /**
   * Takes over another configuration: servers that are declared as before keep all they have; what was changed begins anew,
   * and what is gone ends, with a grace for running calls. Returns the declarations that no longer hold.
   */
  replace(declared: readonly DeclaredMcpServer[]): readonly DeclaredMcpServer[];
  /**
   * No link is opened any more; every open one is closed, in parallel. Resolves when nothing is left, at the latest after
   * `graceMs`. Idempotent.
   */
  close(graceMs: number): Promise<void>;
}

export interface McpServer {
  readonly declared: DeclaredMcpServer;
  status(): ServerStatus;
  /**
   * The link of this conversation: opened at the first call, the same one afterwards, a new one where the old one died or
   * made room. Cheap once open, so ask for each request and keep none. Calls for one conversation at a time open once.
   * What the conversation says (facts, headers) is read only when a link is opened for it.
   *
   * @throws GatewayError `upstream.unavailable` at once while the server is in back-off (with `Retry-After`) or when every
   *   process is busy; `upstream.start_failed`, `upstream.timeout` and other `upstream.*` where opening failed;
   *   `gateway.draining` after `close`
   */
  lease(conversation: Conversation): Promise<Link>;
  /** Ends the conversation's link, also one that is being opened. Resolves when it is gone. Never rejects, idempotent. */
  release(conversationKey: string): Promise<void>;
  /**
   * What the server offers to a client with these capabilities; before any policy. Opens the conversation's link only
   * where nobody with equal capabilities asked before. The same object until something changed.
   *
   * @throws GatewayError as `lease`, and `upstream.protocol`, `upstream.too_large`, `upstream.timeout`
   */
  catalog(conversation: Conversation): Promise<Catalog>;
  /**
   * Hears that a list has, or may have, changed: the server said so, or came back with another one. At most a few calls a
   * second and kind, however often the server says it. The returned function stops it.
   */
  onChange(listener: (what: CatalogPart) => void): () => void;
}

/** `resources` stands for resources and their templates: one notification is for both (MCP, Resources). */
export type CatalogPart = "tools" | "prompts" | "resources";

/** On behalf of whom a link is opened, and whom it belongs to. Never shared by two principals, agents or sessions. */
export interface Conversation {
  /**
   * Unique among all conversations of the gateway: of principal, agent and session id, or, where `shared`, of principal,
   * agent and a hash of the capabilities. Holds no secret.
   */
  readonly key: string;
  readonly principalUid: string;
  /** The same for the whole conversation. */
  readonly facts: ClientFacts;
  /** The client's. A link of the same era loses nothing. */
  readonly era: Era;
  /** Identity for the opening requests of an HTTP server (`initialize`), in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** No session ends it: its link ends when it was idle for a while. */
  readonly shared: boolean;
}

export interface ServerStatus {
  /** `starting`: never answered yet. `running`: answered when it was last tried, also where no link is open now. */
  readonly state: "starting" | "running" | "stopped" | "error";
  /** When it entered the state, Unix milliseconds. */
  readonly sinceMs: number;
  /** The last failure, also where the server is running again. For operators: may name hosts and paths, holds no secret. */
  readonly lastError: { readonly code: ErrorCode; readonly message: string; readonly atMs: number } | null;
  /** When the next try is due, in `error`; else null. */
  readonly nextTryAtMs: number | null;
  /** How many the last catalog held, and how many of the server's were left out as unusable. Null: not known yet. */
  readonly tools: number | null;
  readonly toolsLeftOut: number | null;
  /** The tools of the last catalog. Null: not known yet, or the server says that its lists are for one identity only. */
  readonly toolList: readonly CatalogTool[] | null;
  /** Open, opening or closing. For a stdio server that is the number of its processes. */
  readonly links: number;
  readonly processes: number;
  /** Null until the server answered. */
  readonly era: Era | null;
  readonly hello: ServerHello | null;
}

/** What a server offers. Elements are the server's own text, to be passed on as they are. */
export interface Catalog {
  /** Of the link over which the lists were read. */
  readonly hello: ServerHello;
  readonly era: Era;
  readonly tools: readonly CatalogTool[];
  readonly prompts: readonly CatalogPrompt[];
  readonly resources: readonly CatalogResource[];
  readonly templates: readonly CatalogTemplate[];
  /** Elements that were not usable: no or a bad name, a name twice, not an object. */
  readonly leftOut: number;
  /** What the server said of caching each list (2026-07-28); null where it did not say. */
  readonly hints: Readonly<Record<CatalogList, CacheHint | null>>;
}

export type CatalogList = "tools" | "prompts" | "resources" | "templates";

/** `ttlMs` and `cacheScope` of a list result (2026-07-28). */
export interface CacheHint {
  readonly ttlMs: number;
  readonly scope: "public" | "private";
}

export interface CatalogTool {
  readonly name: string;
  readonly json: JsonText;
  /** `annotations.readOnlyHint`; false where the server does not say. A hint of an untrusted server. */
  readonly readOnlyHint: boolean;
}

export interface CatalogPrompt {
  readonly name: string;
  readonly json: JsonText;
}

export interface CatalogResource {
  readonly uri: string;
  readonly json: JsonText;
}

export interface CatalogTemplate {
  readonly uriTemplate: string;
  readonly json: JsonText;
}

/** What opening a link needs besides the server. */
export interface OpenLinkOptions {
  readonly facts: ClientFacts;
  /** Of the opening requests, HTTP servers only; lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** Tried first. */
  readonly era: Era;
  /** Aborted: whatever was started is ended, and the promise rejects. */
  readonly signal: AbortSignal;
  /** To be called when something suggests that the server is gone, or is another one now. */
  onDoubt?(this: void): void;
}

/** Opens a link. @throws GatewayError `upstream.*`; then nothing of it is left, or will be soon */
export type OpenLink = (declared: DeclaredMcpServer, options: OpenLinkOptions) => Promise<Link>;
