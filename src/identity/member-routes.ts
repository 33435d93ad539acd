import { z } from "zod";
import { byPrincipal, createAuditLog } from "../audit/log.ts";
import { GatewayError } from "../core/errors.ts";
import { timestamp, toIso } from "../http/fields.ts";
import { listQuery, listReply, pageRequest } from "../http/list.ts";
import { route, type Route } from "../http/route.ts";
import { createMembershipStore, type Member } from "./membership-store.ts";
import { asUser, type IdentityDeps, RoleName } from "./model.ts";
import { publishRemoval, revokeKeysOfOwner } from "./owned-keys.ts";
import { pathId } from "./schemas.ts";
import { createSessionStore } from "./session-store.ts";
import { lockOrgs, orExists, requireOwner, requireRank } from "./user-rules.ts";
import { createUserStore } from "./user-store.ts";

const NewMember = z
  .strictObject({ user_id: z.string().min(1).max(128), role: RoleName.default("member") })
  .meta({ id: "NewMember" });

const MemberChange = z.strictObject({ role: RoleName }).meta({ id: "MemberChange" });

const MemberBody = z
  .object({ user_id: z.string(), org_id: z.string(), role: RoleName, name: z.string(), created_at: timestamp })
  .meta({ id: "Membership" });

const orgPath = z.object({ id: pathId });
const memberPath = z.object({ id: pathId, userID: pathId });

/** Memberships. Nobody gives, changes or takes a role above their own, and no org loses its last owner. */
export function memberRoutes(deps: IdentityDeps): Route[] {
  const { db, clock, keyring, changes } = deps;
  return [
    route({
      method: "GET",
      path: "/v1/orgs/{id}/members",
      operationId: "listMembers",
      tag: "Organizations",
      summary: "The members of an organization, newest first.",
      permission: "members:read",
      org: "path",
      params: orgPath,
      query: z.strictObject({ ...listQuery, role: RoleName.optional() }),
      replies: { 200: z.array(MemberBody).meta({ id: "Memberships" }) },
      errors: ["resource.not_found"],
      handle: async ({ query, principal }) =>
        listReply(
          await createMembershipStore(db).listOfOrg(principal.orgUid, pageRequest(query), { role: query.role }),
          (member) => toBody(member, principal.orgId),
        ),
    }),

    route({
      method: "POST",
      path: "/v1/orgs/{id}/members",
      operationId: "addMember",
      tag: "Organizations",
      summary: "Add an existing user, with a role not above the caller's own.",
      permission: "members:write",
      org: "path",
      idempotent: true,
      params: orgPath,
      body: NewMember,
      replies: { 201: MemberBody },
      errors: ["resource.not_found", "resource.exists"],
      async handle({ body, principal, request }) {
        requireRank(asUser(principal).role, body.role);
        const member = await db.transaction().execute(async (trx) => {
          const memberships = createMembershipStore(trx);
          const user = await createUserStore(trx).findByUid(body.user_id);
          if (!user) throw new GatewayError("resource.not_found", { message: "user not found" });
          await orExists("membership already exists", () =>
            memberships.insert(principal.orgUid, user.uid, body.role, clock.now()),
          );
          await createAuditLog(trx, keyring, clock).record({
            ...byPrincipal(principal, request),
            action: "member.add",
            target: { kind: "user", id: user.uid },
            detail: { role: body.role },
          });
          return { userUid: user.uid, name: user.name, role: body.role, createdAtMs: clock.now() };
        });
        changes.publish({ kind: "principal", uid: member.userUid });
        return { status: 201, body: toBody(member, principal.orgId) };
      },
    }),

    route({
      method: "PUT",
      path: "/v1/orgs/{id}/members/{userID}",
      operationId: "updateMember",
      tag: "Organizations",
      summary: "Change a member's role. Neither the old nor the new one may be above the caller's own.",
      permission: "members:write",
      org: "path",
      params: memberPath,
      body: MemberChange,
      replies: { 200: MemberBody },
      errors: ["resource.not_found", "resource.conflict"],
      async handle({ params, body, principal, request }) {
        const caller = asUser(principal);
        const member = await db.transaction().execute(async (trx) => {
          await lockOrgs(trx, [caller.orgUid]);
          const memberships = createMembershipStore(trx);
          const found = await memberships.find(caller.orgUid, params.userID);
          if (!found) throw new GatewayError("resource.not_found");
          requireRank(caller.role, found.role);
          requireRank(caller.role, body.role);
          await memberships.setRole(caller.orgUid, found.userUid, body.role);
          await requireOwner(trx, [caller.orgUid]);
          await createAuditLog(trx, keyring, clock).record({
            ...byPrincipal(principal, request),
            action: "member.update",
            target: { kind: "user", id: found.userUid },
            detail: { from: found.role, to: body.role },
          });
          return { ...found, role: body.role };
        });
        changes.publish({ kind: "principal", uid: member.userUid });
        return { status: 200, body: toBody(member, principal.orgId) };
      },
    }),

    route({
      method: "DELETE",
      path: "/v1/orgs/{id}/members/{userID}",
      operationId: "removeMember",
      tag: "Organizations",
      summary: "Remove a member: ends their sessions in the organization and revokes the keys they own there.",
      permission: "members:write",
      org: "path",
      params: memberPath,
      replies: { 204: null },
      errors: ["resource.not_found", "resource.conflict"],
      async handle({ params, principal, request }) {
        const caller = asUser(principal);
        const { orgUid } = caller;
        const keys = await db.transaction().execute(async (trx) => {
          await lockOrgs(trx, [orgUid]);
          const memberships = createMembershipStore(trx);
          const found = await memberships.find(orgUid, params.userID);
          if (!found) throw new GatewayError("resource.not_found");
          requireRank(caller.role, found.role);
          await memberships.remove(orgUid, found.userUid);
          await requireOwner(trx, [orgUid]);
          await createSessionStore(trx).revokeOfUser(found.userUid, clock.now(), { orgUid });
          const keyUids = await revokeKeysOfOwner(trx, { kind: "user", uid: found.userUid, orgUid }, clock.now());
          await createAuditLog(trx, keyring, clock).record({
            ...byPrincipal(principal, request),
            action: "member.remove",
            target: { kind: "user", id: found.userUid },
            detail: { keys_revoked: keyUids.length },
          });
          return keyUids;
        });
        publishRemoval(changes, params.userID, keys);
        return { status: 204, body: null };
      },
    }),
  ];
}

function toBody(member: Member, orgId: string) {
  return {
    user_id: member.userUid,
    org_id: orgId,
    role: member.role,
    name: member.name,
    created_at: toIso(member.createdAtMs),
  };
}
