import type { Principal } from "../access/principal.ts";
import { BoundedMap } from "../core/bounded-map.ts";
import type { Clock } from "../core/clock.ts";
import { GatewayError } from "../core/errors.ts";
import { secretKind } from "../core/secret.ts";
import type { RequestContext } from "../http/route.ts";
import type { Db } from "../storage/open-database.ts";
import type { Keyring } from "../vault/keyring.ts";
import { createMembershipStore } from "./membership-store.ts";
import type { ServiceAccount } from "./model.ts";
import { createServiceAccountStore } from "./service-account-store.ts";
import { createSessionStore } from "./session-store.ts";
import { createUserStore } from "./user-store.ts";

/** Slows down guessing. Implemented in limits/guess-throttle.ts. */
export interface GuessThrottle {
  /** Seconds until the address may try again, or null when it may now. */
  isThrottled(address: string): number | null;
  recordFailure(address: string): void;
}

export interface Authenticator {
  /**
   * The principal behind one secret: a session token, a user's API key or a service account's. `orgId`
   * names the organization to act in; null takes the session's, the account's or the user's only one.
   *
   * Nothing is cached: a removed member, a changed role or a revoked session holds on the next request,
   * on every gateway. A malformed secret is refused before any read.
   *
   * @throws GatewayError `auth.required` (unknown, malformed, ended, of another kind), `request.org_required`,
   * `resource.not_found` (the org does not exist, or the principal is not in it: the same answer)
   */
  authenticateCredential(secret: string, orgId?: string | null): Promise<Principal>;
  /**
   * The principal of a management request: `Authorization` (Bearer or the bare value), `X-API-Key`, or
   * both, which must then both be valid and be the same principal. Failures count against the address.
   *
   * @throws GatewayError as above, and `auth.conflict`, `auth.throttled`
   */
  authenticate(request: { context: RequestContext; orgId: string | null }): Promise<Principal>;
}

/** Who holds a secret, before the organization is settled. */
type Identity =
  | {
      readonly kind: "user";
      readonly uid: string;
      readonly session: { readonly uid: string; readonly orgUid: string } | null;
    }
  | { readonly kind: "service_account"; readonly uid: string; readonly account: ServiceAccount & { orgId: string } };

interface AuthenticatorDeps {
  readonly db: Db;
  readonly keyring: Keyring;
  readonly clock: Clock;
  readonly throttle: GuessThrottle;
}

/** Secrets that lately were valid; only their keyed hashes. */
const MAX_KNOWN = 10_000;

export function createAuthenticator(deps: AuthenticatorDeps): Authenticator {
  const { throttle, keyring } = deps;
  // Decides nothing but the throttle: whoever holds a good secret is not locked out by a guesser at the same address.
  const known = new BoundedMap<string, true>(MAX_KNOWN);
  return {
    async authenticateCredential(secret, orgId = null) {
      const identity = await identify(deps, secret);
      if (!identity) throw new GatewayError("auth.required");
      return toPrincipal(deps, identity, orgId);
    },

    async authenticate({ context, orgId }) {
      const secrets = presentedSecrets(context);
      if (secrets.length === 0) throw new GatewayError("auth.required");
      const hashes = secrets.map((secret) => keyring.hashSecret(secret));
      if (!hashes.every((hash) => known.get(hash))) refuseThrottled(throttle, context.clientAddress);
      const identities = await Promise.all(secrets.map((secret) => identify(deps, secret)));
      const valid = identities.filter((identity) => identity !== null);
      if (valid.length < identities.length) {
        throttle.recordFailure(context.clientAddress);
        for (const hash of hashes) known.delete(hash);
        throw new GatewayError(valid.length === 0 ? "auth.required" : "auth.conflict");
      }
      for (const hash of hashes) known.set(hash, true);
      return toPrincipal(deps, merge(valid), orgId);
    },
  };
}

/** @throws GatewayError `auth.throttled` with `Retry-After` */
export function refuseThrottled(throttle: GuessThrottle, clientAddress: string): void {
  const retryAfterSeconds = throttle.isThrottled(clientAddress);
  if (retryAfterSeconds === null) return;
  throw new GatewayError("auth.throttled", {
    headers: { "retry-after": String(Math.max(1, Math.ceil(retryAfterSeconds))) },
  });
}

/** Up to two, without repetition. */
function presentedSecrets(context: RequestContext): string[] {
  const given = [bearerOf(context.header("authorization")), context.header("x-api-key")];
  return [...new Set(given.filter((secret) => secret !== undefined && secret !== ""))] as string[];
}

/** The value after `Bearer` in any case (RFC 6750, RFC 9110 §11.1), or the bare header value. */
export function bearerOf(header: string | undefined): string | undefined {
  return header === undefined ? undefined : (/^bearer +(.*)$/i.exec(header)?.[1] ?? header).trim();
}

async function identify(deps: AuthenticatorDeps, secret: string): Promise<Identity | null> {
  switch (secretKind(secret)) {
    case "bft":
      return identifySession(deps, secret);
    case "bfu":
      return identifyUser(deps, secret);
    case "bfs":
      return identifyAccount(deps, secret);
    case "bfk": // A virtual key manages nothing.
    case "bfx":
    case null:
      return null;
  }
}

async function identifySession({ db, keyring, clock }: AuthenticatorDeps, token: string): Promise<Identity | null> {
  const store = createSessionStore(db);
  const session = await findBySecret(
    keyring,
    token,
    (hash) => store.findByTokenHash(hash),
    (from, to) => store.replaceTokenHash(from, to),
  );
  if (!session || session.revokedAtMs !== null || session.expiresAtMs <= clock.now()) return null;
  return { kind: "user", uid: session.userUid, session: { uid: session.uid, orgUid: session.orgUid } };
}

async function identifyUser({ db, keyring }: AuthenticatorDeps, apiKey: string): Promise<Identity | null> {
  const store = createUserStore(db);
  const user = await findBySecret(
    keyring,
    apiKey,
    (hash) => store.findByApiKeyHash(hash),
    (from, to) => store.replaceApiKeyHash(from, to),
  );
  return user && { kind: "user", uid: user.uid, session: null };
}

async function identifyAccount({ db, keyring }: AuthenticatorDeps, apiKey: string): Promise<Identity | null> {
  const store = createServiceAccountStore(db);
  const account = await findBySecret(
    keyring,
    apiKey,
    (hash) => store.findByApiKeyHash(hash),
    (from, to) => store.replaceApiKeyHash(from, to),
  );
  return account && { kind: "service_account", uid: account.uid, account };
}

/**
 * Looks a secret up by its keyed hash; where it is stored under a previous master key, moves it to the
 * current one, so that a change of master key logs nobody out and ends by itself.
 */
async function findBySecret<T>(
  keyring: Keyring,
  secret: string,
  find: (hash: string) => Promise<T | null>,
  replace: (fromHash: string, toHash: string) => Promise<void>,
): Promise<T | null> {
  const hash = keyring.hashSecret(secret);
  const found = await find(hash);
  if (found) return found;
  for (const previous of keyring.hashSecretPrevious(secret)) {
    const old = await find(previous);
    if (!old) continue;
    await replace(previous, hash);
    return old;
  }
  return null;
}

/** One identity of several valid ones; of a session and an API key the session is kept, it names the organization. */
function merge(identities: readonly Identity[]): Identity {
  const [first, ...others] = identities;
  if (!first || others.some((other) => other.kind !== first.kind || other.uid !== first.uid)) {
    throw new GatewayError("auth.conflict");
  }
  const sessions = identities.filter((identity) => identity.kind === "user" && identity.session !== null);
  const [session, another] = sessions;
  // Two sessions of one user may be of two organizations: which one is meant cannot be told.
  if (another) throw new GatewayError("auth.conflict");
  return session ?? first;
}

async function toPrincipal(deps: AuthenticatorDeps, identity: Identity, orgId: string | null): Promise<Principal> {
  return identity.kind === "service_account"
    ? accountPrincipal(identity.account, orgId)
    : userPrincipal(deps, identity, orgId);
}

function accountPrincipal(account: ServiceAccount & { orgId: string }, orgId: string | null): Principal {
  if (orgId !== null && orgId !== account.orgId) throw new GatewayError("resource.not_found");
  return {
    kind: "service_account",
    uid: account.uid,
    id: account.id,
    name: account.name,
    orgUid: account.orgUid,
    orgId: account.orgId,
    services: account.services === "all" ? "all" : account.services.map((service) => service.uid),
    maxTtlSeconds: account.maxTtlSeconds,
    maxRateLimit: account.maxRateLimit,
    maxScope: account.maxScope,
  };
}

async function userPrincipal(
  { db }: AuthenticatorDeps,
  { uid, session }: Extract<Identity, { kind: "user" }>,
  orgId: string | null,
): Promise<Principal> {
  const [user, memberships] = await Promise.all([
    createUserStore(db).findByUid(uid),
    createMembershipStore(db).listOfUser(uid),
  ]);
  if (!user || memberships.length === 0) throw new GatewayError("auth.required");
  const org =
    orgId !== null
      ? memberships.find((membership) => membership.id === orgId)
      : session
        ? memberships.find((membership) => membership.uid === session.orgUid)
        : memberships.length === 1
          ? memberships[0]
          : null;
  if (org === null) {
    const ids = memberships
      .map((membership) => membership.id)
      .toSorted()
      .join(", ");
    throw new GatewayError("request.org_required", {
      message: `this credential belongs to several organizations (${ids}): name one in X-Org-ID`,
    });
  }
  // Named, but not theirs: as if it did not exist. The session's own, but no longer theirs: the session is over.
  if (!org) throw new GatewayError(orgId !== null ? "resource.not_found" : "auth.required");
  return {
    kind: "user",
    uid: user.uid,
    id: user.uid,
    name: user.name,
    orgUid: org.uid,
    orgId: org.id,
    role: org.role,
    sessionUid: session?.uid ?? null,
  };
}
