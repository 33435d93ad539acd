import type { Principal } from "../access/principal.ts";
import { type AuditEvent, byPrincipal } from "../audit/log.ts";
import { auditedWrite, type WriteDeps } from "../audit/audited-write.ts";
import { GatewayError } from "../core/errors.ts";
import { newId } from "../core/ids.ts";
import type { RequestContext } from "../http/route.ts";
import { isForeignKeyViolation, isUniqueViolation } from "../storage/errors.ts";
import { type Credential, hintOf } from "./model.ts";
import { openVersion, secretContext } from "./reveal.ts";
import { createCredentialStore, type CredentialStore, type SealedVersion } from "./store.ts";

/** Who writes, and in which request: for the trail. */
export interface Author {
  readonly principal: Principal;
  readonly request: RequestContext;
}

/** @throws GatewayError `resource.exists` */
export async function createCredential(
  deps: WriteDeps,
  author: Author,
  input: { id: string; secret: string; origins: readonly string[] },
): Promise<Credential> {
  const nowMs = deps.clock.now();
  const credential: Credential = {
    uid: newId("cred"),
    orgUid: author.principal.orgUid,
    id: input.id,
    hint: hintOf(input.secret),
    origins: input.origins,
    version: 1,
    managedBy: "api",
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
  };
  try {
    return await auditedWrite(deps, async (trx) => {
      await createCredentialStore(trx).insert(credential, sealVersion(deps, credential, 1, input.secret, author));
      const detail = { origins: credential.origins };
      return { result: credential, events: [event(author, "rootkey.create", credential, detail)], changes: [] };
    });
  } catch (error) {
    if (isUniqueViolation(error)) throw new GatewayError("resource.exists", { message: "root key already exists" });
    throw error;
  }
}

/**
 * Gives a credential a new secret and, if named, new origins. The secret must always be entered again: who may
 * choose where a secret goes must know it. Older secrets keep the origins that they were entered for.
 *
 * @throws GatewayError `resource.not_found`, `resource.read_only`, `resource.in_use` when a service is elsewhere
 */
export async function replaceSecret(
  deps: WriteDeps,
  author: Author,
  id: string,
  input: { secret: string; origins: readonly string[] | null },
): Promise<Credential> {
  return auditedWrite(deps, async (trx) => {
    const credentials = createCredentialStore(trx);
    const current = await writable(credentials, author.principal.orgUid, id);
    const next = { ...current, origins: input.origins ?? current.origins };
    await assertCovers(credentials, next);
    const version = sealVersion(deps, next, current.version + 1, input.secret, author);
    const result = await append(credentials, next, version);
    const detail = { version: result.version, origins: result.origins };
    return {
      result,
      events: [event(author, "rootkey.update", result, detail)],
      changes: [{ kind: "credential", uid: result.uid }],
    };
  });
}

/**
 * Makes an earlier secret current again, as a new version with the origins it was entered for. Without a
 * `version`, the one before the current one.
 *
 * @throws GatewayError `resource.not_found` also for a version that is no longer kept, `resource.read_only`,
 *   `resource.in_use` when a service is not at one of the earlier secret's origins
 */
export async function rollbackSecret(
  deps: WriteDeps,
  author: Author,
  id: string,
  version: number | null,
): Promise<Credential> {
  return auditedWrite(deps, async (trx) => {
    const credentials = createCredentialStore(trx);
    const current = await writable(credentials, author.principal.orgUid, id);
    const wanted = version ?? current.version - 1;
    const kept = wanted === current.version ? null : await credentials.findVersion(current.uid, wanted);
    if (!kept) throw new GatewayError("resource.not_found", { message: "no such earlier version of this root key" });
    const next = { ...current, origins: kept.origins };
    await assertCovers(credentials, next);
    const secret = await openVersion({ credentials, keyring: deps.keyring }, current, wanted);
    const result = await append(credentials, next, sealVersion(deps, next, current.version + 1, secret, author));
    const detail = { version: result.version, restored_version: wanted, origins: result.origins };
    return {
      result,
      events: [event(author, "rootkey.rollback", result, detail)],
      changes: [{ kind: "credential", uid: result.uid }],
    };
  });
}

/** @throws GatewayError `resource.not_found`, `resource.read_only`, `resource.in_use` */
export async function deleteCredential(deps: WriteDeps, author: Author, id: string): Promise<void> {
  try {
    await auditedWrite(deps, async (trx) => {
      const credentials = createCredentialStore(trx);
      const credential = await writable(credentials, author.principal.orgUid, id);
      const uses = await credentials.listUses(credential.uid);
      if (uses.length > 0) throw inUse(uses);
      await credentials.delete(credential.uid);
      return {
        result: undefined,
        events: [event(author, "rootkey.delete", credential, {})],
        changes: [{ kind: "credential", uid: credential.uid }],
      };
    });
  } catch (error) {
    // A service that took it between our look and the commit.
    if (isForeignKeyViolation(error)) throw new GatewayError("resource.in_use");
    throw error;
  }
}

async function writable(credentials: CredentialStore, orgUid: string, id: string): Promise<Credential> {
  const credential = await credentials.lock(orgUid, id);
  if (!credential) throw new GatewayError("resource.not_found");
  if (credential.managedBy === "config") throw new GatewayError("resource.read_only");
  return credential;
}

/** Every service that uses the secret must stay within its origins; an unbound one is bound by no service yet. */
async function assertCovers(credentials: CredentialStore, credential: Credential): Promise<void> {
  const outside = (await credentials.listUses(credential.uid)).filter(
    ({ origin }) => !credential.origins.includes(origin),
  );
  if (outside.length > 0) throw inUse(outside, "origins: ");
}

function inUse(uses: readonly { id: string; origin: string }[], prefix = ""): GatewayError {
  const names = uses.map(({ id, origin }) => `${id} (${origin})`).join(", ");
  return new GatewayError("resource.in_use", { message: `${prefix}still in use by service ${names}` });
}

/** The row is locked, so the version cannot have moved. */
async function append(credentials: CredentialStore, credential: Credential, next: SealedVersion): Promise<Credential> {
  if (!(await credentials.addVersion(credential, next))) throw new GatewayError("resource.conflict");
  return { ...credential, version: next.version, hint: next.hint, updatedAtMs: next.createdAtMs };
}

function sealVersion(
  deps: WriteDeps,
  credential: Credential,
  version: number,
  secret: string,
  author: Author,
): SealedVersion {
  return {
    version,
    sealed: deps.keyring.seal(secret, secretContext(credential.orgUid, credential.uid, version)),
    origins: credential.origins,
    hint: hintOf(secret),
    createdBy: author.principal.id,
    createdAtMs: deps.clock.now(),
  };
}

function event(author: Author, action: string, credential: Credential, detail: AuditEvent["detail"] & {}): AuditEvent {
  return {
    ...byPrincipal(author.principal, author.request),
    action,
    target: { kind: "rootkey", id: credential.id },
    detail,
  };
}
