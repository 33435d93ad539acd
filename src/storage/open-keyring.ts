import { z } from "zod";
import { ConfigError } from "../config/model.ts";
import {
  createKeyring,
  deriveWorkingKeys,
  type Keyring,
  type SealContext,
  VaultError,
  type WorkingKeys,
} from "../vault/keyring.ts";
import { parseJson } from "./json-column.ts";
import type { Db } from "./open-database.ts";

/** Row of instance_settings. */
const WORKING_KEYS = "working_keys";
const CONTEXT: SealContext = { orgUid: "", recordUid: WORKING_KEYS, column: "value" };

const Key = z.base64url().transform((text) => Buffer.from(text, "base64url"));
const Stored = z.object({ hash: z.array(Key).min(1), audit: Key });

/**
 * The keyring of this database. Its working keys, under which secrets are hashed and the audit trail is
 * chained, are made once from the first master key and kept here, sealed: so a change of master key, followed
 * by `bifrost reencrypt`, costs nobody their key and leaves the trail verifiable. The row also tells at once
 * that none of the given master keys belongs to this database, where every secret would seem unknown.
 *
 * @param options.create stores the working keys of a database that has none; else they are only derived
 * @throws ConfigError when none of the master keys opens what is stored
 */
export async function openKeyring(
  db: Db,
  masters: readonly Buffer[],
  options: { readonly create: boolean },
): Promise<Keyring> {
  const bare = createKeyring(masters);
  if (options.create) {
    const value = bare.seal(toText(deriveWorkingKeys(masters)), CONTEXT);
    // Of two gateways that start at once both use the row that was written first.
    await db
      .insertInto("instance_settings")
      .values({ name: WORKING_KEYS, value })
      .onConflict((c) => c.doNothing())
      .execute();
  }
  const sealed = await readSealed(db);
  return sealed === null ? bare : createKeyring(masters, open(bare, sealed));
}

/** Seals the working keys under the current master key. True if they were under a previous one. */
export async function resealWorkingKeys(db: Db, keyring: Keyring): Promise<boolean> {
  const sealed = await readSealed(db);
  if (sealed === null || !keyring.isStale(sealed)) return false;
  const { numUpdatedRows } = await db
    .updateTable("instance_settings")
    .set({ value: keyring.seal(toText(open(keyring, sealed)), CONTEXT) })
    .where("name", "=", WORKING_KEYS)
    .where("value", "=", sealed)
    .executeTakeFirstOrThrow();
  return numUpdatedRows === 1n;
}

async function readSealed(db: Db): Promise<string | null> {
  const row = await db
    .selectFrom("instance_settings")
    .select("value")
    .where("name", "=", WORKING_KEYS)
    .executeTakeFirst();
  return row?.value ?? null;
}

function open(keyring: Keyring, sealed: string): WorkingKeys {
  try {
    return parseJson(Stored, keyring.open(sealed, CONTEXT), "instance_settings.working_keys");
  } catch (error) {
    if (!(error instanceof VaultError)) throw error;
    throw new ConfigError([
      {
        place: "BIFROST_ENCRYPTION_KEY",
        message: "this database was made under another encryption key",
        remedy:
          "Give the key that the database was made with (without one in the configuration: the encryption.key file beside it). " +
          'To change keys, name the old one in BIFROST_PREVIOUS_ENCRYPTION_KEYS until "bifrost reencrypt" has run.',
      },
    ]);
  }
}

function toText({ hash, audit }: WorkingKeys): string {
  return JSON.stringify({
    hash: hash.map((key) => key.toString("base64url")),
    audit: audit.toString("base64url"),
  });
}
