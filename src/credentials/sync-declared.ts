import { isDeepStrictEqual } from "node:util";
import type { WriteDeps } from "../audit/audited-write.ts";
import type { AuditEvent } from "../audit/log.ts";
import { ConfigError, type DeclaredCredential } from "../config/model.ts";
import type { Change } from "../core/changes.ts";
import { newId } from "../core/ids.ts";
import type { Db } from "../storage/open-database.ts";
import { VaultError } from "../vault/keyring.ts";
import { type Credential, hintOf } from "./model.ts";
import { openVersion, secretContext } from "./reveal.ts";
import { createCredentialStore, type SealedVersion } from "./store.ts";

/** What a sync with the configuration did, gathered for the end of its transaction. */
export interface SyncNotes {
  readonly events: AuditEvent[];
  readonly changes: Change[];
}

const AUTHOR = "config";

/**
 * Brings the credentials that the configuration declares into the database. A secret is sealed anew only when its
 * value changed. Part of services/sync-declared.ts, which owns the transaction.
 *
 * @throws ConfigError when an id is taken by a credential that was made over the API
 */
export async function syncCredentials(
  deps: WriteDeps,
  trx: Db,
  declared: readonly DeclaredCredential[],
  orgUidOf: (org: string | null) => string,
  notes: SyncNotes,
) {
  const credentials = createCredentialStore(trx);
  const uids = new Map<string, string>();
  const nowMs = deps.clock.now();
  const keyOf = (orgUid: string, id: string) => JSON.stringify([orgUid, id]);
  const note = (action: string, credential: Credential, detail: AuditEvent["detail"] & {}) => {
    notes.events.push(configEvent(credential.orgUid, action, { kind: "rootkey", id: credential.id }, detail));
    notes.changes.push({ kind: "credential", uid: credential.uid });
  };
  const seal = (credential: Credential, version: number, secret: string): SealedVersion => ({
    version,
    sealed: deps.keyring.seal(secret, secretContext(credential.orgUid, credential.uid, version)),
    origins: credential.origins,
    hint: hintOf(secret),
    createdBy: AUTHOR,
    createdAtMs: nowMs,
  });

  for (const { id, org, secret, origins } of declared) {
    const orgUid = orgUidOf(org);
    const current = await credentials.lock(orgUid, id);
    if (current?.managedBy === "api") throw takenOverApi(`credentials.${id}`);
    if (!current) {
      const made = newCredential({ orgUid, id, secret, origins, nowMs });
      await credentials.insert(made, seal(made, 1, secret));
      note("rootkey.create", made, { origins });
      uids.set(keyOf(orgUid, id), made.uid);
      continue;
    }
    uids.set(keyOf(orgUid, id), current.uid);
    // Declared without origins: what a service has bound it to stays.
    const next = { ...current, origins: origins.length > 0 ? origins : current.origins };
    if (!(await isCurrentSecret(deps, trx, current, secret))) {
      await credentials.addVersion(next, seal(next, current.version + 1, secret));
      note("rootkey.update", next, { version: current.version + 1, origins: next.origins });
    } else if (!isDeepStrictEqual([...current.origins].sort(), [...next.origins].sort())) {
      await credentials.setOrigins(current, next.origins, nowMs);
      note("rootkey.update", next, { origins: next.origins });
    }
  }

  return {
    uidOf: (orgUid: string, id: string): string | null => uids.get(keyOf(orgUid, id)) ?? null,

    /** Deletes what is no longer declared, secrets and all, unless a service that was made over the API uses it. */
    async removeUndeclared(): Promise<void> {
      const kept = new Set(uids.values());
      for (const gone of await credentials.listManaged()) {
        if (kept.has(gone.uid) || (await credentials.listUses(gone.uid)).length > 0) continue;
        await credentials.delete(gone.uid);
        note("rootkey.delete", gone, {});
      }
    },
  };
}

function newCredential(given: {
  orgUid: string;
  id: string;
  secret: string;
  origins: readonly string[];
  nowMs: number;
}): Credential {
  const { orgUid, id, secret, origins, nowMs } = given;
  const times = { createdAtMs: nowMs, updatedAtMs: nowMs };
  const hint = hintOf(secret);
  return { uid: newId("cred"), orgUid, id, hint, origins, version: 1, managedBy: "config", ...times };
}

/** A stored secret that no longer opens, for want of its master key, counts as another one: it is entered again. */
async function isCurrentSecret(deps: WriteDeps, trx: Db, credential: Credential, secret: string): Promise<boolean> {
  try {
    const parts = { credentials: createCredentialStore(trx), keyring: deps.keyring };
    return (await openVersion(parts, credential, credential.version)) === secret;
  } catch (error) {
    if (error instanceof VaultError) return false;
    throw error;
  }
}

/** An entry of the trail whose author is the configuration file. */
export function configEvent(
  orgUid: string,
  action: string,
  target: AuditEvent["target"],
  detail: AuditEvent["detail"] & {} = {},
): AuditEvent {
  const actor = { kind: "system", id: AUTHOR } as const;
  return { orgUid, actor, action, target, detail, requestId: null, clientAddress: null };
}

/** Never taken over in silence: whoever made it over the API would find it changed under them. */
export function takenOverApi(place: string): ConfigError {
  return new ConfigError([
    {
      place,
      message: "the id is taken by one that was made over the API",
      remedy: "Delete that one first, or declare it under another name.",
    },
  ]);
}
