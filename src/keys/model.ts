import { newId } from "../core/ids.ts";
import { newSecret } from "../core/secret.ts";

/** `read` admits GET, HEAD and OPTIONS only; `write` admits every method. */
export type Scope = "read" | "write";

/** Who asked for the key: the REST API, the MCP tool `request_key`, or a service account's token route. */
export type KeySource = "api" | "mcp" | "service_account";

/** What one argument of a tool may be. All rules whose tool pattern matches must be met. */
export interface ArgumentRule {
  /** Tool name, or a pattern with `*`. */
  readonly tool: string;
  /** Names from the arguments object down, joined by dots; an array on the way stands for each of its elements. */
  readonly argument: string;
  /**
   * Numbers and booleans as such; texts may hold `*` (any characters but `/`) and `**` (any characters). What is missing,
   * null, an object or an empty array is refused.
   */
  readonly allow: readonly (string | number | boolean)[];
}

/** A grant of MCP servers. What no grant names is refused. */
export interface McpServerGrant {
  readonly kind: "mcp_server";
  /** Name of the server, or a pattern with `*`. */
  readonly mcpServer: string;
  /** Tool name patterns with `*`; null allows every tool. */
  readonly tools: readonly string[] | null;
  /** Prompt name patterns with `*`. Null follows `tools`: all where that is null, else none. */
  readonly prompts: readonly string[] | null;
  /** Resource URI patterns with `*`. Null follows `tools`, too. */
  readonly resources: readonly string[] | null;
  readonly arguments: readonly ArgumentRule[];
}

/** One thing a key may reach. Null lists allow all that the service itself allows. */
export type Grant =
  | {
      readonly kind: "service";
      readonly serviceUid: string;
      /** The service's public id, for display. */
      readonly serviceId: string;
      readonly methods: readonly string[] | null;
      readonly paths: readonly string[] | null;
    }
  | McpServerGrant;

/** What an agent holds, without the secret. */
export interface VirtualKey {
  readonly uid: string;
  readonly orgUid: string;
  /** Public id, unique in the org; sent to upstreams as X-Bifrost-Key-ID. */
  readonly id: string;
  readonly name: string;
  readonly secretHash: string;
  /** Last four characters of the secret (its checksum), so that people can tell keys apart. */
  readonly hint: string;
  readonly previousSecretHash: string | null;
  readonly previousExpiresAtMs: number | null;
  readonly scope: Scope;
  readonly expiresAtMs: number;
  /** Requests per minute. */
  readonly rateLimit: number;
  readonly maxConcurrency: number | null;
  /** Null for no limit; 1 for a one-shot key. */
  readonly maxUses: number | null;
  /** Uses claimed so far; counted only where maxUses is set. */
  readonly uses: number;
  readonly agentId: string | null;
  readonly source: KeySource;
  readonly ownerKind: "user" | "service_account";
  readonly ownerUid: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly grants: readonly Grant[];
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  readonly revokedAtMs: number | null;
}

/** What the issuer decides; the rest is the gateway's. */
export type KeyOrder = Pick<
  VirtualKey,
  | "orgUid"
  | "name"
  | "scope"
  | "expiresAtMs"
  | "rateLimit"
  | "maxConcurrency"
  | "maxUses"
  | "agentId"
  | "source"
  | "ownerKind"
  | "ownerUid"
  | "metadata"
  | "grants"
> & { readonly id: string | null };

/** Makes a key and the only copy of its secret. @param hash the keyring's hashSecret */
export function makeKey(
  order: KeyOrder,
  hash: (secret: string) => string,
  nowMs: number,
): { key: VirtualKey; secret: string } {
  const secret = newSecret("bfk");
  const uid = newId("vk");
  const key: VirtualKey = {
    ...order,
    uid,
    id: order.id ?? uid,
    secretHash: hash(secret),
    hint: secret.slice(-4),
    previousSecretHash: null,
    previousExpiresAtMs: null,
    uses: 0,
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
    revokedAtMs: null,
  };
  return { key, secret };
}

export type KeyStatus = "active" | "expired" | "revoked" | "used";

/** The state an operator sees. Revoked outranks expired, expired outranks used. */
export function keyStatus(key: VirtualKey, nowMs: number): KeyStatus {
  if (key.revokedAtMs !== null) return "revoked";
  if (key.expiresAtMs <= nowMs) return "expired";
  if (key.maxUses !== null && key.uses >= key.maxUses) return "used";
  return "active";
}
