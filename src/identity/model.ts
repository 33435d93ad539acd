import { z } from "zod";
import { type Principal, type Role, ROLES, type UserPrincipal } from "../access/principal.ts";
import type { ChangeBus } from "../core/changes.ts";
import type { Clock } from "../core/clock.ts";
import { GatewayError } from "../core/errors.ts";
import type { Db } from "../storage/open-database.ts";
import type { Keyring } from "../vault/keyring.ts";

/** The organization that exists from the first start; events of the whole instance are audited in it. */
export const DEFAULT_ORG_ID = "default";

export interface Org {
  readonly uid: string;
  readonly id: string;
  readonly name: string;
  readonly domain: string | null;
  readonly email: string | null;
  readonly createdAtMs: number;
}

export interface User {
  readonly uid: string;
  /** Home org: its admins may change or delete the user. */
  readonly orgUid: string;
  readonly name: string;
  readonly email: string;
  readonly createdAtMs: number;
}

export interface Session {
  readonly uid: string;
  readonly orgUid: string;
  readonly userUid: string;
  readonly startedAtMs: number;
  readonly expiresAtMs: number;
  readonly revokedAtMs: number | null;
}

export interface ServiceAccount {
  readonly uid: string;
  readonly orgUid: string;
  readonly id: string;
  readonly name: string;
  /** Every service of the org, or those listed; an empty list is none. */
  readonly services: "all" | readonly { readonly uid: string; readonly id: string }[];
  readonly maxTtlSeconds: number | null;
  readonly maxRateLimit: number | null;
  readonly maxScope: "read" | "write";
  readonly createdBy: string;
  readonly createdAtMs: number;
}

/** How long session tokens live, in milliseconds. */
export interface SessionPolicy {
  /** Life of a token when the request does not say; never above `maxTtlMs`. */
  readonly ttlMs: number;
  /** The longest life of one token. */
  readonly maxTtlMs: number;
  /** A chain of refreshes ends so long after its first token. */
  readonly maxAgeMs: number;
}

export const DEFAULT_SESSION_POLICY: SessionPolicy = {
  ttlMs: 24 * 3_600_000,
  maxTtlMs: 24 * 3_600_000,
  maxAgeMs: 30 * 86_400_000,
};

/** What every operation of this folder works with. */
export interface IdentityDeps {
  readonly db: Db;
  readonly keyring: Keyring;
  readonly clock: Clock;
  readonly changes: ChangeBus;
  readonly sessions: SessionPolicy;
}

export const RoleName = z.enum(ROLES as [Role, ...Role[]], { error: "invalid role" });

/** The user behind a request. @throws GatewayError `auth.forbidden` for other kinds, which hold no such permission anyway */
export function asUser(principal: Principal): UserPrincipal {
  if (principal.kind === "user") return principal;
  throw new GatewayError("auth.forbidden", { message: "forbidden: this needs a user" });
}
