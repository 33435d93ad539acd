import type { LocalPrincipal, Principal } from "../access/principal.ts";
import { GatewayError } from "../core/errors.ts";
import { authenticate as authenticateKey, type AuthenticateDeps } from "../gate/authenticate.ts";
import type { LiveKey } from "../gate/key-cache.ts";
import type { RequestContext } from "../http/route.ts";
import { type Authenticator, bearerOf } from "../identity/authenticate.ts";
import type { GatewayAgents } from "./gateway-agents.ts";

export interface McpAuthenticateDeps {
  readonly authenticator: Pick<Authenticator, "authenticate">;
  /** The proxy's own way to find a virtual key. */
  readonly gate: AuthenticateDeps;
  /** The organization's public id. */
  orgIdOf(orgUid: string): Promise<string>;
  readonly agents: GatewayAgents;
  /** Who a request without a credential of ours is where `gateway.auth = "none"`; null: nobody, it is refused. */
  readonly local: LocalPrincipal | null;
}

/** Who a request is. */
export interface McpIdentity {
  readonly principal: Principal;
  /** The key itself where the principal is a virtual key, for admission and policy; else null. */
  readonly live: LiveKey | null;
}

export type AuthenticateMcp = (request: {
  readonly context: RequestContext;
  /** `X-Org-ID`. */
  readonly orgId: string | null;
}) => McpIdentity | Promise<McpIdentity>;

/**
 * The principal of an MCP request: a configured agent by its value in `Authorization`; else a user's, a session's or a service
 * account's secret as on the management API, or a virtual key, each as `Authorization: Bearer` or `X-API-Key` (DESIGN §3
 * rule 6), a virtual key also as `X-Virtual-Key`. With `gateway.auth = "none"` whoever presents none of the gateway's secrets
 * is the local principal; one that is presented counts, and must be good. A key is only looked at: no use of it is claimed.
 *
 * `X-Agent-ID` is not read here: it names an agent inside the principal and never changes it.
 *
 * Synchronous for configured agents, the local principal, and keys that were seen before.
 *
 * @throws GatewayError 400 `request.invalid` for a malformed header, 401 (`auth.*`, `key.*`) with a challenge as RFC 6750 §3 has
 *   it, 429 `auth.throttled`, 404 `resource.not_found` for another organization
 */
export function createMcpAuthenticate(deps: McpAuthenticateDeps): AuthenticateMcp {
  const byKey = new WeakMap<LiveKey, McpIdentity>();
  const local: McpIdentity | null = deps.local && { principal: deps.local, live: null };

  /** The organization's name is looked up once: the cache drops its keys when an organization changes. */
  function ofKey(live: LiveKey, orgId: string | null): McpIdentity | Promise<McpIdentity> {
    const seen = byKey.get(live);
    if (seen) return inOrg(seen, orgId);
    return toKeyIdentity(live, deps).then((identity) => {
      byKey.set(live, identity);
      return inOrg(identity, orgId);
    });
  }

  function identify({ context, orgId }: Parameters<AuthenticateMcp>[0]): McpIdentity | Promise<McpIdentity> {
    const authorization = checkForm(context.header("authorization")?.trim() ?? "");
    const others = [context.header("x-api-key"), context.header("x-virtual-key")].filter((value) => isGiven(value));
    const agent = deps.agents.find(authorization, context.clientAddress);
    if (agent) {
      // Nobody else is a configured agent: a second credential can only be the same again.
      if (others.some((value) => deps.agents.find(value, context.clientAddress) !== agent))
        throw new GatewayError("auth.conflict");
      return inOrg({ principal: agent, live: null }, orgId);
    }
    const given = [bearerOf(authorization), ...others].filter((value) => isGiven(value));
    if (local && !given.some(isOurs)) return inOrg(local, orgId);
    const virtual = given.find((secret) => secret.startsWith("bfk_"));
    if (virtual === undefined) {
      return deps.authenticator.authenticate({ context, orgId }).then((principal) => ({ principal, live: null }));
    }
    // No other principal is the same as a virtual key.
    if (given.some((secret) => secret !== virtual)) throw new GatewayError("auth.conflict");
    const live = authenticateKey(virtual, context.clientAddress, deps.gate);
    return live instanceof Promise ? live.then((found) => ofKey(found, orgId)) : ofKey(live, orgId);
  }

  return (request) => {
    try {
      const identity = identify(request);
      return identity instanceof Promise
        ? identity.catch((error: unknown) => challenge(error, request.context))
        : identity;
    } catch (error) {
      return challenge(error, request.context);
    }
  };
}

async function toKeyIdentity(live: LiveKey, deps: McpAuthenticateDeps): Promise<McpIdentity> {
  const { key, services } = live;
  const principal: Principal = {
    kind: "virtual_key",
    uid: key.uid,
    id: key.id,
    orgUid: key.orgUid,
    orgId: await deps.orgIdOf(key.orgUid),
    services: [...services.values()].map(({ serviceUid }) => serviceUid),
  };
  return { principal, live };
}

function inOrg(identity: McpIdentity, orgId: string | null): McpIdentity {
  if (orgId === null || orgId === identity.principal.orgId) return identity;
  throw new GatewayError("resource.not_found");
}

/** Node refuses most such bytes itself, before this. @throws GatewayError `request.invalid` */
function checkForm(authorization: string): string {
  // oxlint-disable-next-line no-control-regex -- they are what is looked for
  if (!/[\x00-\x1f\x7f]/.test(authorization)) return authorization;
  const message = "malformed Authorization header";
  throw new GatewayError("request.invalid", { message, fields: [{ path: "authorization", message }] });
}

function isGiven(value: string | undefined): value is string {
  return value !== undefined && value !== "";
}

/** Looks like a secret of the gateway, good or not; also after the scheme of configured agents. */
function isOurs(value: string): boolean {
  return /^(?:agent +)?bf[kustx]_/i.test(value);
}

/** RFC 6750 §3.1: whoever presented something learns that it was no good; whoever did not, only how to. */
function challenge(thrown: unknown, context: RequestContext): never {
  const presented = ["authorization", "x-api-key", "x-virtual-key"].some((name) => isGiven(context.header(name)));
  if (!(thrown instanceof GatewayError) || thrown.status !== 401) throw thrown;
  const { code, publicMessage, fields, headers } = thrown;
  const isPlain = code === "auth.required";
  if (!presented) {
    if (!isPlain) throw thrown;
    throw new GatewayError(code, { message: "unauthorized: missing Authorization header", headers, cause: thrown });
  }
  throw new GatewayError(code, {
    message: isPlain ? "unauthorized: no key and no agent id of this gateway" : publicMessage,
    detail: thrown.message,
    fields,
    headers: { "www-authenticate": 'Bearer realm="bifrost", error="invalid_token"', ...headers },
    cause: thrown,
  });
}
