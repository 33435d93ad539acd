import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { engines, type TestDatabase } from "../../../test/support/engines.ts";
import { seedCredential, seedOrg, testClock } from "../../../test/support/resources.ts";
import { revealCredential } from "../../credentials/reveal.ts";
import { createCredentialStore } from "../../credentials/store.ts";
import { createSigningKeys } from "../../proxy/signing-keys.ts";
import { createKeyring } from "../../vault/keyring.ts";
import { CliFailure } from "../failure.ts";
import { moveSecrets } from "./reencrypt.ts";

describe.each(Object.entries(engines))("reencrypt on %s", (_engine, open) => {
  const [oldMaster, newMaster] = [randomBytes(32), randomBytes(32)];
  const before = createKeyring([oldMaster]);
  const both = createKeyring([newMaster, oldMaster]);
  const after = createKeyring([newMaster]);
  let database: TestDatabase;
  beforeAll(async () => {
    database = await open();
  });
  afterAll(() => database.close());

  it("moves every secret to the current key, so that the old one is no longer needed, and then finds nothing to do", async () => {
    const { db } = database;
    const { orgUid } = await seedOrg(db);
    const old = await seedCredential(db, before, orgUid, { secret: "sealed before" });
    const fresh = await seedCredential(db, both, orgUid, { secret: "sealed after" });
    const signing = await createSigningKeys(db, before, testClock()).current();

    expect(await moveSecrets(db, both)).toEqual({ root_keys: 1, signing_keys: 1 });
    const credentials = createCredentialStore(db);
    const secretOf = async (uid: string) => (await revealCredential({ credentials, keyring: after }, uid)).secret;
    expect(await secretOf(old.uid)).toBe("sealed before");
    expect(await secretOf(fresh.uid)).toBe("sealed after");
    expect(await createSigningKeys(db, after, testClock()).current()).toEqual(signing);
    expect(await moveSecrets(db, both)).toEqual({ root_keys: 0, signing_keys: 0 });
  });

  it("stops at a secret that none of the keys opens, and leaves it as it is", async () => {
    const { db } = database;
    const { orgUid } = await seedOrg(db);
    const lost = await seedCredential(db, createKeyring([randomBytes(32)]), orgUid, { secret: "of a lost key" });
    const sealedOf = () =>
      db.selectFrom("credential_versions").select("sealed").where("credential_uid", "=", lost.uid).execute();
    const sealed = await sealedOf();
    await expect(moveSecrets(db, both)).rejects.toThrow(CliFailure);
    expect(await sealedOf()).toEqual(sealed);
  });
});
