import type { Logger } from "../core/log.ts";
import type { LiveKey } from "../gate/key-cache.ts";
import type { Message } from "../jsonrpc/message.ts";
import type { ClientAddressOf } from "../http/client-address.ts";
import type { RequestContext } from "../http/route.ts";
import type { VirtualKey } from "../keys/model.ts";
import type { AuthenticateMcp } from "./authenticate.ts";
import type { Principal } from "../access/principal.ts";

/** Who calls: the authenticated principal, and the name of the agent inside it, if it gave one. */
export interface Caller {
  readonly principal: Principal;
  /** The key where the principal is a virtual key, for admission and policy; else null. As it was when the request came. */
  readonly live: LiveKey | null;
  /** From `X-Agent-ID`, already checked for its form. A name, never a credential: DESIGN §3. */
  readonly agentId: string | null;
  readonly context: RequestContext;
}

/** A service as an agent may see it: no upstream origin, no credential. */
export interface ServiceSummary {
  /** The service's public id, which `request_key` takes as `service_name`. */
  readonly name: string;
  readonly description: string;
  /** The scopes this principal may ask for. */
  readonly scopes: readonly ("read" | "write")[];
}

/** What a key gets that does not say what it needs. */
export const DEFAULT_TTL_SECONDS = 3_600;
export const DEFAULT_RATE_LIMIT = 60;

/** What `request_key` asks for, checked for type and range but not yet against the caller's ceilings. */
export interface KeyRequest {
  readonly serviceName: string;
  /** Null: {@link DEFAULT_TTL_SECONDS}, or the caller's ceiling where that is lower. */
  readonly ttlSeconds: number | null;
  /** Requests per minute. Null: {@link DEFAULT_RATE_LIMIT}, or the caller's ceiling where that is lower. */
  readonly rateLimit: number | null;
  readonly scope: "read" | "write";
  /** Null for no limit; 1 for a one-shot key. */
  readonly maxUses: number | null;
}

/** What the endpoint needs to know who calls. */
export interface EndpointDeps {
  /** Its `error` gets each failure that a client sees only as `internal`. */
  readonly log: Logger;
  readonly clientAddress: ClientAddressOf;
  /** Null: taken from the request's Host header, which {@link FrontDoor} let in. */
  readonly publicUrl: string | null;

  /** Hears of each message whose sender is authenticated, before it is dealt with. */
  onMessage?(message: Message): void;
  /** Who the request is, in the org that `orgId` names, else in the credential's own. @throws GatewayError 401, 404, 429 */
  readonly authenticate: AuthenticateMcp;
}

/** Everything the gateway's own tools need from the rest of it. */
export interface McpDeps {
  /** Version of the gateway, shown to clients. */
  readonly version: string;

  /** The services of the principal's organization that it may use, by name. */
  listServices(principal: Principal): Promise<readonly ServiceSummary[]>;

  /**
   * Applies the principal's ceilings, writes the key with `source: "mcp"`, its owner and agent, and the audit entry.
   *
   * @throws GatewayError `service.not_found` (also for a service it may not use) and `ceiling.exceeded`, both with the
   *   tool's argument in `fields`; `key.cannot_issue`, `auth.required`
   */
  issueKey(caller: Caller, request: KeyRequest): Promise<{ readonly key: VirtualKey; readonly secret: string }>;

  /** The principal's own keys, newest first, at most `limit`; only that agent's when the caller names an agent. */
  listKeys(caller: Caller, limit: number): Promise<readonly VirtualKey[]>;

  /** Revokes one of the keys that {@link McpDeps.listKeys} would show; false for every other id. Idempotent. */
  revokeKey(caller: Caller, keyId: string): Promise<boolean>;

  /** For `status` of a key; Unix milliseconds. */
  now(): number;
}

/** Which browsers and names may reach the endpoint: protection against DNS rebinding (MCP, Transports, Security). */
export interface FrontDoor {
  /** Host names, without port; IPv6 in brackets. Null allows every Host, for a listener that is not on loopback. */
  readonly allowedHosts: readonly string[] | null;
  /** Host names of web origins that may call. A request without `Origin` does not come from a browser and passes. */
  readonly allowedOrigins: readonly string[];
}

/** Bounds of what one request may cost. */
export interface McpLimits {
  readonly maxBodyBytes: number;
  /** How long a client may take to send its body. */
  readonly maxBodyMs: number;
  readonly maxJsonDepth: number;
  /** Messages in one JSON-RPC batch, which only revision 2025-03-26 has. */
  readonly maxBatch: number;
}

export const DEFAULT_MCP_LIMITS: McpLimits = {
  // As the official SDK: arguments of tools that write files are long.
  maxBodyBytes: 4 * 1024 * 1024,
  maxBodyMs: 30_000,
  maxJsonDepth: 64,
  maxBatch: 20,
};
