import { z } from "zod";
import { authorize } from "../access/authorize.ts";
import type { Role, UserPrincipal } from "../access/principal.ts";
import { byPrincipal, createAuditLog } from "../audit/log.ts";
import { GatewayError } from "../core/errors.ts";
import { newId } from "../core/ids.ts";
import { newSecret } from "../core/secret.ts";
import { timestamp, toIso } from "../http/fields.ts";
import { listQuery, listReply, pageRequest } from "../http/list.ts";
import { type RequestContext, route, type Route } from "../http/route.ts";
import type { Db } from "../storage/open-database.ts";
import { createMembershipStore } from "./membership-store.ts";
import { asUser, type IdentityDeps, type Org, RoleName, type User } from "./model.ts";
import { makeOrg } from "./orgs.ts";
import { createOrgStore } from "./org-store.ts";
import { publishRemoval, revokeKeysOfOwner } from "./owned-keys.ts";
import { apiKeyOnce, callerId, displayName, emailAddress, pathId, Ttl } from "./schemas.ts";
import { issueSession, tokenTtlMs } from "./sessions.ts";
import { createSessionStore } from "./session-store.ts";
import { UserWithSecrets } from "./setup-routes.ts";
import { lockOrgs, orExists, requireManagedUser, requireOwner, requireRank } from "./user-rules.ts";
import { createUserStore, type UserInOrg } from "./user-store.ts";

const NewUser = z
  .strictObject({
    name: displayName(),
    email: emailAddress(),
    role: RoleName.default("member"),
    org_id: callerId.optional().describe("An organization of the caller; default: that of the request."),
    org_name: displayName().optional().describe("Without `org_id`: makes this organization, owned by the caller."),
    ttl: Ttl,
  })
  .meta({ id: "NewUser" });

const UserChange = z
  .strictObject({ name: displayName().optional(), email: emailAddress().optional() })
  .meta({ id: "UserChange" });

const UserInOrgBody = z
  .object({
    id: z.string(),
    name: z.string(),
    email: z.string(),
    role: RoleName.nullable().describe("Null: this is the user's home organization, but they are no member now."),
    home: z.boolean().describe("Whether this organization may change or delete the user."),
    created_at: timestamp,
  })
  .meta({ id: "User" });

const UserBody = z
  .object({ id: z.string(), name: z.string(), email: z.string(), created_at: timestamp })
  .meta({ id: "UserAccount" });

const Self = z
  .object({
    id: z.string(),
    name: z.string(),
    email: z.string(),
    orgs: z.array(z.object({ org_id: z.string(), name: z.string(), role: RoleName }).meta({ id: "UserOrg" })),
  })
  .meta({ id: "Self" });

const RotatedKey = z.object({ id: z.string(), api_key: apiKeyOnce }).meta({ id: "RotatedApiKey" });

const userPath = z.object({ id: pathId });

/** Users of the instance, as their home organization manages them, and the caller's own account. */
export function userRoutes(deps: IdentityDeps): Route[] {
  const { db, clock, keyring, changes } = deps;
  return [
    route({
      method: "POST",
      path: "/v1/users",
      operationId: "createUser",
      tag: "Users",
      summary: "Make a user and their membership. The only reply that shows the API key and a first token.",
      permission: "users:write",
      idempotent: true,
      body: NewUser,
      replies: { 201: UserWithSecrets },
      errors: ["resource.exists", "resource.not_found"],
      handle: async ({ body, principal, request }) => ({
        status: 201,
        body: await createUser(deps, asUser(principal), body, request),
      }),
    }),

    route({
      method: "GET",
      path: "/v1/users",
      operationId: "listUsers",
      tag: "Users",
      summary: "Members of the organization and users whose home it is, newest first.",
      permission: "users:read",
      query: z.strictObject({ ...listQuery, email: emailAddress().optional() }),
      replies: { 200: z.array(UserInOrgBody).meta({ id: "Users" }) },
      handle: async ({ query, principal }) =>
        listReply(
          await createUserStore(db).listOfOrg(principal.orgUid, pageRequest(query), { email: query.email }),
          (user) => toUserInOrg(user, principal.orgUid),
        ),
    }),

    route({
      method: "GET",
      path: "/v1/user",
      operationId: "getSelf",
      tag: "Users",
      summary: "The caller, with their organizations and roles.",
      permission: "self:read",
      replies: { 200: Self },
      async handle({ principal }) {
        const user = await createUserStore(db).findByUid(principal.uid);
        if (!user) throw new GatewayError("resource.not_found");
        const memberships = await createMembershipStore(db).listOfUser(user.uid);
        const orgs = memberships.map(({ id, name, role }) => ({ org_id: id, name, role }));
        return { status: 200, body: { id: user.uid, name: user.name, email: user.email, orgs } };
      },
    }),

    route({
      method: "PUT",
      path: "/v1/users/{id}",
      operationId: "updateUser",
      tag: "Users",
      summary: "Change a user's name or email; fields left out stay. For admins of the user's home organization.",
      permission: "users:write",
      params: userPath,
      body: UserChange,
      replies: { 200: UserBody },
      errors: ["resource.not_found", "resource.exists"],
      async handle({ params, body, principal, request }) {
        const user = await orExists("user already exists", () =>
          db.transaction().execute(async (trx) => {
            const found = await requireManagedUser(trx, asUser(principal), params.id);
            const change = definedOf(body);
            await createUserStore(trx).update(found.uid, change, clock.now());
            await createAuditLog(trx, keyring, clock).record({
              ...byPrincipal(principal, request),
              action: "user.update",
              target: { kind: "user", id: found.uid },
              detail: { changed: Object.keys(change) },
            });
            return { ...found, ...change };
          }),
        );
        changes.publish({ kind: "principal", uid: user.uid });
        return { status: 200, body: toUserBody(user) };
      },
    }),

    route({
      method: "DELETE",
      path: "/v1/users/{id}",
      operationId: "deleteUser",
      tag: "Users",
      summary: "Delete a user, with their memberships and sessions, and revoke every key they own.",
      permission: "users:write",
      params: userPath,
      replies: { 204: null },
      errors: ["resource.not_found", "resource.conflict"],
      async handle({ params, principal, request }) {
        const { user, keys } = await db.transaction().execute(async (trx) => {
          const found = await requireManagedUser(trx, asUser(principal), params.id);
          const orgUids = (await createMembershipStore(trx).listOfUser(found.uid)).map((org) => org.uid);
          await lockOrgs(trx, orgUids);
          await createUserStore(trx).remove(found.uid);
          const keyUids = await revokeKeysOfOwner(trx, { kind: "user", uid: found.uid, orgUid: null }, clock.now());
          await requireOwner(trx, orgUids);
          await createAuditLog(trx, keyring, clock).record({
            ...byPrincipal(principal, request),
            action: "user.delete",
            target: { kind: "user", id: found.uid },
            detail: { keys_revoked: keyUids.length },
          });
          return { user: found, keys: keyUids };
        });
        publishRemoval(changes, user.uid, keys);
        return { status: 204, body: null };
      },
    }),

    route({
      method: "POST",
      path: "/v1/users/{id}/rotate-key",
      operationId: "rotateUserKey",
      tag: "Users",
      summary: "Replace a user's API key; the old one and all other sessions of the user end at once.",
      permission: "users:write",
      idempotent: true,
      params: userPath,
      replies: { 200: RotatedKey },
      errors: ["resource.not_found"],
      handle: async ({ params, principal, request }) => ({
        status: 200,
        body: await rotateKey(deps, asUser(principal), params.id, request),
      }),
    }),

    route({
      method: "POST",
      path: "/v1/user/rotate-key",
      operationId: "rotateOwnKey",
      tag: "Users",
      summary: "Replace the caller's own API key; the old one and all their other sessions end at once.",
      permission: "self:read",
      idempotent: true,
      replies: { 200: RotatedKey },
      handle: async ({ principal, request }) => ({
        status: 200,
        body: await rotateKey(deps, asUser(principal), principal.uid, request),
      }),
    }),
  ];
}

async function createUser(
  deps: IdentityDeps,
  caller: UserPrincipal,
  body: z.output<typeof NewUser>,
  request: RequestContext,
): Promise<z.input<typeof UserWithSecrets>> {
  const { db, keyring, clock } = deps;
  const ttlMs = tokenTtlMs(body.ttl, deps.sessions);
  const apiKey = newSecret("bfu");
  return db.transaction().execute(async (trx) => {
    const org = await targetOrg(trx, deps, caller, body, request);
    const users = createUserStore(trx);
    if (await users.findByEmail(body.email))
      throw new GatewayError("resource.exists", { message: "user already exists" });
    const user: User = {
      uid: newId("usr"),
      orgUid: org.uid,
      name: body.name,
      email: body.email,
      createdAtMs: clock.now(),
    };
    await orExists("user already exists", () => users.insert(user, keyring.hashSecret(apiKey)));
    await createMembershipStore(trx).insert(org.uid, user.uid, body.role, clock.now());
    const { token } = await issueSession(trx, deps, { orgUid: org.uid, userUid: user.uid, ttlMs });
    await createAuditLog(trx, keyring, clock).record({
      ...byPrincipal(caller, request),
      orgUid: org.uid,
      action: "user.create",
      target: { kind: "user", id: user.uid },
      detail: { role: body.role },
    });
    return { id: user.uid, name: user.name, email: user.email, api_key: apiKey, token };
  });
}

/** Where the new user will live; the caller's own rank there bounds the role. Someone else's org is "not found". */
async function targetOrg(
  trx: Db,
  deps: IdentityDeps,
  caller: UserPrincipal,
  body: { org_id?: string | undefined; org_name?: string | undefined; role: Role },
  request: RequestContext,
): Promise<{ uid: string }> {
  if (body.org_id === undefined && body.org_name !== undefined) {
    authorize(caller, "orgs:create");
    return makeOrg(trx, deps, caller, { name: body.org_name }, request);
  }
  const org: Pick<Org, "uid"> | null =
    body.org_id === undefined ? { uid: caller.orgUid } : await createOrgStore(trx).findById(body.org_id);
  const membership = org && (await createMembershipStore(trx).find(org.uid, caller.uid));
  if (!org || !membership) throw new GatewayError("resource.not_found", { message: "organization not found" });
  authorize({ ...caller, orgUid: org.uid, role: membership.role }, "users:write");
  requireRank(membership.role, body.role);
  return org;
}

async function rotateKey(deps: IdentityDeps, caller: UserPrincipal, userUid: string, request: RequestContext) {
  const { db, keyring, clock } = deps;
  const apiKey = newSecret("bfu");
  await db.transaction().execute(async (trx) => {
    if (userUid !== caller.uid) await requireManagedUser(trx, caller, userUid);
    await createUserStore(trx).setApiKeyHash(userUid, keyring.hashSecret(apiKey));
    await createSessionStore(trx).revokeOfUser(userUid, clock.now(), { exceptUid: caller.sessionUid });
    await createAuditLog(trx, keyring, clock).record({
      ...byPrincipal(caller, request),
      action: "user.rotate_key",
      target: { kind: "user", id: userUid },
    });
  });
  deps.changes.publish({ kind: "principal", uid: userUid });
  return { id: userUid, api_key: apiKey };
}

function definedOf(body: z.output<typeof UserChange>): { name?: string; email?: string } {
  return {
    ...(body.name === undefined ? {} : { name: body.name }),
    ...(body.email === undefined ? {} : { email: body.email }),
  };
}

function toUserBody({ uid, name, email, createdAtMs }: User) {
  return { id: uid, name, email, created_at: toIso(createdAtMs) };
}

function toUserInOrg(user: UserInOrg, orgUid: string) {
  return { ...toUserBody(user), role: user.role, home: user.orgUid === orgUid };
}
