import type { Principal } from "../access/principal.ts";
import type { Clock } from "../core/clock.ts";
import { newId } from "../core/ids.ts";
import type { RequestContext } from "../http/route.ts";
import type { Db } from "../storage/open-database.ts";
import type { Keyring } from "../vault/keyring.ts";
import { chainHash, GENESIS_HASH } from "./chain.ts";

export type AuditOutcome = "allowed" | "denied" | "failed";

/** Who did it: a principal by its public id, the set-up or the gateway itself. Never a secret. */
export interface AuditActor {
  readonly kind: Principal["kind"] | "setup" | "system";
  readonly id: string;
}

/** One management or security decision, as its author states it. */
export interface AuditEvent {
  /** Whose trail: the org that was acted in. Events of the whole instance go to the default org. */
  readonly orgUid: string;
  readonly actor: AuditActor;
  /** Stable name `subject.verb`, such as `key.issue`: never renamed. */
  readonly action: string;
  readonly target: { readonly kind: string; readonly id: string };
  /** Default `allowed`. */
  readonly outcome?: AuditOutcome;
  /** Public facts only: ids, names, roles, limits. Never a secret. */
  readonly detail?: Readonly<Record<string, string | number | boolean | null | readonly string[]>>;
  readonly requestId: string | null;
  readonly clientAddress: string | null;
}

/** The parts of an {@link AuditEvent} that follow from the request: spread them into the event. */
export function byPrincipal(
  principal: Principal,
  request: RequestContext,
): Pick<AuditEvent, "orgUid" | "actor" | "requestId" | "clientAddress"> {
  return {
    orgUid: principal.orgUid,
    actor: { kind: principal.kind, id: principal.id },
    requestId: request.requestId,
    clientAddress: request.clientAddress,
  };
}

export interface AuditLog {
  record(event: AuditEvent): Promise<void>;
}

/**
 * The append-only trail. Give it the transaction of the write that it records, and both stand or fall
 * together; given a plain database it opens its own transaction.
 *
 * Each org has one chain: an entry's hash covers the entry and the hash before it, under a key derived
 * from the master key, so that altering, inserting or removing an entry in the database shows. Two
 * gateways may append at once: the head row is the lock, held until the transaction ends. Record last
 * in a transaction, so that it is held briefly.
 */
export function createAuditLog(db: Db, keyring: Keyring, clock: Clock): AuditLog {
  return {
    record: (event) =>
      db.isTransaction
        ? append(db, keyring, clock, event)
        : db.transaction().execute((trx) => append(trx, keyring, clock, event)),
  };
}

async function append(trx: Db, keyring: Keyring, clock: Clock, event: AuditEvent): Promise<void> {
  const head = await takeHead(trx, event.orgUid);
  const row = {
    org_uid: event.orgUid,
    seq: head.seq,
    uid: newId("aud"),
    at_ms: clock.now(),
    actor_kind: event.actor.kind,
    actor_id: event.actor.id,
    action: event.action,
    target_kind: event.target.kind,
    target_id: event.target.id,
    outcome: event.outcome ?? "allowed",
    detail: JSON.stringify(event.detail ?? {}),
    request_id: event.requestId,
    client_address: event.clientAddress,
    previous_hash: head.hash,
  };
  const hash = chainHash(keyring, row);
  await trx
    .insertInto("audit_entries")
    .values({ ...row, hash })
    .execute();
  await trx.updateTable("audit_heads").set({ hash }).where("org_uid", "=", event.orgUid).execute();
}

/** Advances the head and returns it: the UPDATE locks the row, so the hash read with it is the last one. */
async function takeHead(trx: Db, orgUid: string): Promise<{ seq: number; hash: string }> {
  const advance = () =>
    trx
      .updateTable("audit_heads")
      .set((eb) => ({ seq: eb("seq", "+", 1) }))
      .where("org_uid", "=", orgUid)
      .returning(["seq", "hash"])
      .executeTakeFirst();
  const head = await advance();
  if (head) return head;
  await trx
    .insertInto("audit_heads")
    .values({ org_uid: orgUid, seq: 0, hash: GENESIS_HASH })
    .onConflict((c) => c.doNothing())
    .execute();
  const made = await advance();
  if (!made) throw new Error("the head of an audit chain vanished");
  return made;
}
