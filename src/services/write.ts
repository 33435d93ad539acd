import { auditedWrite, type WriteDeps } from "../audit/audited-write.ts";
import { type AuditEvent, byPrincipal } from "../audit/log.ts";
import type { Change } from "../core/changes.ts";
import { GatewayError } from "../core/errors.ts";
import { newId } from "../core/ids.ts";
import { createCredentialStore } from "../credentials/store.ts";
import type { Author } from "../credentials/write.ts";
import { isForeignKeyViolation, isUniqueViolation } from "../storage/errors.ts";
import type { Db } from "../storage/open-database.ts";
import { bindCredential } from "./binding.ts";
import type { Service } from "./model.ts";
import { createServiceStore, type ServiceStore } from "./store.ts";
import type { ServiceDefinition } from "./view.ts";

/** What deleting a service does to the keys that reach it; `keys/store.ts`, which lies above this folder, has it. */
export interface ServiceKeys {
  countLiveByService(serviceUid: string, nowMs: number): Promise<number>;
  revokeByService(serviceUid: string, atMs: number): Promise<string[]>;
  dropGrantsOf(serviceUid: string): Promise<void>;
}

export interface ServiceWriteDeps extends WriteDeps {
  /** Bound to the transaction it is given. */
  keysIn(trx: Db): ServiceKeys;
}

interface Written {
  readonly service: Service;
  /** Public id of its credential; "" for none. */
  readonly rootKeyId: string;
}

/** @throws GatewayError `resource.exists`, `resource.not_found` for the root key, `credential.origin_not_allowed` */
export async function createService(
  deps: WriteDeps,
  author: Author,
  input: { id: string; rootKeyId: string | null; definition: ServiceDefinition },
): Promise<Written> {
  const nowMs = deps.clock.now();
  const { orgUid } = author.principal;
  try {
    return await auditedWrite(deps, async (trx) => {
      const use = await useCredential(trx, author, input.rootKeyId, input.definition.origin, nowMs);
      const service: Service = {
        uid: newId("svc"),
        orgUid,
        id: input.id,
        ...input.definition,
        credentialUid: use.credentialUid,
        managedBy: "api",
        disabledAtMs: null,
        createdAtMs: nowMs,
        updatedAtMs: nowMs,
      };
      await createServiceStore(trx).insert(service);
      return {
        result: { service, rootKeyId: input.rootKeyId ?? "" },
        events: [...use.events, event(author, "service.create", service, facts(service, input.rootKeyId))],
        changes: use.changes,
      };
    });
  } catch (error) {
    if (isUniqueViolation(error)) throw new GatewayError("resource.exists", { message: "service already exists" });
    throw error;
  }
}

/**
 * Replaces all of a service but its id. At another origin it may only keep or get a root key that may be sent
 * there, so that nobody receives a secret by moving a service.
 *
 * @throws GatewayError `resource.not_found`, `resource.read_only`, `credential.origin_not_allowed`
 */
export async function replaceService(
  deps: WriteDeps,
  author: Author,
  id: string,
  input: { rootKeyId: string | null; definition: ServiceDefinition },
): Promise<Written> {
  const nowMs = deps.clock.now();
  return auditedWrite(deps, async (trx) => {
    const services = createServiceStore(trx);
    const current = await writable(services, author.principal.orgUid, id);
    const use = await useCredential(trx, author, input.rootKeyId, input.definition.origin, nowMs);
    const service: Service = {
      ...current,
      ...input.definition,
      credentialUid: use.credentialUid,
      updatedAtMs: nowMs,
    };
    await services.update(service);
    return {
      result: { service, rootKeyId: input.rootKeyId ?? "" },
      events: [...use.events, event(author, "service.update", service, facts(service, input.rootKeyId))],
      changes: [...use.changes, { kind: "service", uid: service.uid }],
    };
  });
}

/**
 * Deletes a service. Keys that could still reach it keep it from going, unless `cascade`: then they are revoked
 * first. Keys never pass to another service that later takes the id: what they are granted is the internal uid.
 *
 * @throws GatewayError `resource.not_found`, `resource.read_only`, `resource.in_use`
 */
export async function deleteService(
  deps: ServiceWriteDeps,
  author: Author,
  id: string,
  { cascade }: { cascade: boolean },
): Promise<void> {
  const nowMs = deps.clock.now();
  try {
    await auditedWrite(deps, async (trx) => {
      const services = createServiceStore(trx);
      const keys = deps.keysIn(trx);
      const service = await writable(services, author.principal.orgUid, id);
      const live = await keys.countLiveByService(service.uid, nowMs);
      if (live > 0 && !cascade) {
        const message = `still in use by ${live} ${live === 1 ? "key" : "keys"}`;
        throw new GatewayError("resource.in_use", { message });
      }
      // Also those that only expired: none may come back to life without what it was granted.
      const revoked = await keys.revokeByService(service.uid, nowMs);
      await keys.dropGrantsOf(service.uid);
      await services.delete(service.uid);
      return {
        result: undefined,
        events: [event(author, "service.delete", service, { revoked_keys: revoked.length })],
        changes: [
          { kind: "service", uid: service.uid },
          ...revoked.map((uid): Change => ({ kind: "key", uid, revoked: true })),
        ],
      };
    });
  } catch (error) {
    // A key that was issued between our look and the commit.
    if (isForeignKeyViolation(error)) throw new GatewayError("resource.in_use");
    throw error;
  }
}

async function writable(services: ServiceStore, orgUid: string, id: string): Promise<Service> {
  const service = await services.lock(orgUid, id);
  if (!service) throw new GatewayError("resource.not_found");
  if (service.managedBy === "config") throw new GatewayError("resource.read_only");
  return service;
}

async function useCredential(
  trx: Db,
  author: Author,
  rootKeyId: string | null,
  origin: string,
  nowMs: number,
): Promise<{ credentialUid: string | null; events: AuditEvent[]; changes: Change[] }> {
  if (rootKeyId === null) return { credentialUid: null, events: [], changes: [] };
  const use = { orgUid: author.principal.orgUid, credentialId: rootKeyId, origin, nowMs };
  const { credential, bound } = await bindCredential(createCredentialStore(trx), use);
  if (!bound) return { credentialUid: credential.uid, events: [], changes: [] };
  return {
    credentialUid: credential.uid,
    events: [
      {
        ...byPrincipal(author.principal, author.request),
        action: "rootkey.bind",
        target: { kind: "rootkey", id: credential.id },
        detail: { origins: credential.origins },
      },
    ],
    changes: [{ kind: "credential", uid: credential.uid }],
  };
}

function facts(service: Service, rootKeyId: string | null): AuditEvent["detail"] & {} {
  return {
    endpoint: service.origin + service.basePath,
    root_key_id: rootKeyId,
    allow_addresses: service.settings.allowAddresses,
    methods: service.settings.methods,
    paths: service.settings.paths,
  };
}

function event(author: Author, action: string, service: Service, detail: AuditEvent["detail"] & {}): AuditEvent {
  return {
    ...byPrincipal(author.principal, author.request),
    action,
    target: { kind: "service", id: service.id },
    detail,
  };
}
