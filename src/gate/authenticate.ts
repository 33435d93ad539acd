import { hash } from "node:crypto";
import type { BoundedMap } from "../core/bounded-map.ts";
import type { Clock } from "../core/clock.ts";
import { GatewayError } from "../core/errors.ts";
import { secretKind } from "../core/secret.ts";
import type { GuessThrottle } from "../limits/guess-throttle.ts";
import type { Keyring } from "../vault/keyring.ts";
import type { KeyCache, LiveKey } from "./key-cache.ts";

export interface AuthenticateDeps {
  readonly clock: Clock;
  readonly keyring: Pick<Keyring, "hashSecret" | "hashSecretPrevious">;
  readonly keys: KeyCache;
  readonly throttle: GuessThrottle;
  /**
   * Keyed hashes of secrets that have been good, by their plain SHA-256: a fifth of the time of the keyed one.
   * Holds nothing that could be presented, since no digest of 192 random bits leads back to them.
   */
  readonly seenSecrets: BoundedMap<string, string>;
}

/**
 * Finds the virtual key behind a presented secret. Synchronous for a key seen recently; a promise else.
 *
 * Whoever does not hold a genuine secret learns nothing but `key.invalid`: malformed, mistyped and unknown
 * ones answer alike, and count against the address. Why a genuine secret no longer works (`key.revoked`,
 * `key.expired`) is told, since only its holder can ask.
 *
 * @throws GatewayError `key.missing`, `key.invalid`, `key.revoked`, `key.expired`, `auth.throttled`
 */
export function authenticate(
  secret: string | null,
  clientAddress: string,
  deps: AuthenticateDeps,
): LiveKey | Promise<LiveKey> {
  if (secret === null) throw new GatewayError("key.missing");
  // Offline and cheap: a guess or a typo never reaches the hash, the cache or the database.
  if (secretKind(secret) !== "bfk") throw refuseGuess(clientAddress, deps);
  const digest = hash("sha256", secret, "base64url");
  const seen = deps.seenSecrets.peek(digest);
  const secretHash = seen ?? deps.keyring.hashSecret(secret);
  const cached = deps.keys.peek(secretHash);
  if (!cached) return authenticateUnseen(secret, secretHash, clientAddress, deps);
  if (seen === undefined) deps.seenSecrets.set(digest, secretHash);
  // A known key passes whatever others behind the same address have tried.
  return usable(cached, deps.clock.now());
}

async function authenticateUnseen(
  secret: string,
  secretHash: string,
  clientAddress: string,
  deps: AuthenticateDeps,
): Promise<LiveKey> {
  const previousHashes = deps.keyring.hashSecretPrevious(secret);
  for (const hash of previousHashes) {
    const live = deps.keys.peek(hash);
    if (live) return usable(live, deps.clock.now());
  }
  const retryAfterSeconds = deps.throttle.isThrottled(clientAddress);
  if (retryAfterSeconds !== null) throw throttled(retryAfterSeconds);
  for (const hash of [secretHash, ...previousHashes]) {
    const live = await lookUp(hash, deps);
    if (live) return usable(live, deps.clock.now());
  }
  throw refuseGuess(clientAddress, deps);
}

/**
 * Well-formed guesses from many addresses together get only so many database reads. Whoever joins a read that is
 * under way costs none: many requests at once with one key that nobody has seen yet are no guessing.
 */
function lookUp(hash: string, deps: AuthenticateDeps): Promise<LiveKey | null> {
  if (deps.keys.isLoading(hash)) return deps.keys.load(hash);
  const retryAfterSeconds = deps.throttle.takeLookup();
  if (retryAfterSeconds !== null) throw throttled(retryAfterSeconds);
  return deps.keys.load(hash);
}

/** Also called again after admission: a revocation or expiry that happened meanwhile counts. */
export function usable(live: LiveKey, nowMs: number): LiveKey {
  if (live.key.revokedAtMs !== null) throw new GatewayError("key.revoked");
  if (live.key.expiresAtMs <= nowMs) throw new GatewayError("key.expired");
  // The old secret of a rotated key, after its grace period: as unknown as any other.
  if (live.secretExpiresAtMs <= nowMs) throw new GatewayError("key.invalid");
  return live;
}

function refuseGuess(clientAddress: string, deps: AuthenticateDeps): GatewayError {
  const retryAfterSeconds = deps.throttle.isThrottled(clientAddress);
  if (retryAfterSeconds !== null) return throttled(retryAfterSeconds);
  deps.throttle.recordFailure(clientAddress);
  return new GatewayError("key.invalid");
}

function throttled(retryAfterSeconds: number): GatewayError {
  return new GatewayError("auth.throttled", { headers: { "retry-after": String(retryAfterSeconds) } });
}
