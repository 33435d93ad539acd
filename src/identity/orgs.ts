import type { UserPrincipal } from "../access/principal.ts";
import { byPrincipal, createAuditLog } from "../audit/log.ts";
import { GatewayError } from "../core/errors.ts";
import { newId } from "../core/ids.ts";
import type { RequestContext } from "../http/route.ts";
import type { Db } from "../storage/open-database.ts";
import { createMembershipStore } from "./membership-store.ts";
import { DEFAULT_ORG_ID, type IdentityDeps, type Org } from "./model.ts";
import { createOrgStore } from "./org-store.ts";
import { orExists } from "./user-rules.ts";
import { createUserStore } from "./user-store.ts";

/**
 * Makes an org with its creator as owner, so that it is never without one. Audited in the org that the
 * creator acted from and, as its first entry, in the new one.
 *
 * @throws GatewayError `resource.exists` for a taken id or name
 */
export async function makeOrg(
  trx: Db,
  { keyring, clock }: IdentityDeps,
  creator: UserPrincipal,
  order: { name: string; id?: string | undefined; domain?: string | undefined; email?: string | undefined },
  request: RequestContext,
): Promise<Org> {
  const uid = newId("org");
  const org: Org = {
    uid,
    id: order.id ?? uid,
    name: order.name,
    domain: order.domain ?? null,
    email: order.email ?? null,
    createdAtMs: clock.now(),
  };
  await orExists("organization already exists", () => createOrgStore(trx).insert(org));
  await createMembershipStore(trx).insert(uid, creator.uid, "owner", clock.now());
  const audit = createAuditLog(trx, keyring, clock);
  const event = {
    ...byPrincipal(creator, request),
    action: "org.create",
    target: { kind: "org", id: org.id },
    detail: { name: org.name },
  };
  await audit.record(event);
  await audit.record({ ...event, orgUid: uid });
  return org;
}

/**
 * Deletes an org and all that it holds. Users whose home it is live on only where they are a member of
 * another org; their home is then the default org, so that nobody's colleagues elsewhere gain power over
 * them. The trail stays; the deletion is also in the default org's, which remains readable.
 *
 * @throws GatewayError `resource.conflict` for the default org, `resource.in_use` without `cascade` when it still holds something
 */
export async function removeOrg(
  trx: Db,
  { keyring, clock }: IdentityDeps,
  owner: UserPrincipal,
  cascade: boolean,
  request: RequestContext,
): Promise<void> {
  if (owner.orgId === DEFAULT_ORG_ID) {
    throw new GatewayError("resource.conflict", { message: "the default organization cannot be deleted" });
  }
  const orgs = createOrgStore(trx);
  await orgs.lock(owner.orgUid);
  const held = await firstHeld(trx, owner.orgUid);
  if (held !== null && !cascade) {
    throw new GatewayError("resource.in_use", {
      message: `the organization still has ${held}: remove them first, or repeat with ?cascade=true`,
    });
  }
  const home = await orgs.findById(DEFAULT_ORG_ID);
  if (!home) throw new Error("the default organization is missing");
  const users = createUserStore(trx);
  for (const uid of await users.listUidsOfHome(owner.orgUid)) {
    const memberships = await createMembershipStore(trx).listOfUser(uid);
    if (memberships.some((membership) => membership.uid !== owner.orgUid)) await users.setHome(uid, home.uid);
  }
  await orgs.remove(owner.orgUid);
  const audit = createAuditLog(trx, keyring, clock);
  const event = {
    ...byPrincipal(owner, request),
    action: "org.delete",
    target: { kind: "org", id: owner.orgId },
    detail: { cascade },
  };
  await audit.record(event);
  await audit.record({ ...event, orgUid: home.uid });
}

/** What an org holds that someone may still need, in words, or null. */
async function firstHeld(trx: Db, orgUid: string): Promise<string | null> {
  const key = await trx
    .selectFrom("virtual_keys")
    .select("uid")
    .where("org_uid", "=", orgUid)
    .where("revoked_at_ms", "is", null)
    .executeTakeFirst();
  if (key) return "virtual keys";
  const service = await trx.selectFrom("services").select("uid").where("org_uid", "=", orgUid).executeTakeFirst();
  if (service) return "services";
  const credential = await trx.selectFrom("credentials").select("uid").where("org_uid", "=", orgUid).executeTakeFirst();
  return credential ? "root keys" : null;
}
