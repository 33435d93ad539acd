import { GatewayError } from "../core/errors.ts";
import type { Keyring } from "../vault/keyring.ts";
import { isBoundTo, revealCredential } from "./reveal.ts";
import type { CredentialStore } from "./store.ts";

/**
 * Opens a stored credential for one origin. Asked anew for each use, so that a rotated secret counts at once.
 *
 * Fails closed: a credential that is missing, or not bound to the origin, is `upstream.refused`, and the operator's log says
 * which of them it was.
 */
export async function bearerFor(
  deps: { readonly credentials: CredentialStore; readonly keyring: Keyring },
  orgUid: string,
  credentialId: string,
  origin: string,
): Promise<string> {
  const found = await deps.credentials.findById(orgUid, credentialId);
  if (!found) throw new GatewayError("upstream.refused", { detail: `no credential ${credentialId}` });
  const { credential, secret } = await revealCredential(deps, found.uid);
  if (!isBoundTo(credential, origin))
    throw new GatewayError("upstream.refused", { detail: `the credential ${credentialId} is not bound to ${origin}` });
  return secret;
}
