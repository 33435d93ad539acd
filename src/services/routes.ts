import { z } from "zod";
import { isAllowed } from "../access/authorize.ts";
import type { Principal } from "../access/principal.ts";
import { GatewayError } from "../core/errors.ts";
import { assertSameId } from "../credentials/routes.ts";
import { createCredentialStore } from "../credentials/store.ts";
import { IdParams } from "../http/fields.ts";
import { listQuery, listReply, pageRequest } from "../http/list.ts";
import { route, type Route } from "../http/route.ts";
import type { Db } from "../storage/open-database.ts";
import { mayUse, usableServices } from "./access.ts";
import type { Service } from "./model.ts";
import { NewService, ServiceBody, ServiceReplacement } from "./schemas.ts";
import { createServiceStore } from "./store.ts";
import { toBody, toDefinition } from "./view.ts";
import { createService, deleteService, replaceService, type ServiceWriteDeps } from "./write.ts";

const ListQuery = z.strictObject({
  ...listQuery,
  q: z.string().max(100).optional().describe("Part of the id or description."),
  root_key_id: z.string().max(64).optional().describe("Only services that use this root key."),
  managed_by: z.enum(["api", "config"]).optional(),
});

const DeleteQuery = z.strictObject({
  cascade: z.enum(["true", "false"]).optional().describe("`true`: revoke the keys that are granted the service."),
});

/** Upstream APIs. Members and service accounts see those they may use; admins change them. */
export function serviceRoutes(deps: ServiceWriteDeps): Route[] {
  return [...readingRoutes(deps.db), ...writingRoutes(deps)];
}

function readingRoutes(db: Db): Route[] {
  return [
    route({
      method: "GET",
      path: "/v1/services",
      operationId: "listServices",
      tag: "Services",
      summary: "List services, newest first.",
      description: "Service accounts see those that they may use.",
      permission: "services:read",
      query: ListQuery,
      replies: { 200: z.array(ServiceBody).meta({ id: "Services" }) },
      async handle({ query, principal }) {
        const usable = usableServices(principal);
        const credentialUid = await credentialUidOf(db, principal, query.root_key_id);
        const page =
          credentialUid === null
            ? { items: [], next: null }
            : await createServiceStore(db).list(
                principal.orgUid,
                {
                  q: query.q,
                  credentialUid,
                  managedBy: query.managed_by,
                  uids: usable === "all" ? undefined : usable,
                },
                pageRequest(query),
              );
        const rootKeyIdOf = await rootKeyNames(db, principal, page.items);
        return listReply(page, (service) => toBody(service, rootKeyIdOf(service)));
      },
    }),
    route({
      method: "GET",
      path: "/v1/services/{id}",
      operationId: "getService",
      tag: "Services",
      summary: "Show a service.",
      permission: "services:read",
      params: IdParams,
      replies: { 200: ServiceBody },
      errors: ["resource.not_found"],
      async handle({ params, principal }) {
        const service = await createServiceStore(db).findById(principal.orgUid, params.id);
        if (!service || !mayUse(principal, service.uid)) throw new GatewayError("resource.not_found");
        const rootKeyIdOf = await rootKeyNames(db, principal, [service]);
        return { status: 200, body: toBody(service, rootKeyIdOf(service)) };
      },
    }),
  ];
}

function writingRoutes(deps: ServiceWriteDeps): Route[] {
  return [
    route({
      method: "POST",
      path: "/v1/services",
      operationId: "createService",
      tag: "Services",
      summary: "Register an upstream API.",
      description: "Its root key must be allowed to go to the endpoint's origin, or be bound to none yet.",
      permission: "services:write",
      idempotent: true,
      body: NewService,
      replies: { 201: ServiceBody },
      errors: ["resource.exists", "resource.not_found", "credential.origin_not_allowed"],
      async handle({ body, principal, request }) {
        const input = { id: body.id, rootKeyId: body.root_key_id, definition: toDefinition(body) };
        const { service, rootKeyId } = await createService(deps, { principal, request }, input);
        return { status: 201, body: toBody(service, rootKeyId) };
      },
    }),
    route({
      method: "PUT",
      path: "/v1/services/{id}",
      operationId: "replaceService",
      tag: "Services",
      summary: "Replace a service. Whatever is left out gets its default.",
      permission: "services:write",
      params: IdParams,
      body: ServiceReplacement,
      replies: { 200: ServiceBody },
      errors: ["resource.not_found", "resource.read_only", "credential.origin_not_allowed"],
      async handle({ params, body, principal, request }) {
        assertSameId(params.id, body.id);
        const input = { rootKeyId: body.root_key_id, definition: toDefinition(body) };
        const { service, rootKeyId } = await replaceService(deps, { principal, request }, params.id, input);
        return { status: 200, body: toBody(service, rootKeyId) };
      },
    }),
    route({
      method: "DELETE",
      path: "/v1/services/{id}",
      operationId: "deleteService",
      tag: "Services",
      summary: "Delete a service. Refused while keys can reach it.",
      permission: "services:write",
      params: IdParams,
      query: DeleteQuery,
      replies: { 204: null },
      errors: ["resource.not_found", "resource.read_only", "resource.in_use"],
      async handle({ params, query, principal, request }) {
        await deleteService(deps, { principal, request }, params.id, { cascade: query.cascade === "true" });
        return { status: 204, body: null };
      },
    }),
  ];
}

/** Undefined: no such filter. Null: a filter that nothing can match. */
async function credentialUidOf(db: Db, principal: Principal, rootKeyId: string | undefined) {
  if (rootKeyId === undefined) return undefined;
  if (!isAllowed(principal, "rootkeys:read")) return null;
  return (await createCredentialStore(db).findById(principal.orgUid, rootKeyId))?.uid ?? null;
}

/** Names of root keys are for those who may see root keys. */
async function rootKeyNames(db: Db, principal: Principal, services: readonly Service[]) {
  if (!isAllowed(principal, "rootkeys:read")) return () => "";
  const uids = [...new Set(services.flatMap((service) => service.credentialUid ?? []))];
  const names = new Map((await createCredentialStore(db).findByUids(uids)).map(({ uid, id }) => [uid, id]));
  return (service: Service) => names.get(service.credentialUid ?? "") ?? "";
}
