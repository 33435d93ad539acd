import { z } from "zod";
import type { Principal } from "../access/principal.ts";
import { byPrincipal, createAuditLog } from "../audit/log.ts";
import { GatewayError } from "../core/errors.ts";
import { newId } from "../core/ids.ts";
import { newSecret } from "../core/secret.ts";
import { timestamp, toIso } from "../http/fields.ts";
import { listQuery, listReply, pageRequest } from "../http/list.ts";
import { type RequestContext, route, type Route } from "../http/route.ts";
import type { Db } from "../storage/open-database.ts";
import type { IdentityDeps, ServiceAccount } from "./model.ts";
import { publishRemoval, revokeKeysOfOwner } from "./owned-keys.ts";
import { apiKeyOnce, callerId, displayName, pathId } from "./schemas.ts";
import { createServiceAccountStore } from "./service-account-store.ts";
import { orExists } from "./user-rules.ts";

const AllowedServices = z
  .union([z.tuple([z.literal("*")]), z.array(callerId).max(500)], {
    error: 'a list of service ids, or ["*"] alone for every service of the organization',
  })
  .describe('Ids of the services it may get keys for; `["*"]` is every service, an empty list is none.');

const ceilings = {
  max_ttl_seconds: z
    .int()
    .min(1)
    .max(315_360_000)
    .nullable()
    .describe("Longest life of a key it gets; null: no limit."),
  max_rate_limit: z.int().min(1).max(1_000_000).nullable().describe("Requests per minute; null: no limit."),
  max_scope: z.enum(["read", "write"]).describe("`write` only where its keys must change things upstream."),
};

const NewServiceAccount = z
  .strictObject({
    name: displayName("name is required"),
    id: callerId.optional(),
    // Deny by default: who may use nothing must be given something.
    allowed_services: AllowedServices.default([]),
    max_ttl_seconds: ceilings.max_ttl_seconds.default(null),
    max_rate_limit: ceilings.max_rate_limit.default(null),
    max_scope: ceilings.max_scope.default("read"),
  })
  .meta({ id: "NewServiceAccount" });

const ServiceAccountChange = z
  .strictObject({
    name: displayName().optional(),
    allowed_services: AllowedServices.optional(),
    max_ttl_seconds: ceilings.max_ttl_seconds.optional(),
    max_rate_limit: ceilings.max_rate_limit.optional(),
    max_scope: ceilings.max_scope.optional(),
  })
  .meta({ id: "ServiceAccountChange" });

const ServiceAccountBody = z
  .object({
    id: z.string(),
    name: z.string(),
    allowed_services: z.array(z.string()),
    ...ceilings,
    created_by: z.string(),
    created_at: timestamp,
  })
  .meta({ id: "ServiceAccount" });

const ServiceAccountWithKey = ServiceAccountBody.extend({ api_key: apiKeyOnce }).meta({ id: "ServiceAccountWithKey" });
const RotatedKey = z.object({ id: z.string(), api_key: apiKeyOnce }).meta({ id: "RotatedServiceAccountKey" });

const accountPath = z.object({ id: pathId });

/** Service accounts: programs that get virtual keys for themselves, within ceilings. */
export function serviceAccountRoutes(deps: IdentityDeps): Route[] {
  const { db, clock, keyring, changes } = deps;

  /** One write on an existing account of the caller's org, with its audit entry, in one transaction. */
  async function changeAccount<T>(
    { principal, id, request, action }: { principal: Principal; id: string; request: RequestContext; action: string },
    write: (
      trx: Db,
      account: ServiceAccount,
    ) => Promise<{ result: T; detail: Record<string, string | number | string[]> }>,
  ): Promise<{ account: ServiceAccount; result: T }> {
    return db.transaction().execute(async (trx) => {
      const account = await createServiceAccountStore(trx).findById(principal.orgUid, id);
      if (!account) throw new GatewayError("resource.not_found");
      const { result, detail } = await write(trx, account);
      await createAuditLog(trx, keyring, clock).record({
        ...byPrincipal(principal, request),
        action,
        target: { kind: "service_account", id: account.id },
        detail,
      });
      return { account, result };
    });
  }

  return [
    route({
      method: "GET",
      path: "/v1/serviceaccounts",
      operationId: "listServiceAccounts",
      tag: "Service accounts",
      summary: "The service accounts of the organization, newest first. No keys.",
      permission: "serviceaccounts:read",
      query: z.strictObject({ ...listQuery, name: z.string().max(200).optional() }),
      replies: { 200: z.array(ServiceAccountBody).meta({ id: "ServiceAccounts" }) },
      handle: async ({ query, principal }) =>
        listReply(
          await createServiceAccountStore(db).list(principal.orgUid, pageRequest(query), { name: query.name }),
          toBody,
        ),
    }),

    route({
      method: "POST",
      path: "/v1/serviceaccounts",
      operationId: "createServiceAccount",
      tag: "Service accounts",
      summary: "Make a service account. The only reply that shows its API key.",
      description:
        "Without `allowed_services` it may use nothing, and without `max_scope` its keys only read: least privilege first.",
      permission: "serviceaccounts:write",
      idempotent: true,
      body: NewServiceAccount,
      replies: { 201: ServiceAccountWithKey },
      errors: ["resource.exists", "service.not_found"],
      async handle({ body, principal, request }) {
        const apiKey = newSecret("bfs");
        const account = await db.transaction().execute(async (trx) => {
          const uid = newId("sa");
          const made: ServiceAccount = {
            uid,
            orgUid: principal.orgUid,
            id: body.id ?? uid,
            name: body.name,
            services: await resolveServices(trx, principal.orgUid, body.allowed_services),
            maxTtlSeconds: body.max_ttl_seconds,
            maxRateLimit: body.max_rate_limit,
            maxScope: body.max_scope,
            createdBy: principal.id,
            createdAtMs: clock.now(),
          };
          await orExists("service account already exists", () =>
            createServiceAccountStore(trx).insert(made, keyring.hashSecret(apiKey)),
          );
          await createAuditLog(trx, keyring, clock).record({
            ...byPrincipal(principal, request),
            action: "serviceaccount.create",
            target: { kind: "service_account", id: made.id },
            detail: { allowed_services: allowedOf(made), max_scope: made.maxScope },
          });
          return made;
        });
        return { status: 201, body: { ...toBody(account), api_key: apiKey } };
      },
    }),

    route({
      method: "GET",
      path: "/v1/serviceaccounts/{id}",
      operationId: "getServiceAccount",
      tag: "Service accounts",
      summary: "One service account. No key.",
      permission: "serviceaccounts:read",
      params: accountPath,
      replies: { 200: ServiceAccountBody },
      errors: ["resource.not_found"],
      async handle({ params, principal }) {
        const account = await createServiceAccountStore(db).findById(principal.orgUid, params.id);
        if (!account) throw new GatewayError("resource.not_found");
        return { status: 200, body: toBody(account) };
      },
    }),

    route({
      method: "PUT",
      path: "/v1/serviceaccounts/{id}",
      operationId: "updateServiceAccount",
      tag: "Service accounts",
      summary: "Change a service account; fields left out stay. Keys it already has keep what they were issued with.",
      permission: "serviceaccounts:write",
      params: accountPath,
      body: ServiceAccountChange,
      replies: { 200: ServiceAccountBody },
      errors: ["resource.not_found", "service.not_found"],
      async handle({ params, body, principal, request }) {
        const { result } = await changeAccount(
          { principal, id: params.id, request, action: "serviceaccount.update" },
          async (trx, account) => {
            const changed: ServiceAccount = {
              ...account,
              name: body.name ?? account.name,
              services:
                body.allowed_services === undefined
                  ? account.services
                  : await resolveServices(trx, account.orgUid, body.allowed_services),
              maxTtlSeconds: body.max_ttl_seconds === undefined ? account.maxTtlSeconds : body.max_ttl_seconds,
              maxRateLimit: body.max_rate_limit === undefined ? account.maxRateLimit : body.max_rate_limit,
              maxScope: body.max_scope ?? account.maxScope,
            };
            await createServiceAccountStore(trx).update(changed);
            return {
              result: changed,
              detail: { changed: Object.keys(body), allowed_services: allowedOf(changed), max_scope: changed.maxScope },
            };
          },
        );
        changes.publish({ kind: "principal", uid: result.uid });
        return { status: 200, body: toBody(result) };
      },
    }),

    route({
      method: "DELETE",
      path: "/v1/serviceaccounts/{id}",
      operationId: "deleteServiceAccount",
      tag: "Service accounts",
      summary: "Delete a service account and revoke every key it owns.",
      permission: "serviceaccounts:write",
      params: accountPath,
      replies: { 204: null },
      errors: ["resource.not_found"],
      async handle({ params, principal, request }) {
        const { account, result: keys } = await changeAccount(
          { principal, id: params.id, request, action: "serviceaccount.delete" },
          async (trx, { uid, orgUid }) => {
            await createServiceAccountStore(trx).remove(uid);
            const keyUids = await revokeKeysOfOwner(trx, { kind: "service_account", uid, orgUid }, clock.now());
            return { result: keyUids, detail: { keys_revoked: keyUids.length } };
          },
        );
        publishRemoval(changes, account.uid, keys);
        return { status: 204, body: null };
      },
    }),

    route({
      method: "POST",
      path: "/v1/serviceaccounts/{id}/rotate-key",
      operationId: "rotateServiceAccountKey",
      tag: "Service accounts",
      summary: "Replace the API key; the old one ends at once. Virtual keys it has stay valid.",
      permission: "serviceaccounts:write",
      idempotent: true,
      params: accountPath,
      replies: { 200: RotatedKey },
      errors: ["resource.not_found"],
      async handle({ params, principal, request }) {
        const apiKey = newSecret("bfs");
        const { account } = await changeAccount(
          { principal, id: params.id, request, action: "serviceaccount.rotate_key" },
          async (trx, { uid }) => {
            await createServiceAccountStore(trx).setApiKeyHash(uid, keyring.hashSecret(apiKey));
            return { result: null, detail: {} };
          },
        );
        changes.publish({ kind: "principal", uid: account.uid });
        return { status: 200, body: { id: account.id, api_key: apiKey } };
      },
    }),
  ];
}

/** @throws GatewayError `service.not_found` naming the first id that is no service of the org */
async function resolveServices(
  trx: Db,
  orgUid: string,
  allowed: z.output<typeof AllowedServices>,
): Promise<ServiceAccount["services"]> {
  if (allowed.length === 1 && allowed[0] === "*") return "all";
  const services = await createServiceAccountStore(trx).findServices(orgUid, [...new Set<string>(allowed)]);
  const unknown = allowed.find((id) => !services.some((service) => service.id === id));
  if (unknown !== undefined) {
    throw new GatewayError("service.not_found", {
      message: `service not found: ${unknown}`,
      fields: [{ path: `allowed_services.${allowed.findIndex((id) => id === unknown)}`, message: "service not found" }],
    });
  }
  return services;
}

function allowedOf(account: ServiceAccount): string[] {
  return account.services === "all" ? ["*"] : account.services.map((service) => service.id);
}

function toBody(account: ServiceAccount) {
  return {
    id: account.id,
    name: account.name,
    allowed_services: allowedOf(account),
    max_ttl_seconds: account.maxTtlSeconds,
    max_rate_limit: account.maxRateLimit,
    max_scope: account.maxScope,
    created_by: account.createdBy,
    created_at: toIso(account.createdAtMs),
  };
}
