import type { Clock } from "../core/clock.ts";
import { GatewayError } from "../core/errors.ts";
import { limitError } from "../limits/rate-headers.ts";
import type { Limits, LimitVerdict } from "../limits/types.ts";
import { usable } from "./authenticate.ts";
import type { KeyCache, LiveKey } from "./key-cache.ts";

export interface AdmitDeps {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly keys: KeyCache;
  /** Takes one use of a key with `maxUses`: one conditional update, durable before it resolves. False when none is left, or the key is revoked. */
  claimUse(keyUid: string): Promise<boolean>;
}

/** What an admitted request holds until it ends. */
export type Admission = Extract<LimitVerdict, { admitted: true }>;

/**
 * Takes one request from the key: a place in its rate window and its concurrency, then, for keys with a
 * number of uses, one use. Synchronous for a key without uses on one instance.
 *
 * A use is spent at admission, before the upstream is contacted: whatever the upstream answers, a one-shot
 * key is used up, and of any number of parallel requests exactly one is admitted. A refused request takes
 * nothing. Fails closed: if a use cannot be recorded, the request is refused.
 *
 * @throws GatewayError `limit.rate`, `limit.concurrency`, `limit.unavailable`, `key.used`, `key.revoked`, `key.expired`
 */
export function admit(live: LiveKey, deps: AdmitDeps): Admission | Promise<Admission> {
  const { key } = live;
  const verdict = deps.limits.take({ keyUid: key.uid, rateLimit: key.rateLimit, maxConcurrency: key.maxConcurrency });
  if (verdict instanceof Promise || key.maxUses !== null) return admitLater(live, verdict, deps);
  return accepted(verdict, key.rateLimit);
}

/**
 * Takes a place in the key's rate window and concurrency, and no use: for what only prepares a use.
 *
 * @throws GatewayError `limit.rate`, `limit.concurrency`, `limit.unavailable`
 */
export function admitWithoutUse(
  { key }: LiveKey,
  { limits }: Pick<AdmitDeps, "limits">,
): Admission | Promise<Admission> {
  const verdict = limits.take({ keyUid: key.uid, rateLimit: key.rateLimit, maxConcurrency: key.maxConcurrency });
  if (verdict instanceof Promise) return verdict.then((later) => accepted(later, key.rateLimit));
  return accepted(verdict, key.rateLimit);
}

async function admitLater(
  live: LiveKey,
  pending: LimitVerdict | Promise<LimitVerdict>,
  deps: AdmitDeps,
): Promise<Admission> {
  const admission = accepted(await pending, live.key.rateLimit);
  try {
    if (live.key.maxUses !== null && !(await deps.claimUse(live.key.uid))) {
      throw await whyNoUse(live, deps);
    }
    // Time has passed since authentication, and with it perhaps the key.
    const current = deps.keys.peek(live.presentedHash) ?? (await deps.keys.load(live.presentedHash));
    if (!current) throw new GatewayError("key.revoked");
    usable(current, deps.clock.now());
    return admission;
  } catch (refusal) {
    admission.undo();
    throw refusal;
  }
}

/** The claim says only no. The holder of the secret may know whether the key was spent or revoked. */
async function whyNoUse(live: LiveKey, deps: AdmitDeps): Promise<GatewayError> {
  const current = await deps.keys.load(live.presentedHash);
  return new GatewayError(current === null || current.key.revokedAtMs !== null ? "key.revoked" : "key.used");
}

function accepted(verdict: LimitVerdict, rateLimit: number): Admission {
  if (verdict.admitted) return verdict;
  throw limitError(rateLimit, verdict);
}
