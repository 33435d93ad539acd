/** Rank in an organization: each may do all that the next one may. */
export type Role = "owner" | "admin" | "member";

export const ROLES: readonly Role[] = ["owner", "admin", "member"];

interface InOrg {
  readonly orgUid: string;
  /** The organization's public id. */
  readonly orgId: string;
}

export interface UserPrincipal extends InOrg {
  readonly kind: "user";
  readonly uid: string;
  /** Public id; the same as `uid` for users. */
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  /** The session behind the request, or null for an API key. */
  readonly sessionUid: string | null;
}

export interface ServiceAccountPrincipal extends InOrg {
  readonly kind: "service_account";
  readonly uid: string;
  readonly id: string;
  readonly name: string;
  /** Uids of the services it may use; `"all"` for every service of its org. */
  readonly services: "all" | readonly string[];
  readonly maxTtlSeconds: number | null;
  readonly maxRateLimit: number | null;
  readonly maxScope: "read" | "write";
}

/** A virtual key at the MCP plane: it can look at and revoke itself, and issue nothing. */
export interface VirtualKeyPrincipal extends InOrg {
  readonly kind: "virtual_key";
  readonly uid: string;
  readonly id: string;
  /** Uids of the services it is granted. */
  readonly services: readonly string[];
}

/** What an agent of the configuration may use of one MCP server. */
export interface AllowedServer {
  readonly server: string;
  /** Names or patterns with `*`; null allows every tool. */
  readonly tools: readonly string[] | null;
}

/**
 * An agent that the configuration names (`gateway.agent_id`, `agentIds`), at the MCP plane only. It holds no permission
 * and owns no keys: nobody answers for them. Belongs to the first organization.
 */
export interface GatewayAgentPrincipal extends InOrg {
  readonly kind: "gateway_agent";
  /** `agt_` and a keyed hash of its secret: the same after a restart, and of no use to whoever reads it. */
  readonly uid: string;
  /** The same as `uid`. */
  readonly id: string;
  /** What is not named is not allowed; `"all"` where the configuration gives the only agent no policy. */
  readonly servers: "all" | readonly AllowedServer[];
}

/** Whoever reaches the loopback port with `gateway.auth = "none"`, at the MCP plane only. Holds no permission, owns no keys. */
export interface LocalPrincipal extends InOrg {
  readonly kind: "local";
  readonly uid: "local";
  readonly id: "local";
}

/** Who a request is, after authentication. Never holds a secret. */
export type Principal =
  UserPrincipal | ServiceAccountPrincipal | VirtualKeyPrincipal | GatewayAgentPrincipal | LocalPrincipal;

/** Who may own virtual keys, and so ask for them: people, and accounts that people made. */
export type KeyOwner = UserPrincipal | ServiceAccountPrincipal;

export function mayOwnKeys(principal: Principal): principal is KeyOwner {
  return principal.kind === "user" || principal.kind === "service_account";
}
