import { randomBytes } from "node:crypto";
import { newId } from "../../src/core/ids.ts";
import { type Credential, hintOf } from "../../src/credentials/model.ts";
import { secretContext } from "../../src/credentials/reveal.ts";
import { createCredentialStore } from "../../src/credentials/store.ts";
import { type KeyOrder, makeKey, type VirtualKey } from "../../src/keys/model.ts";
import { createKeyStore } from "../../src/keys/store.ts";
import { DEFAULT_SETTINGS, type Service } from "../../src/services/model.ts";
import { createServiceStore } from "../../src/services/store.ts";
import type { Db } from "../../src/storage/open-database.ts";
import { createKeyring, type Keyring } from "../../src/vault/keyring.ts";
import { createManualClock, type ManualClock } from "./manual-clock.ts";

/** The time at which the tests of resources begin. */
export const NOW = 1_700_000_000_000;

/** A clock that tests move by hand. */
export function testClock(startMs = NOW): ManualClock {
  return createManualClock(startMs);
}

export function testKeyring(): Keyring {
  return createKeyring([randomBytes(32)]);
}

/** A new organization and its uid. */
export async function seedOrg(db: Db, id: string = newId("org")): Promise<{ orgUid: string; orgId: string }> {
  const uid = newId("org");
  await db
    .insertInto("orgs")
    .values({ uid, id, name: `Org ${id}`, domain: null, email: null, created_at_ms: NOW, updated_at_ms: NOW })
    .execute();
  return { orgUid: uid, orgId: id };
}

export async function seedCredential(
  db: Db,
  keyring: Keyring,
  orgUid: string,
  { secret = "sk-real-secret-0123456789", ...given }: Partial<Credential> & { secret?: string } = {},
): Promise<Credential> {
  const uid = newId("cred");
  const credential: Credential = {
    uid,
    orgUid,
    id: uid,
    hint: hintOf(secret),
    origins: ["https://api.example.com"],
    version: 1,
    managedBy: "api",
    createdAtMs: NOW,
    updatedAtMs: NOW,
    ...given,
  };
  const sealed = keyring.seal(secret, secretContext(orgUid, credential.uid, 1));
  await createCredentialStore(db).insert(credential, {
    version: 1,
    sealed,
    origins: credential.origins,
    hint: credential.hint,
    createdBy: "usr_seed",
    createdAtMs: credential.createdAtMs,
  });
  return credential;
}

export async function seedService(db: Db, orgUid: string, given: Partial<Service> = {}): Promise<Service> {
  const uid = newId("svc");
  const service: Service = {
    uid,
    orgUid,
    id: uid,
    description: "",
    origin: "https://api.example.com",
    basePath: "",
    credentialUid: null,
    settings: DEFAULT_SETTINGS,
    managedBy: "api",
    disabledAtMs: null,
    createdAtMs: NOW,
    updatedAtMs: NOW,
    ...given,
  };
  await createServiceStore(db).insert(service);
  return service;
}

/** A key that reaches a service, with its secret. */
export async function seedKey(
  db: Db,
  keyring: Keyring,
  service: Pick<Service, "uid" | "id" | "orgUid">,
  given: Partial<KeyOrder> = {},
  nowMs = NOW,
): Promise<{ key: VirtualKey; secret: string }> {
  const made = makeKey(
    {
      id: null,
      orgUid: service.orgUid,
      name: "",
      scope: "write",
      expiresAtMs: nowMs + 3_600_000,
      rateLimit: 60,
      maxConcurrency: null,
      maxUses: null,
      agentId: null,
      source: "api",
      ownerKind: "user",
      ownerUid: "usr_owner",
      metadata: {},
      grants: [{ kind: "service", serviceUid: service.uid, serviceId: service.id, methods: null, paths: null }],
      ...given,
    },
    (secret) => keyring.hashSecret(secret),
    nowMs,
  );
  await db.transaction().execute((trx) => createKeyStore(trx).insert(made.key));
  return made;
}
