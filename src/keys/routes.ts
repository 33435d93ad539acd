import { z } from "zod";
import { assertSameId } from "../credentials/routes.ts";
import { IdParams } from "../http/fields.ts";
import { listQuery, listReply, pageRequest } from "../http/list.ts";
import { route, type Route } from "../http/route.ts";
import { visibleOwner } from "./access.ts";
import { createKeyIssuer, type KeyWriteDeps } from "./issue.ts";
import type { VirtualKey } from "./model.ts";
import { IssuedKeyBody, KeyBody, KeyChange, NewKey, Rotation } from "./schemas.ts";
import { createKeyStore } from "./store.ts";
import { argumentNames, ownerNames, ownerUidOf, toBody, toRequest, toUpdate } from "./view.ts";
import { findManaged, revokeKey, rotateKey, updateKey } from "./write.ts";

const ListQuery = z.strictObject({
  ...listQuery,
  source: z.enum(["api", "mcp", "service_account"]).optional(),
  target: z.string().max(128).optional().describe("Id of a service that the key is granted."),
  agent_id: z.string().max(128).optional(),
  owner: z.string().max(128).optional().describe("Id of a user or service account."),
  status: z.enum(["active", "expired", "revoked", "used"]).optional(),
  q: z.string().max(100).optional().describe("Part of the id or name."),
});

export interface KeyRouteDeps extends KeyWriteDeps {
  /** How long the old secret of a rotated key works when the request does not say. */
  readonly rotationGraceMs: number;
}

/** Virtual keys. Members and service accounts see, issue and end their own; admins all of the organization. */
export function keyRoutes(deps: KeyRouteDeps): Route[] {
  return [...readingRoutes(deps), issuingRoute(deps), ...changingRoutes(deps)];
}

async function show(deps: KeyRouteDeps, key: VirtualKey): Promise<KeyBody> {
  const ownerIdOf = await ownerNames(deps.db, [key]);
  return toBody(key, ownerIdOf(key), deps.clock.now());
}

function readingRoutes(deps: KeyRouteDeps): Route[] {
  const { db, clock } = deps;
  return [
    route({
      method: "GET",
      path: "/v1/keys",
      operationId: "listKeys",
      tag: "Keys",
      summary: "List virtual keys, newest first. Never a secret.",
      description: "Members and service accounts see the keys that they own.",
      permission: "keys:read",
      query: ListQuery,
      replies: { 200: z.array(KeyBody).meta({ id: "Keys" }) },
      async handle({ query, principal }) {
        const own = visibleOwner(principal);
        const asked = query.owner === undefined ? null : await ownerUidOf(db, principal.orgUid, query.owner);
        const nowMs = clock.now();
        const page =
          own !== null && asked !== null && own !== asked
            ? { items: [], next: null }
            : await createKeyStore(db).list(
                principal.orgUid,
                {
                  source: query.source,
                  target: query.target,
                  agentId: query.agent_id,
                  ownerUid: own ?? asked ?? undefined,
                  status: query.status,
                  q: query.q,
                },
                pageRequest(query),
                nowMs,
              );
        const ownerIdOf = await ownerNames(db, page.items);
        return listReply(page, (key) => toBody(key, ownerIdOf(key), nowMs));
      },
    }),
    route({
      method: "GET",
      path: "/v1/keys/{id}",
      operationId: "getKey",
      tag: "Keys",
      summary: "Show a virtual key.",
      permission: "keys:read",
      params: IdParams,
      replies: { 200: KeyBody },
      errors: ["resource.not_found"],
      async handle({ params, principal }) {
        const key = await findManaged(createKeyStore(db), { principal }, params.id);
        return { status: 200, body: await show(deps, key) };
      },
    }),
  ];
}

function issuingRoute(deps: KeyRouteDeps): Route {
  const issueKey = createKeyIssuer(deps);
  return route({
    method: "POST",
    path: "/v1/keys",
    operationId: "issueKey",
    tag: "Keys",
    summary: "Issue a virtual key. This reply is the only place its secret ever appears.",
    description: "The key belongs to the caller and stays below the caller's ceilings.",
    permission: "keys:write",
    idempotent: true,
    body: NewKey,
    replies: { 201: IssuedKeyBody },
    errors: ["service.not_found", "ceiling.exceeded", "resource.exists", "key.cannot_issue"],
    async handle({ body, principal, request }) {
      const input = toRequest(body, deps.clock.now());
      const context = { source: "api", request, names: argumentNames(body) } as const;
      const { key, secret } = await issueKey(principal, input, context);
      return { status: 201, body: { ...(await show(deps, key)), virtual_key: secret } };
    },
  });
}

function changingRoutes(deps: KeyRouteDeps): Route[] {
  return [
    route({
      method: "PUT",
      path: "/v1/keys/{id}",
      operationId: "updateKey",
      tag: "Keys",
      summary: "Change a virtual key. What is left out stays; source, owner, uses and secret cannot be set.",
      permission: "keys:write",
      params: IdParams,
      body: KeyChange,
      replies: { 200: KeyBody },
      errors: ["resource.not_found", "resource.conflict", "service.not_found", "ceiling.exceeded"],
      async handle({ params, body, principal, request }) {
        assertSameId(params.id, body.id);
        const changes = toUpdate(body, deps.clock.now());
        const key = await updateKey(deps, { principal, request }, params.id, changes, argumentNames(body));
        return { status: 200, body: await show(deps, key) };
      },
    }),
    route({
      method: "POST",
      path: "/v1/keys/{id}/rotate",
      operationId: "rotateKey",
      tag: "Keys",
      summary: "Give a virtual key a new secret, shown once. The old one works for the grace period.",
      permission: "keys:write",
      idempotent: true,
      params: IdParams,
      body: Rotation,
      bodyOptional: true,
      replies: { 200: IssuedKeyBody },
      errors: ["resource.not_found", "resource.conflict"],
      async handle({ params, body, principal, request }) {
        const graceMs = body.grace_seconds === undefined ? deps.rotationGraceMs : body.grace_seconds * 1_000;
        const { key, secret } = await rotateKey(deps, { principal, request }, params.id, graceMs);
        return { status: 200, body: { ...(await show(deps, key)), virtual_key: secret } };
      },
    }),
    route({
      method: "DELETE",
      path: "/v1/keys/{id}",
      operationId: "revokeKey",
      tag: "Keys",
      summary: "Revoke a virtual key for good. Repeating it changes nothing.",
      description: "Holds at once on this instance and within a second on the others; open streams of the key end.",
      permission: "keys:write",
      params: IdParams,
      replies: { 204: null },
      errors: ["resource.not_found"],
      async handle({ params, principal, request }) {
        await revokeKey(deps, { principal, request }, params.id);
        return { status: 204, body: null };
      },
    }),
  ];
}
