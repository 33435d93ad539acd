import { z } from "zod";
import type { WriteDeps } from "../audit/audited-write.ts";
import { GatewayError } from "../core/errors.ts";
import { isOrigin } from "../core/upstream-address.ts";
import { IdParams, resourceId, timestamp, toIso } from "../http/fields.ts";
import { listQuery, listReply, pageRequest } from "../http/list.ts";
import { route, type Route } from "../http/route.ts";
import type { Credential } from "./model.ts";
import { createCredentialStore, KEPT_VERSIONS, type SealedVersion } from "./store.ts";
import { createCredential, deleteCredential, replaceSecret, rollbackSecret } from "./write.ts";

const NEEDED = "id and api_key are required";

/** A secret goes into a header as it is: what could split or change one is refused, not repaired. */
const ApiKey = z
  .string({ error: NEEDED })
  .min(1, { error: NEEDED, abort: true })
  .max(16_384)
  .regex(/^\P{Cc}*$/u, "api_key has a line break or another control character")
  .refine((text) => text === text.trim(), "api_key begins or ends with a space")
  .describe("The real secret. Kept encrypted and shown nowhere again, not even in this reply.");

const Origins = z
  .array(
    z.string().max(300).refine(isOrigin, "not an origin: write scheme, host and port, such as https://api.openai.com"),
  )
  .max(20)
  .transform((list) => [...new Set(list)])
  .describe("Where the secret may be sent. Empty: bound to the origin of the first service that uses it.");

const NewRootKey = z
  .strictObject({ id: resourceId(NEEDED), api_key: ApiKey, origins: Origins.optional() })
  .meta({ id: "NewRootKey" });

const RootKeyUpdate = z
  .strictObject({
    id: z.string().optional().describe("If given, the id of the path."),
    api_key: ApiKey,
    origins: Origins.optional().describe(
      "Left out: as they are. Wider origins need the secret, which this request has.",
    ),
  })
  .meta({ id: "RootKeyUpdate" });

const Rollback = z
  .strictObject({
    version: z.int().min(1).optional().describe("Left out: the version before the current one."),
  })
  .meta({ id: "RootKeyRollback" });

const fields = {
  id: z.string(),
  key_hint: z
    .string()
    .nullable()
    .describe("Last four characters of the secret, or null where it is too short to show any."),
  origins: z.array(z.string()),
  version: z.int().describe("Counts up with each new secret."),
  managed_by: z.enum(["api", "config"]).describe("`config`: declared in the configuration file, read-only here."),
  created_at: timestamp,
  updated_at: timestamp,
};
const RootKey = z.object(fields).meta({ id: "RootKey" });
const RootKeyVersion = z
  .object({
    version: z.int(),
    key_hint: z.string().nullable(),
    origins: z.array(z.string()),
    created_by: z.string(),
    created_at: timestamp,
  })
  .meta({ id: "RootKeyVersion" });
const RootKeyWithVersions = z
  .object({ ...fields, versions: z.array(RootKeyVersion).describe(`The last ${KEPT_VERSIONS}, newest first.`) })
  .meta({ id: "RootKeyWithVersions" });

const ListQuery = z.strictObject({ ...listQuery, managed_by: z.enum(["api", "config"]).optional() });

/** Root keys: the real secrets. No reply ever holds one. */
export function credentialRoutes(deps: WriteDeps): Route[] {
  return [
    route({
      method: "GET",
      path: "/v1/rootkeys",
      operationId: "listRootKeys",
      tag: "Root keys",
      summary: "List root keys, newest first.",
      permission: "rootkeys:read",
      query: ListQuery,
      replies: { 200: z.array(RootKey).meta({ id: "RootKeys" }) },
      async handle({ query, principal }) {
        const filter = { managedBy: query.managed_by };
        return listReply(
          await createCredentialStore(deps.db).list(principal.orgUid, filter, pageRequest(query)),
          toBody,
        );
      },
    }),
    creatingRoute(deps, "/v1/rootkeys", "createRootKey", "Register a real secret."),
    creatingRoute(deps, "/v1/user/rootkeys", "createUserRootKey", "The same under the path that older clients use."),
    route({
      method: "GET",
      path: "/v1/rootkeys/{id}",
      operationId: "getRootKey",
      tag: "Root keys",
      summary: "Show a root key and which versions a rollback can restore.",
      permission: "rootkeys:read",
      params: IdParams,
      replies: { 200: RootKeyWithVersions },
      errors: ["resource.not_found"],
      async handle({ params, principal }) {
        const credentials = createCredentialStore(deps.db);
        const credential = await credentials.findById(principal.orgUid, params.id);
        if (!credential) throw new GatewayError("resource.not_found");
        const versions = await credentials.listVersions(credential.uid);
        return { status: 200, body: { ...toBody(credential), versions: versions.map(toVersionBody) } };
      },
    }),
    ...changingRoutes(deps),
  ];
}

function creatingRoute(deps: WriteDeps, path: string, operationId: string, summary: string): Route {
  return route({
    method: "POST",
    path,
    operationId,
    tag: "Root keys",
    summary,
    permission: "rootkeys:write",
    idempotent: true,
    body: NewRootKey,
    replies: { 201: RootKey },
    errors: ["resource.exists"],
    async handle({ body, principal, request }) {
      const input = { id: body.id, secret: body.api_key, origins: body.origins ?? [] };
      return { status: 201, body: toBody(await createCredential(deps, { principal, request }, input)) };
    },
  });
}

function changingRoutes(deps: WriteDeps): Route[] {
  return [
    route({
      method: "PUT",
      path: "/v1/rootkeys/{id}",
      operationId: "replaceRootKey",
      tag: "Root keys",
      summary: "Enter a new secret. The last ones stay for a rollback.",
      permission: "rootkeys:write",
      params: IdParams,
      body: RootKeyUpdate,
      replies: { 204: null },
      errors: ["resource.not_found", "resource.read_only", "resource.in_use", "resource.conflict"],
      async handle({ params, body, principal, request }) {
        assertSameId(params.id, body.id);
        const input = { secret: body.api_key, origins: body.origins ?? null };
        await replaceSecret(deps, { principal, request }, params.id, input);
        return { status: 204, body: null };
      },
    }),
    route({
      method: "POST",
      path: "/v1/rootkeys/{id}/rollback",
      operationId: "rollbackRootKey",
      tag: "Root keys",
      summary: "Make an earlier secret the current one again, with the origins it was entered for.",
      permission: "rootkeys:write",
      params: IdParams,
      body: Rollback,
      bodyOptional: true,
      replies: { 200: RootKey },
      errors: ["resource.not_found", "resource.read_only", "resource.in_use", "resource.conflict"],
      async handle({ params, body, principal, request }) {
        const result = await rollbackSecret(deps, { principal, request }, params.id, body.version ?? null);
        return { status: 200, body: toBody(result) };
      },
    }),
    route({
      method: "DELETE",
      path: "/v1/rootkeys/{id}",
      operationId: "deleteRootKey",
      tag: "Root keys",
      summary: "Delete a root key and all its versions. Refused while a service uses it.",
      permission: "rootkeys:write",
      params: IdParams,
      replies: { 204: null },
      errors: ["resource.not_found", "resource.read_only", "resource.in_use"],
      async handle({ params, principal, request }) {
        await deleteCredential(deps, { principal, request }, params.id);
        return { status: 204, body: null };
      },
    }),
  ];
}

/** Older clients repeat the id in the body. @throws GatewayError `request.invalid` */
export function assertSameId(pathId: string, bodyId: string | undefined): void {
  if (bodyId === undefined || bodyId === "" || bodyId === pathId) return;
  const fields = [{ path: "id", message: "must be the id of the path, or left out: ids never change" }];
  throw new GatewayError("request.invalid", { message: "id mismatch", fields });
}

function toBody(credential: Credential): z.input<typeof RootKey> {
  return {
    id: credential.id,
    key_hint: credential.hint,
    origins: [...credential.origins],
    version: credential.version,
    managed_by: credential.managedBy,
    created_at: toIso(credential.createdAtMs),
    updated_at: toIso(credential.updatedAtMs),
  };
}

function toVersionBody(version: SealedVersion): z.input<typeof RootKeyVersion> {
  return {
    version: version.version,
    key_hint: version.hint,
    origins: [...version.origins],
    created_by: version.createdBy,
    created_at: toIso(version.createdAtMs),
  };
}
