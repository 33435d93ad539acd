import type { Kysely } from "kysely";
import { z } from "zod";
import { parseJson } from "../storage/json-column.ts";
import { type Page, type PageRequest, toPage } from "../storage/page.ts";
import type { Database } from "../storage/schema.ts";
import type { Credential } from "./model.ts";

export type CredentialStore = ReturnType<typeof createCredentialStore>;

/** One secret that a credential has or had, still sealed. */
export interface SealedVersion {
  readonly version: number;
  readonly sealed: string;
  /** Origins that this secret was entered for. */
  readonly origins: readonly string[];
  readonly hint: string | null;
  /** Public id of who entered it. */
  readonly createdBy: string;
  readonly createdAtMs: number;
}

/** Secrets kept per credential, the current one included: what a rollback can go back to. */
export const KEPT_VERSIONS = 5;

/** Credentials ("root keys") and their sealed secrets. Holds no rules. Pass a transaction as `db` to bind every method to it. */
export function createCredentialStore(db: Kysely<Database>) {
  const select = () =>
    db
      .selectFrom("credentials")
      .innerJoin("credential_versions as current", (join) =>
        join
          .onRef("current.credential_uid", "=", "credentials.uid")
          .onRef("current.version", "=", "credentials.version"),
      )
      .selectAll("credentials")
      .select("current.hint");

  return {
    /** Writes the credential and its first secret; call in a transaction. @throws a unique violation for a taken id */
    async insert(credential: Credential, secret: SealedVersion): Promise<void> {
      await db.insertInto("credentials").values(toRow(credential)).execute();
      await db.insertInto("credential_versions").values(versionRow(credential, secret)).execute();
    },

    async findByUid(uid: string): Promise<Credential | null> {
      const row = await select().where("credentials.uid", "=", uid).executeTakeFirst();
      return row ? fromRow(row) : null;
    },

    async findById(orgUid: string, id: string): Promise<Credential | null> {
      const row = await select()
        .where("credentials.org_uid", "=", orgUid)
        .where("credentials.id", "=", id)
        .executeTakeFirst();
      return row ? fromRow(row) : null;
    },

    async findByUids(uids: readonly string[]): Promise<Credential[]> {
      if (uids.length === 0) return [];
      return (await select().where("credentials.uid", "in", uids).execute()).map(fromRow);
    },

    /** Newest first. */
    async list(
      orgUid: string,
      filter: { managedBy?: Credential["managedBy"] | undefined },
      page: PageRequest,
    ): Promise<Page<Credential>> {
      let query = select().where("credentials.org_uid", "=", orgUid);
      if (filter.managedBy !== undefined) query = query.where("credentials.managed_by", "=", filter.managedBy);
      const after = page.after;
      if (after) {
        query = query.where((eb) =>
          eb.or([
            eb("credentials.created_at_ms", "<", after.createdAtMs),
            eb.and([eb("credentials.created_at_ms", "=", after.createdAtMs), eb("credentials.uid", "<", after.uid)]),
          ]),
        );
      }
      const rows = await query
        .orderBy("credentials.created_at_ms", "desc")
        .orderBy("credentials.uid", "desc")
        .limit(page.limit + 1)
        .execute();
      return toPage(rows.map(fromRow), page.limit);
    },

    /** The sealed secret of one version, with the org it is sealed for. */
    async findVersion(credentialUid: string, version: number): Promise<SealedVersion | null> {
      const row = await db
        .selectFrom("credential_versions")
        .selectAll()
        .where("credential_uid", "=", credentialUid)
        .where("version", "=", version)
        .executeTakeFirst();
      return row ? fromVersionRow(row) : null;
    },

    /** Kept versions, newest first. */
    async listVersions(credentialUid: string): Promise<SealedVersion[]> {
      const rows = await db
        .selectFrom("credential_versions")
        .selectAll()
        .where("credential_uid", "=", credentialUid)
        .orderBy("version", "desc")
        .execute();
      return rows.map(fromVersionRow);
    },

    /**
     * Makes a new secret, with its origins, the current one and forgets those beyond {@link KEPT_VERSIONS}; call in a transaction.
     * False, and nothing written, if `secret.version` does not follow the current one: someone else was faster.
     */
    async addVersion(credential: Credential, secret: SealedVersion): Promise<boolean> {
      const moved = await db
        .updateTable("credentials")
        .set({
          version: secret.version,
          origins: JSON.stringify(secret.origins),
          updated_at_ms: secret.createdAtMs,
        })
        .where("uid", "=", credential.uid)
        .where("version", "=", secret.version - 1)
        .executeTakeFirst();
      if (moved.numUpdatedRows !== 1n) return false;
      await db.insertInto("credential_versions").values(versionRow(credential, secret)).execute();
      await db
        .deleteFrom("credential_versions")
        .where("credential_uid", "=", credential.uid)
        .where("version", "<=", secret.version - KEPT_VERSIONS)
        .execute();
      return true;
    },

    /** Changes where the current secret may be sent; older ones keep their own origins. Call in a transaction. */
    async setOrigins(credential: Credential, origins: readonly string[], atMs: number): Promise<void> {
      const text = JSON.stringify(origins);
      await db
        .updateTable("credentials")
        .set({ origins: text, updated_at_ms: atMs })
        .where("uid", "=", credential.uid)
        .execute();
      await db
        .updateTable("credential_versions")
        .set({ origins: text })
        .where("credential_uid", "=", credential.uid)
        .where("version", "=", credential.version)
        .execute();
    },

    /**
     * Reads a credential and holds its row until the transaction ends, so that nothing that was decided on its
     * origins or version changes before the decision is written. On both engines: an UPDATE locks.
     */
    async lock(orgUid: string, id: string): Promise<Credential | null> {
      await db
        .updateTable("credentials")
        .set((eb) => ({ version: eb.ref("version") }))
        .where("org_uid", "=", orgUid)
        .where("id", "=", id)
        .execute();
      const row = await select()
        .where("credentials.org_uid", "=", orgUid)
        .where("credentials.id", "=", id)
        .executeTakeFirst();
      return row ? fromRow(row) : null;
    },

    /** The services that use a credential, by public id, and where they are. */
    async listUses(credentialUid: string): Promise<{ id: string; origin: string }[]> {
      return db
        .selectFrom("services")
        .select(["id", "origin"])
        .where("credential_uid", "=", credentialUid)
        .orderBy("id")
        .execute();
    },

    /** Every credential that the configuration declared, in all organizations. */
    async listManaged(): Promise<Credential[]> {
      return (await select().where("credentials.managed_by", "=", "config").execute()).map(fromRow);
    },

    /** With all its secrets. @throws a foreign-key violation (storage/errors.ts) while a service uses it */
    async delete(uid: string): Promise<void> {
      await db.deleteFrom("credentials").where("uid", "=", uid).execute();
    },
  };
}

const Origins = z.array(z.string());
const ManagedBy = z.enum(["api", "config"]);

function toRow(credential: Credential): Database["credentials"] {
  return {
    uid: credential.uid,
    org_uid: credential.orgUid,
    id: credential.id,
    origins: JSON.stringify(credential.origins),
    version: credential.version,
    managed_by: credential.managedBy,
    created_at_ms: credential.createdAtMs,
    updated_at_ms: credential.updatedAtMs,
  };
}

function fromRow(row: Database["credentials"] & { hint: string | null }): Credential {
  return {
    uid: row.uid,
    orgUid: row.org_uid,
    id: row.id,
    hint: row.hint,
    origins: parseJson(Origins, row.origins, "credentials.origins"),
    version: row.version,
    managedBy: ManagedBy.parse(row.managed_by),
    createdAtMs: row.created_at_ms,
    updatedAtMs: row.updated_at_ms,
  };
}

function versionRow(credential: Credential, secret: SealedVersion): Database["credential_versions"] {
  return {
    credential_uid: credential.uid,
    org_uid: credential.orgUid,
    version: secret.version,
    sealed: secret.sealed,
    origins: JSON.stringify(secret.origins),
    hint: secret.hint,
    created_by: secret.createdBy,
    created_at_ms: secret.createdAtMs,
  };
}

function fromVersionRow(row: Database["credential_versions"]): SealedVersion {
  return {
    version: row.version,
    sealed: row.sealed,
    origins: parseJson(Origins, row.origins, "credential_versions.origins"),
    hint: row.hint,
    createdBy: row.created_by,
    createdAtMs: row.created_at_ms,
  };
}
