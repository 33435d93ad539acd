import { GatewayError } from "../core/errors.ts";
import type { Principal, Role } from "./principal.ts";

const OWNER: readonly Role[] = ["owner"];
const ADMINS: readonly Role[] = ["owner", "admin"];
const EVERYONE: readonly Role[] = ["owner", "admin", "member"];

/**
 * Who may do what, in the organization the request is about. What is not here is denied. `accounts`
 * also admits service accounts; virtual keys and the agents of the MCP plane hold no permission at all.
 */
const PERMISSIONS = {
  "self:read": { roles: EVERYONE, accounts: false },
  "orgs:create": { roles: OWNER, accounts: false },
  "orgs:read": { roles: EVERYONE, accounts: false },
  "orgs:update": { roles: OWNER, accounts: false },
  "orgs:delete": { roles: OWNER, accounts: false },
  "members:read": { roles: EVERYONE, accounts: false },
  "members:write": { roles: ADMINS, accounts: false },
  "users:read": { roles: ADMINS, accounts: false },
  "users:write": { roles: ADMINS, accounts: false },
  "rootkeys:read": { roles: ADMINS, accounts: false },
  "rootkeys:write": { roles: ADMINS, accounts: false },
  "services:read": { roles: EVERYONE, accounts: true },
  "services:write": { roles: ADMINS, accounts: false },
  "mcpservers:read": { roles: EVERYONE, accounts: true },
  "serviceaccounts:read": { roles: ADMINS, accounts: false },
  "serviceaccounts:write": { roles: ADMINS, accounts: false },
  /** Members and service accounts see, issue and revoke only the keys they own: keys/access.ts. */
  "keys:read": { roles: EVERYONE, accounts: true },
  "keys:write": { roles: EVERYONE, accounts: true },
  "audit:read": { roles: ADMINS, accounts: false },
  "metrics:read": { roles: ADMINS, accounts: true },
  "gateway:reload": { roles: OWNER, accounts: false },
} as const satisfies Record<string, { roles: readonly Role[]; accounts: boolean }>;

export type Permission = keyof typeof PERMISSIONS;

export function isAllowed(principal: Principal, permission: Permission): boolean {
  const rule = PERMISSIONS[permission];
  switch (principal.kind) {
    case "user":
      return rule.roles.includes(principal.role);
    case "service_account":
      return rule.accounts;
    case "virtual_key":
    case "gateway_agent":
    case "local":
      return false;
  }
}

/** The one authorisation decision of the management plane. @throws GatewayError `auth.forbidden` */
export function authorize(principal: Principal, permission: Permission): void {
  if (isAllowed(principal, permission)) return;
  throw new GatewayError("auth.forbidden", { message: `forbidden: this needs the permission ${permission}` });
}

/** Whether a holder of `own` may hand out or take away `other`: nobody reaches above their own rank. */
export function mayManageRole(own: Role, other: Role): boolean {
  const order: readonly Role[] = EVERYONE;
  return order.indexOf(own) <= order.indexOf(other);
}
