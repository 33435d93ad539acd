import { createHash, generateKeyPairSync } from "node:crypto";
import type { JsonWebKey } from "node:crypto";
import { z } from "zod";
import type { Clock } from "../core/clock.ts";
import type { Db } from "../storage/open-database.ts";
import type { Keyring } from "../vault/keyring.ts";

/** A signing key is replaced after so long. */
const ROTATE_AFTER_MS = 90 * 86_400_000;
/** A replaced key stays in the JWKS for so long: verifiers may still hold assertions, which live a minute, and cache the set. */
const PUBLISH_RETIRED_MS = 86_400_000;

const PublicJwk = z.strictObject({
  kty: z.literal("OKP"),
  crv: z.literal("Ed25519"),
  x: z.string(),
  kid: z.string(),
  alg: z.literal("EdDSA"),
  use: z.literal("sig"),
});
export type PublicJwk = z.output<typeof PublicJwk>;
const PrivateJwk = z.looseObject({ kty: z.literal("OKP"), crv: z.literal("Ed25519"), x: z.string(), d: z.string() });

export interface SigningKeys {
  /** The key to sign with; made on first use, and anew after 90 days. */
  current(): Promise<JsonWebKey & { kid: string }>;
  /** What verifiers need: the keys in use and those retired within a day. RFC 7517. */
  published(): Promise<readonly PublicJwk[]>;
}

/** Ed25519 keys of the instance, shared by all gateways on one database; private parts are stored sealed. */
export function createSigningKeys(db: Db, keyring: Keyring, clock: Clock): SigningKeys {
  const newest = () =>
    db
      .selectFrom("signing_keys")
      .selectAll()
      .where("retired_at_ms", "is", null)
      .orderBy("created_at_ms", "desc")
      .limit(1)
      .executeTakeFirst();

  return {
    async current() {
      let row = await newest();
      if (!row || row.created_at_ms + ROTATE_AFTER_MS <= clock.now()) {
        await addKey(db, keyring, clock.now());
        row = await newest();
      }
      if (!row) throw new Error("no signing key could be made");
      const jwk = PrivateJwk.parse(JSON.parse(keyring.open(row.sealed_private_jwk, signingKeyContext(row.kid))));
      return { kty: jwk.kty, crv: jwk.crv, x: jwk.x, d: jwk.d, kid: row.kid };
    },
    async published() {
      const rows = await db
        .selectFrom("signing_keys")
        .select(["public_jwk"])
        .where((eb) =>
          eb.or([eb("retired_at_ms", "is", null), eb("retired_at_ms", ">", clock.now() - PUBLISH_RETIRED_MS)]),
        )
        .orderBy("created_at_ms", "desc")
        .execute();
      return rows.map((row) => PublicJwk.parse(JSON.parse(row.public_jwk)));
    },
  };
}

/** Adds a key and retires the others, in one transaction. Two gateways may both add one: both are published, and either signs. */
async function addKey(db: Db, keyring: Keyring, nowMs: number): Promise<void> {
  const { privateKey } = generateKeyPairSync("ed25519");
  const { kty, crv, x = "", d = "" } = privateKey.export({ format: "jwk" });
  // RFC 7638: the thumbprint names the key.
  const kid = createHash("sha256").update(JSON.stringify({ crv, kty, x })).digest("base64url");
  await db.transaction().execute(async (trx) => {
    await trx
      .updateTable("signing_keys")
      .set({ retired_at_ms: nowMs })
      .where("retired_at_ms", "is", null)
      .where("created_at_ms", "<", nowMs - ROTATE_AFTER_MS + 1)
      .execute();
    await trx
      .insertInto("signing_keys")
      .values({
        kid,
        public_jwk: JSON.stringify({ kty, crv, x, kid, alg: "EdDSA", use: "sig" }),
        sealed_private_jwk: keyring.seal(JSON.stringify({ kty, crv, x, d }), signingKeyContext(kid)),
        created_at_ms: nowMs,
        retired_at_ms: null,
      })
      .execute();
  });
}

/** What a private key is sealed to. Signing keys belong to the instance, not to an org. */
export function signingKeyContext(kid: string) {
  return { orgUid: "", recordUid: kid, column: "sealed_private_jwk" };
}
