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

/** Who a request is, after authentication. Never holds a secret. */
export type Principal = UserPrincipal | ServiceAccountPrincipal | VirtualKeyPrincipal;
