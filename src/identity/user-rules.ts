import { mayManageRole } from "../access/authorize.ts";
import type { Role, UserPrincipal } from "../access/principal.ts";
import { GatewayError } from "../core/errors.ts";
import { isUniqueViolation } from "../storage/errors.ts";
import type { Db } from "../storage/open-database.ts";
import { createMembershipStore } from "./membership-store.ts";
import type { User } from "./model.ts";
import { createOrgStore } from "./org-store.ts";
import { createUserStore } from "./user-store.ts";

/** @throws GatewayError `auth.forbidden` when `role` is above the caller's own */
export function requireRank(own: Role, role: Role): void {
  if (mayManageRole(own, role)) return;
  throw new GatewayError("auth.forbidden", { message: `forbidden: only an owner may do this to an ${role}` });
}

/**
 * The user whom the caller may change or delete: one whose home is the caller's org, and who ranks nowhere
 * above the caller. Nowhere, not only here: else an admin of the home org could take the API key of someone
 * who owns another org.
 *
 * @throws GatewayError `resource.not_found` (unknown to the caller's org), `auth.forbidden`
 */
export async function requireManagedUser(trx: Db, caller: UserPrincipal, userUid: string): Promise<User> {
  const user = await createUserStore(trx).findByUid(userUid);
  const memberships = await createMembershipStore(trx).listOfUser(userUid);
  const isHere = user?.orgUid === caller.orgUid || memberships.some((membership) => membership.uid === caller.orgUid);
  if (!user || !isHere) throw new GatewayError("resource.not_found");
  if (user.orgUid !== caller.orgUid) {
    throw new GatewayError("auth.forbidden", {
      message: "forbidden: only admins of the user's home organization may do this",
    });
  }
  for (const { role } of memberships) requireRank(caller.role, role);
  return user;
}

/**
 * Call inside the transaction, before the change, for each org that may lose an owner (in the order of
 * their uids); then {@link requireOwner} after it.
 */
export async function lockOrgs(trx: Db, orgUids: readonly string[]): Promise<void> {
  for (const uid of orgUids.toSorted()) await createOrgStore(trx).lock(uid);
}

/** @throws GatewayError `resource.conflict`, which rolls the change back, when the org has no owner left */
export async function requireOwner(trx: Db, orgUids: readonly string[]): Promise<void> {
  for (const uid of orgUids) {
    if ((await createMembershipStore(trx).countOwners(uid)) > 0) continue;
    throw new GatewayError("resource.conflict", { message: "an organization keeps at least one owner" });
  }
}

/** Runs a write; where it breaks a unique rule, answers `resource.exists` with this text. */
export async function orExists<T>(message: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    if (isUniqueViolation(error)) throw new GatewayError("resource.exists", { message, cause: error });
    throw error;
  }
}
