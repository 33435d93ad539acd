import { auditedWrite, type WriteDeps } from "../audit/audited-write.ts";
import { type AuditEvent, byPrincipal } from "../audit/log.ts";
import { GatewayError } from "../core/errors.ts";
import { newSecret } from "../core/secret.ts";
import type { Author } from "../credentials/write.ts";
import { mayManage } from "./access.ts";
import { type ArgumentNames, assertWithin, ceilingsOf } from "./ceilings.ts";
import { keyFacts, type KeyWriteDeps } from "./issue.ts";
import type { VirtualKey } from "./model.ts";
import { type GrantRequest, resolveGrants } from "./resolve-grants.ts";
import { createKeyStore, type KeyChanges, type KeyStore } from "./store.ts";

/** What a caller may change about a key. What is left out stays. */
export interface KeyUpdate extends Omit<KeyChanges, "grants" | "expiresAtMs"> {
  readonly ttlMs?: number;
  readonly grants?: readonly GrantRequest[];
}

/** A key that the author manages. @throws GatewayError `resource.not_found` for every other one */
export async function findManaged(keys: KeyStore, author: Pick<Author, "principal">, id: string): Promise<VirtualKey> {
  const key = await keys.findById(author.principal.orgUid, id);
  if (!key || !mayManage(author.principal, key)) throw new GatewayError("resource.not_found");
  return key;
}

/**
 * Changes a key. What is changed must stay within the author's ceilings and services, so nobody widens a key
 * beyond what they could issue.
 *
 * @throws GatewayError `resource.not_found`, `resource.conflict` for a revoked key, and as the issuer does
 */
export async function updateKey(
  deps: KeyWriteDeps,
  author: Author,
  id: string,
  { ttlMs, grants: requests, ...changes }: KeyUpdate,
  names: ArgumentNames,
): Promise<VirtualKey> {
  const { principal } = author;
  const nowMs = deps.clock.now();
  assertWithin(ceilingsOf(principal, "api", deps.limits), { ttlMs, ...changes }, names);
  return auditedWrite(deps, async (trx) => {
    const keys = createKeyStore(trx);
    const key = await findManaged(keys, author, id);
    assertNotRevoked(key);
    const grants = requests && (await resolveGrants(trx, principal, requests, names));
    await keys.update(
      key,
      { ...changes, ...(ttlMs === undefined ? {} : { expiresAtMs: nowMs + ttlMs }), ...(grants ? { grants } : {}) },
      nowMs,
    );
    const result = (await keys.findByUid(key.uid)) ?? key;
    return {
      result,
      events: [event(author, "key.update", result, keyFacts(result))],
      changes: [{ kind: "key", uid: key.uid, revoked: false }],
    };
  });
}

/**
 * Gives a key a new secret; the one before works for `graceMs` more.
 *
 * @throws GatewayError `resource.not_found`, `resource.conflict` for a revoked or expired key, or when another
 *   rotation was faster
 */
export async function rotateKey(
  deps: WriteDeps,
  author: Author,
  id: string,
  graceMs: number,
): Promise<{ key: VirtualKey; secret: string }> {
  const nowMs = deps.clock.now();
  const secret = newSecret("bfk");
  return auditedWrite(deps, async (trx) => {
    const keys = createKeyStore(trx);
    const key = await findManaged(keys, author, id);
    assertNotRevoked(key);
    if (key.expiresAtMs <= nowMs) throw new GatewayError("resource.conflict", { message: "the key has expired" });
    const next = {
      secretHash: deps.keyring.hashSecret(secret),
      hint: secret.slice(-4),
      previousUntilMs: nowMs + graceMs,
    };
    if (!(await keys.rotate(key, next, nowMs))) throw new GatewayError("resource.conflict");
    const result = (await keys.findByUid(key.uid)) ?? key;
    return {
      result: { key: result, secret },
      events: [event(author, "key.rotate", key, { grace_seconds: Math.ceil(graceMs / 1_000) })],
      changes: [{ kind: "key", uid: key.uid, revoked: false }],
    };
  });
}

/** Revokes a key for good. Revoking it again changes nothing. @throws GatewayError `resource.not_found` */
export async function revokeKey(deps: WriteDeps, author: Author, id: string): Promise<void> {
  const nowMs = deps.clock.now();
  await auditedWrite(deps, async (trx) => {
    const keys = createKeyStore(trx);
    const key = await findManaged(keys, author, id);
    const ended = await keys.revoke(key.uid, nowMs);
    return {
      result: undefined,
      events: ended ? [event(author, "key.revoke", key, {})] : [],
      changes: [{ kind: "key", uid: key.uid, revoked: true }],
    };
  });
}

function assertNotRevoked(key: VirtualKey): void {
  if (key.revokedAtMs !== null) throw new GatewayError("resource.conflict", { message: "the key is revoked" });
}

function event(author: Author, action: string, key: VirtualKey, detail: AuditEvent["detail"] & {}): AuditEvent {
  return {
    ...byPrincipal(author.principal, author.request),
    action,
    target: { kind: "key", id: key.id },
    detail,
  };
}
