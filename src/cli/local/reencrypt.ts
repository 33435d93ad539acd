import { resolveMasterKeys } from "../../config/master-key.ts";
import { secretContext } from "../../credentials/reveal.ts";
import { resealReplies } from "../../idempotency/run-once.ts";
import { signingKeyContext } from "../../proxy/signing-keys.ts";
import type { Db } from "../../storage/open-database.ts";
import { openKeyring, resealWorkingKeys } from "../../storage/open-keyring.ts";
import { type Keyring, VaultError } from "../../vault/keyring.ts";
import type { ConfigFlags, Context } from "../context.ts";
import { CliFailure, EXIT } from "../failure.ts";
import { loadSettings, withDatabase } from "./open-config.ts";

/** Moves every stored secret to the current master key. May be repeated, and run beside a gateway. */
export async function reencrypt({ output, terminal }: Context, options: ConfigFlags): Promise<void> {
  const config = loadSettings(terminal, options);
  const { keys } = resolveMasterKeys(config, { create: false });
  const counts = await withDatabase(config, async (db) => {
    const keyring = await openKeyring(db, keys, { create: false });
    const moved = { ...(await moveSecrets(db, keyring)), replies: await resealReplies(db, keyring) };
    // Last: once these are moved, a gateway starts without the previous key.
    return { ...moved, working_keys: Number(await resealWorkingKeys(db, keyring)) };
  });
  const isDone = Object.values(counts).every((count) => count === 0);
  const text =
    `Moved ${counts.root_keys} root key secrets, ${counts.signing_keys} signing keys, ${counts.replies} stored replies ` +
    "and the keys under which secrets are hashed. The previous encryption key is no longer needed.";
  output.done(isDone ? "Nothing to do." : text, counts);
}

/** Row by row, each written only if it is still as it was read: a secret replaced meanwhile is left alone. */
export async function moveSecrets(db: Db, keyring: Keyring): Promise<{ root_keys: number; signing_keys: number }> {
  let rootKeys = 0;
  for (const row of await db.selectFrom("credential_versions").selectAll().execute()) {
    if (!keyring.isStale(row.sealed)) continue;
    const context = secretContext(row.org_uid, row.credential_uid, row.version);
    const secret = opened(() => keyring.open(row.sealed, context), `root key ${row.credential_uid}`);
    const done = await db
      .updateTable("credential_versions")
      .set({ sealed: keyring.seal(secret, context) })
      .where("credential_uid", "=", row.credential_uid)
      .where("version", "=", row.version)
      .where("sealed", "=", row.sealed)
      .executeTakeFirst();
    rootKeys += Number(done.numUpdatedRows);
  }
  let signingKeys = 0;
  for (const row of await db.selectFrom("signing_keys").selectAll().execute()) {
    if (!keyring.isStale(row.sealed_private_jwk)) continue;
    const context = signingKeyContext(row.kid);
    const jwk = opened(() => keyring.open(row.sealed_private_jwk, context), `signing key ${row.kid}`);
    const done = await db
      .updateTable("signing_keys")
      .set({ sealed_private_jwk: keyring.seal(jwk, context) })
      .where("kid", "=", row.kid)
      .where("sealed_private_jwk", "=", row.sealed_private_jwk)
      .executeTakeFirst();
    signingKeys += Number(done.numUpdatedRows);
  }
  return { root_keys: rootKeys, signing_keys: signingKeys };
}

function opened(open: () => string, what: string): string {
  try {
    return open();
  } catch (error) {
    if (!(error instanceof VaultError)) throw error;
    throw new CliFailure(EXIT.failure, `The ${what} cannot be opened: ${error.message}.`, {
      code: "cli.unreadable_secret",
      hint: "Give the key it was stored under in BIFROST_PREVIOUS_ENCRYPTION_KEYS, and repeat.",
    });
  }
}
