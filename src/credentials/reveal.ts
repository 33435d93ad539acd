import { type Keyring, type SealContext, VaultError } from "../vault/keyring.ts";
import type { Credential } from "./model.ts";
import type { CredentialStore } from "./store.ts";

/** A credential together with its secret. Never log, cache beyond need, or serialize it. */
export interface RevealedCredential {
  readonly credential: Credential;
  readonly secret: string;
}

/** What a credential's secret is sealed to: its org, record and version. Moved anywhere else it does not open. */
export function secretContext(orgUid: string, credentialUid: string, version: number): SealContext {
  return { orgUid, recordUid: credentialUid, column: `credential_versions.sealed.${version}` };
}

/**
 * Opens the current secret of a credential. Fails closed: whatever is missing, altered, moved from another row
 * or sealed under an unknown master key is an error, never an empty secret.
 *
 * @throws VaultError
 */
export async function revealCredential(
  deps: { credentials: CredentialStore; keyring: Keyring },
  credentialUid: string,
): Promise<RevealedCredential> {
  const credential = await deps.credentials.findByUid(credentialUid);
  if (!credential) throw new VaultError(`no credential ${credentialUid}`);
  return { credential, secret: await openVersion(deps, credential, credential.version) };
}

/** Opens the secret that a credential had at a version. @throws VaultError also when it is no longer kept */
export async function openVersion(
  deps: { credentials: CredentialStore; keyring: Keyring },
  credential: Credential,
  version: number,
): Promise<string> {
  const kept = await deps.credentials.findVersion(credential.uid, version);
  if (!kept) throw new VaultError(`no version ${version} of credential ${credential.uid}`);
  const secret = deps.keyring.open(kept.sealed, secretContext(credential.orgUid, credential.uid, version));
  if (secret === "") throw new VaultError(`version ${version} of credential ${credential.uid} is empty`);
  return secret;
}

/** Whether a secret may be sent to an origin. An unbound credential may be sent nowhere. */
export function isBoundTo(credential: Credential, origin: string): boolean {
  return credential.origins.includes(origin);
}
