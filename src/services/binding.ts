import { GatewayError } from "../core/errors.ts";
import type { Credential } from "../credentials/model.ts";
import { isBoundTo } from "../credentials/reveal.ts";
import type { CredentialStore } from "../credentials/store.ts";

/**
 * Lets a service at `origin` use a credential, or refuses. A credential goes only to origins that someone who
 * knew its secret named; one without any is bound to the first service that uses it. Call in the transaction
 * that writes the service: the credential's row stays locked, so its origins cannot change in between.
 *
 * @returns the credential, and whether this use bound it
 * @throws GatewayError `resource.not_found` for an unknown id, `credential.origin_not_allowed`
 */
export async function bindCredential(
  credentials: CredentialStore,
  use: { orgUid: string; credentialId: string; origin: string; nowMs: number },
): Promise<{ credential: Credential; bound: boolean }> {
  const credential = await credentials.lock(use.orgUid, use.credentialId);
  if (!credential) {
    const fields = [{ path: "root_key_id", message: "no root key with this id" }];
    throw new GatewayError("resource.not_found", { message: "root key not found", fields });
  }
  if (isBoundTo(credential, use.origin)) return { credential, bound: false };
  if (credential.origins.length > 0) {
    const allowed = credential.origins.join(", ");
    throw new GatewayError("credential.origin_not_allowed", {
      message: `the root key may not be sent to ${use.origin}, only to ${allowed}`,
      fields: [{ path: "endpoint", message: `not at an origin of root key ${credential.id}` }],
    });
  }
  await credentials.setOrigins(credential, [use.origin], use.nowMs);
  return { credential: { ...credential, origins: [use.origin] }, bound: true };
}
