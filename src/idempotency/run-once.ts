import { z } from "zod";
import type { Principal } from "../access/principal.ts";
import type { Clock } from "../core/clock.ts";
import { GatewayError } from "../core/errors.ts";
import type { Reply } from "../http/route.ts";
import type { Db } from "../storage/open-database.ts";
import type { Keyring, SealContext } from "../vault/keyring.ts";
import { createClaimStore } from "./claim-store.ts";

/** A stored reply is returned for so long. */
export const IDEMPOTENCY_TTL_MS = 24 * 3_600_000;
/** A claim without a reply is taken over after so long: its gateway has died. Management requests end far sooner. */
const ABANDONED_AFTER_MS = 60_000;

const StoredReply = z.object({
  status: z.int(),
  body: z.json(),
  headers: z.record(z.string(), z.string()).optional(),
});

interface OnceRequest {
  readonly principal: Principal;
  readonly idempotencyKey: string;
  /** Hash of all that makes two requests the same. */
  readonly fingerprint: string;
}

/**
 * Runs a request's work once per Idempotency-Key, organization and principal, and answers repetitions
 * with the first reply for 24 hours. The claim is a row with a primary key, so of any number of parallel
 * repetitions, on any number of gateways, one runs and the others get `idempotency.in_progress`. The key
 * is kept as a keyed hash and the reply sealed, since it may hold a secret that is shown once. A request
 * that fails gives its key back.
 *
 * A gateway that dies between the work's commit and the storing of the reply leaves the claim open;
 * after 60 seconds a repetition runs the work again. The unique ids of what was made decide then.
 *
 * @throws GatewayError `idempotency.mismatch` (the key was used for another request), `idempotency.in_progress`
 */
export function createRunOnce(deps: { readonly db: Db; readonly keyring: Keyring; readonly clock: Clock }) {
  const { keyring, clock } = deps;
  const claims = createClaimStore(deps.db);

  return async function runOnce(request: OnceRequest, work: () => Promise<Reply<unknown>>): Promise<Reply<unknown>> {
    const claim = {
      orgUid: request.principal.orgUid,
      principalUid: request.principal.uid,
      keyHash: keyring.hashSecret(`idempotency ${request.idempotencyKey}`),
      requestHash: keyring.hashSecret(`request ${request.fingerprint}`),
      madeAtMs: clock.now(),
    };
    const context = replyContext(claim.orgUid, claim.principalUid, claim.keyHash);

    for (;;) {
      if (await claims.take(claim)) break;
      const row = await claims.find(claim);
      // Given back or purged between the two statements: try for it again.
      if (!row) continue;
      const ageMs = claim.madeAtMs - row.created_at_ms;
      const isOver = row.status === 0 ? ageMs >= ABANDONED_AFTER_MS : ageMs >= IDEMPOTENCY_TTL_MS;
      if (isOver) {
        await claims.drop(claim, row.created_at_ms);
        continue;
      }
      if (row.request_hash !== claim.requestHash) throw new GatewayError("idempotency.mismatch");
      if (row.status === 0 || row.sealed_reply === null) {
        throw new GatewayError("idempotency.in_progress", { headers: { "retry-after": "1" } });
      }
      const { headers, ...reply } = StoredReply.parse(JSON.parse(keyring.open(row.sealed_reply, context)));
      return { ...reply, headers: { ...headers, "idempotency-replayed": "true" } };
    }

    let reply: Reply<unknown>;
    try {
      reply = await work();
    } catch (failure) {
      await claims.drop(claim, claim.madeAtMs);
      throw failure;
    }
    await claims.settle(claim, reply.status, keyring.seal(JSON.stringify(reply), context));
    return reply;
  };
}

/** Seals replies that are under a previous master key under the current one; returns how many. @throws VaultError */
export async function resealReplies(db: Db, keyring: Keyring): Promise<number> {
  let moved = 0;
  for (const row of await db.selectFrom("idempotency_keys").selectAll().execute()) {
    if (row.sealed_reply === null || !keyring.isStale(row.sealed_reply)) continue;
    const context = replyContext(row.org_uid, row.principal_uid, row.key_hash);
    const { numUpdatedRows } = await db
      .updateTable("idempotency_keys")
      .set({ sealed_reply: keyring.seal(keyring.open(row.sealed_reply, context), context) })
      .where("org_uid", "=", row.org_uid)
      .where("principal_uid", "=", row.principal_uid)
      .where("key_hash", "=", row.key_hash)
      .where("sealed_reply", "=", row.sealed_reply)
      .executeTakeFirstOrThrow();
    moved += Number(numUpdatedRows);
  }
  return moved;
}

function replyContext(orgUid: string, principalUid: string, keyHash: string): SealContext {
  return { orgUid, recordUid: `${principalUid}/${keyHash}`, column: "sealed_reply" };
}
