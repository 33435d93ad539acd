import { z } from "zod";
import { byPrincipal, createAuditLog } from "../audit/log.ts";
import { GatewayError } from "../core/errors.ts";
import { timestamp, toIso } from "../http/fields.ts";
import { listQuery, listReply, pageRequest } from "../http/list.ts";
import { route, type Route } from "../http/route.ts";
import { asUser, type IdentityDeps, type Org } from "./model.ts";
import { createOrgStore } from "./org-store.ts";
import { makeOrg, removeOrg } from "./orgs.ts";
import { callerId, displayName, emailAddress, pathId } from "./schemas.ts";
import { orExists } from "./user-rules.ts";

const domain = z.string().trim().min(1).max(253);

const NewOrg = z
  .strictObject({
    name: displayName(),
    id: callerId.optional(),
    domain: domain.optional(),
    email: emailAddress().optional(),
  })
  .meta({ id: "NewOrg" });

const OrgChange = z
  .strictObject({
    name: displayName().optional(),
    domain: domain.nullable().optional(),
    email: emailAddress().nullable().optional(),
  })
  .meta({ id: "OrgChange" });

const OrgBody = z
  .object({
    id: z.string(),
    name: z.string(),
    domain: z.string().nullable(),
    email: z.string().nullable(),
    created_at: timestamp,
  })
  .meta({ id: "Org" });

const orgPath = z.object({ id: pathId });

/** Organizations: the tenants. */
export function orgRoutes(deps: IdentityDeps): Route[] {
  const { db, clock, keyring, changes } = deps;
  return [
    route({
      method: "GET",
      path: "/v1/orgs",
      operationId: "listOrgs",
      tag: "Organizations",
      summary: "The organizations that the caller is a member of, newest first.",
      permission: "orgs:read",
      query: z.strictObject(listQuery),
      replies: { 200: z.array(OrgBody).meta({ id: "Orgs" }) },
      handle: async ({ query, principal }) =>
        listReply(await createOrgStore(db).listOfUser(principal.uid, pageRequest(query)), toBody),
    }),

    route({
      method: "POST",
      path: "/v1/orgs",
      operationId: "createOrg",
      tag: "Organizations",
      summary: "Make an organization, owned by the caller.",
      permission: "orgs:create",
      idempotent: true,
      body: NewOrg,
      replies: { 201: OrgBody },
      errors: ["resource.exists"],
      async handle({ body, principal, request }) {
        const org = await db.transaction().execute((trx) => makeOrg(trx, deps, asUser(principal), body, request));
        return { status: 201, body: toBody(org) };
      },
    }),

    route({
      method: "GET",
      path: "/v1/orgs/{id}",
      operationId: "getOrg",
      tag: "Organizations",
      summary: "One organization that the caller is a member of.",
      permission: "orgs:read",
      org: "path",
      params: orgPath,
      replies: { 200: OrgBody },
      errors: ["resource.not_found"],
      async handle({ principal }) {
        const org = await createOrgStore(db).findByUid(principal.orgUid);
        if (!org) throw new GatewayError("resource.not_found");
        return { status: 200, body: toBody(org) };
      },
    }),

    route({
      method: "PUT",
      path: "/v1/orgs/{id}",
      operationId: "updateOrg",
      tag: "Organizations",
      summary: "Change an organization; fields left out stay, null clears. Its id never changes.",
      permission: "orgs:update",
      org: "path",
      params: orgPath,
      body: OrgChange,
      replies: { 200: OrgBody },
      errors: ["resource.not_found", "resource.exists"],
      async handle({ body, principal, request }) {
        const change = {
          ...(body.name === undefined ? {} : { name: body.name }),
          ...(body.domain === undefined ? {} : { domain: body.domain }),
          ...(body.email === undefined ? {} : { email: body.email }),
        };
        const org = await orExists("organization already exists", () =>
          db.transaction().execute(async (trx) => {
            const orgs = createOrgStore(trx);
            await orgs.update(principal.orgUid, change, clock.now());
            const updated = await orgs.findByUid(principal.orgUid);
            if (!updated) throw new GatewayError("resource.not_found");
            await createAuditLog(trx, keyring, clock).record({
              ...byPrincipal(principal, request),
              action: "org.update",
              target: { kind: "org", id: updated.id },
              detail: { changed: Object.keys(change) },
            });
            return updated;
          }),
        );
        changes.publish({ kind: "org", uid: org.uid });
        return { status: 200, body: toBody(org) };
      },
    }),

    route({
      method: "DELETE",
      path: "/v1/orgs/{id}",
      operationId: "deleteOrg",
      tag: "Organizations",
      summary: "Delete an organization; with `cascade=true` also its keys, services and root keys.",
      description: "Users whose home it is and who are in no other organization are deleted with it.",
      permission: "orgs:delete",
      org: "path",
      params: orgPath,
      query: z.strictObject({ cascade: z.enum(["true", "false"]).default("false") }),
      replies: { 204: null },
      errors: ["resource.not_found", "resource.conflict", "resource.in_use"],
      async handle({ query, principal, request }) {
        await db
          .transaction()
          .execute((trx) => removeOrg(trx, deps, asUser(principal), query.cascade === "true", request));
        changes.publish({ kind: "org", uid: principal.orgUid });
        return { status: 204, body: null };
      },
    }),
  ];
}

function toBody(org: Org) {
  return { id: org.id, name: org.name, domain: org.domain, email: org.email, created_at: toIso(org.createdAtMs) };
}
