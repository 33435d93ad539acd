import type { Principal } from "../access/principal.ts";
import { GatewayError } from "../core/errors.ts";
import { authenticate as authenticateKey, type AuthenticateDeps } from "../gate/authenticate.ts";
import type { LiveKey } from "../gate/key-cache.ts";
import type { RequestContext } from "../http/route.ts";
import { type Authenticator, bearerOf } from "../identity/authenticate.ts";

export interface McpAuthenticateDeps {
  readonly authenticator: Pick<Authenticator, "authenticate">;
  /** The proxy's own way to find a virtual key. */
  readonly gate: AuthenticateDeps;
  /** The organization's public id. */
  orgIdOf(orgUid: string): Promise<string>;
}

/**
 * The principal of an MCP request: a user's, a session's or a service account's secret as on the management API, or a virtual
 * key, each as `Authorization: Bearer` or `X-API-Key` (DESIGN §3 rule 6), a virtual key also as `X-Virtual-Key`. A key is only looked at: no use of it is claimed.
 *
 * @throws GatewayError 401 (`auth.*`, `key.*`), 429 `auth.throttled`, 404 `resource.not_found` for another organization
 */
export async function authenticateMcp(
  { context, orgId }: { context: RequestContext; orgId: string | null },
  deps: McpAuthenticateDeps,
): Promise<Principal> {
  const given = [
    bearerOf(context.header("authorization")),
    context.header("x-api-key"),
    context.header("x-virtual-key"),
  ].filter((secret) => secret !== undefined && secret !== "");
  const virtual = given.find((secret) => secret?.startsWith("bfk_"));
  if (virtual === undefined) return deps.authenticator.authenticate({ context, orgId });
  // No other principal is the same as a virtual key.
  if (given.some((secret) => secret !== virtual)) throw new GatewayError("auth.conflict");

  const live = await authenticateKey(virtual, context.clientAddress, deps.gate);
  const principal = await keyPrincipal(live, deps);
  if (orgId !== null && orgId !== principal.orgId) throw new GatewayError("resource.not_found");
  return principal;
}

async function keyPrincipal({ key, services }: LiveKey, deps: McpAuthenticateDeps): Promise<Principal> {
  return {
    kind: "virtual_key",
    uid: key.uid,
    id: key.id,
    orgUid: key.orgUid,
    orgId: await deps.orgIdOf(key.orgUid),
    services: [...services.values()].map(({ serviceUid }) => serviceUid),
  };
}
