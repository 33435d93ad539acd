import { parseDurationMs } from "../core/duration.ts";
import { GatewayError } from "../core/errors.ts";
import { newId } from "../core/ids.ts";
import { newSecret } from "../core/secret.ts";
import type { Db } from "../storage/open-database.ts";
import type { IdentityDeps, Session, SessionPolicy } from "./model.ts";
import { createSessionStore } from "./session-store.ts";

/** A new session's token, shown once, and its end. */
export interface IssuedToken {
  readonly token: string;
  readonly session: Session;
}

/**
 * The life of a token that a request asks for. Absent means the policy's default.
 * @throws GatewayError `request.invalid` for no duration and for one above the policy
 */
export function tokenTtlMs(ttl: string | undefined, policy: SessionPolicy): number {
  if (ttl === undefined) return Math.min(policy.ttlMs, policy.maxTtlMs);
  const ttlMs = parseDurationMs(ttl);
  if (ttlMs !== null && ttlMs <= policy.maxTtlMs) return ttlMs;
  const message =
    ttlMs === null
      ? 'invalid ttl: use a Go duration string (e.g. "1h", "30m")'
      : `invalid ttl: at most ${policy.maxTtlMs / 1_000}s`;
  throw new GatewayError("request.invalid", { message, fields: [{ path: "ttl", message }] });
}

/**
 * Starts a session, or with `startedAtMs` continues a chain of them: the chain's age bounds the token.
 * @throws GatewayError `auth.required` when the chain is too old
 */
export async function issueSession(
  trx: Db,
  { keyring, clock, sessions }: IdentityDeps,
  order: { orgUid: string; userUid: string; ttlMs: number; startedAtMs?: number },
): Promise<IssuedToken> {
  const nowMs = clock.now();
  const startedAtMs = order.startedAtMs ?? nowMs;
  const expiresAtMs = Math.min(nowMs + order.ttlMs, startedAtMs + sessions.maxAgeMs);
  if (expiresAtMs <= nowMs) {
    throw new GatewayError("auth.required", { message: "unauthorized: the session is too old, log in again" });
  }
  const token = newSecret("bft");
  const session: Session = {
    uid: newId("ses"),
    orgUid: order.orgUid,
    userUid: order.userUid,
    startedAtMs,
    expiresAtMs,
    revokedAtMs: null,
  };
  await createSessionStore(trx).insert(session, keyring.hashSecret(token), nowMs);
  return { token, session };
}
