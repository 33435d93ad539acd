/**
 * The attack: someone who can write to the database swaps the encrypted secrets of two root keys (or copies one into
 * another organization's row, or an old version over the current one), so that a service of theirs sends another's
 * secret.
 *
 * What holds: each ciphertext is bound to its organization, record and version; elsewhere it does not open, and
 * nothing is sent in its place. A ciphertext under a previous master key opens while that key is given.
 */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Credential } from "../../src/credentials/model.ts";
import { revealCredential } from "../../src/credentials/reveal.ts";
import { createCredentialStore } from "../../src/credentials/store.ts";
import { createKeyring, type Keyring, VaultError } from "../../src/vault/keyring.ts";
import { engines, type TestDatabase } from "../support/engines.ts";
import { seedCredential, seedOrg } from "../support/resources.ts";

describe.each(Object.entries(engines))("moving encrypted secrets between rows, on %s", (_engine, open) => {
  const master = randomBytes(32);
  const keyring = createKeyring([master]);
  let database: TestDatabase;
  let orgUid: string;
  beforeAll(async () => {
    database = await open();
    orgUid = (await seedOrg(database.db)).orgUid;
  });
  afterAll(() => database.close());

  const reveal = (credential: Credential, ring: Keyring = keyring) =>
    revealCredential({ credentials: createCredentialStore(database.db), keyring: ring }, credential.uid);
  const sealedOf = async ({ uid }: Credential) =>
    (
      await database.db
        .selectFrom("credential_versions")
        .select("sealed")
        .where("credential_uid", "=", uid)
        .executeTakeFirstOrThrow()
    ).sealed;
  const overwrite = ({ uid }: Credential, sealed: string) =>
    database.db.updateTable("credential_versions").set({ sealed }).where("credential_uid", "=", uid).execute();

  it("opens neither of two swapped secrets, and both when they are back", async () => {
    const mine = await seedCredential(database.db, keyring, orgUid, { secret: "mine" });
    const yours = await seedCredential(database.db, keyring, orgUid, { secret: "yours" });
    const [a, b] = [await sealedOf(mine), await sealedOf(yours)];
    await overwrite(mine, b);
    await overwrite(yours, a);
    await expect(reveal(mine)).rejects.toThrow(VaultError);
    await expect(reveal(yours)).rejects.toThrow(VaultError);
    await overwrite(mine, a);
    await overwrite(yours, b);
    expect((await reveal(mine)).secret).toBe("mine");
    expect((await reveal(yours)).secret).toBe("yours");
  });

  it("opens no secret in another organization, nor after the row changed its organization", async () => {
    const victim = await seedCredential(database.db, keyring, orgUid, { secret: "victim" });
    const other = await seedOrg(database.db);
    const thief = await seedCredential(database.db, keyring, other.orgUid, { secret: "thief" });
    await overwrite(thief, await sealedOf(victim));
    await expect(reveal(thief)).rejects.toThrow(VaultError);
    await database.db.updateTable("credentials").set({ org_uid: other.orgUid }).where("uid", "=", victim.uid).execute();
    await expect(reveal(victim)).rejects.toThrow(VaultError);
  });

  it("opens no old secret in the place of the current one", async () => {
    const credential = await seedCredential(database.db, keyring, orgUid, { secret: "old" });
    await database.db
      .updateTable("credential_versions")
      .set({ version: 2 })
      .where("credential_uid", "=", credential.uid)
      .execute();
    await database.db.updateTable("credentials").set({ version: 2 }).where("uid", "=", credential.uid).execute();
    await expect(reveal(credential)).rejects.toThrow(VaultError);
  });

  it.each([
    "",
    "v1",
    "plaintext secret",
    "v0.00000000.AAAA.AAAA",
    "v1.00000000.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAA",
  ])("does not take %j for a secret", async (sealed) => {
    const credential = await seedCredential(database.db, keyring, orgUid, {});
    await overwrite(credential, sealed);
    await expect(reveal(credential)).rejects.toThrow(VaultError);
  });

  it("opens what a previous master key sealed while that key is given, and not without it", async () => {
    const credential = await seedCredential(database.db, keyring, orgUid, { secret: "from before" });
    expect((await reveal(credential, createKeyring([randomBytes(32), master]))).secret).toBe("from before");
    await expect(reveal(credential, createKeyring([randomBytes(32)]))).rejects.toThrow(VaultError);
  });
});
