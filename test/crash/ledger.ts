import { expect } from "vitest";
import type { Caller } from "../support/management.ts";

export interface IssuedKey {
  readonly id: string;
  readonly secret: string;
  readonly oneShot: boolean;
  /** Set before the request is sent: from here on the key may or may not be revoked. */
  revoking: boolean;
  /** The gateway said so. */
  revoked: boolean;
  /** Set before the request is sent: from here on the use may or may not be spent. */
  calling: boolean;
  /** How many calls a client got the upstream's answer to. */
  answered: number;
}

/** What the gateway has acknowledged so far, and may never forget. Outlives every kill. */
export interface Ledger {
  readonly keys: IssuedKey[];
  acknowledged: number;
  /** Replies that are wrong at any time, such as a refusal of a good request while the gateway lives. */
  readonly surprises: string[];
}

export function createLedger(): Ledger {
  return { keys: [], acknowledged: 0, surprises: [] };
}

/** A gateway under test: what its clients need of it. */
export interface Target {
  readonly url: string;
  readonly call: Caller;
  readonly ownerKey: string;
}

/**
 * Clients that issue, revoke and use keys, in parallel, until the gateway is gone. A request that fails for
 * want of a connection has no answer: it acknowledges nothing and may have happened or not.
 *
 * @param onAcknowledged called after each fact; the caller kills when it likes
 */
export async function load(target: Target, ledger: Ledger, clients: number, onAcknowledged: () => void): Promise<void> {
  let gone = false;
  const acknowledge = () => {
    ledger.acknowledged += 1;
    onAcknowledged();
  };
  const attempt = async <T>(work: () => Promise<T>): Promise<T | null> => {
    try {
      return await work();
    } catch {
      gone = true;
      return null;
    }
  };
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      for (let turn = client; !gone && ledger.surprises.length === 0; turn += 1) {
        const oneShot = turn % 2 === 0;
        const key = await attempt(() => issue(target, ledger, oneShot));
        if (!key) continue;
        acknowledge();
        if (oneShot) {
          // Two at once: the race for the one use, then the kill.
          key.calling = true;
          await Promise.all([1, 2].map(() => attempt(async () => use(target, ledger, key).then(acknowledge))));
        } else if (turn % 4 === 1) {
          key.revoking = true;
          await attempt(async () => {
            const { status } = await target.call("DELETE", `/v1/keys/${key.id}`, { as: target.ownerKey });
            if (status === 204) key.revoked = true;
            else ledger.surprises.push(`revoking answered ${status}`);
            acknowledge();
          });
        }
      }
    }),
  );
}

async function issue(target: Target, ledger: Ledger, oneShot: boolean): Promise<IssuedKey | null> {
  const answer = await target.call("POST", "/v1/keys", {
    as: target.ownerKey,
    body: { target: "counted", scope: "write", ttl: "1h", one_shot: oneShot },
  });
  if (answer.status !== 201) {
    ledger.surprises.push(`issuing answered ${answer.status} ${JSON.stringify(answer.body)}`);
    return null;
  }
  const key: IssuedKey = {
    id: answer.body.id,
    secret: answer.body.virtual_key,
    oneShot,
    revoking: false,
    revoked: false,
    calling: false,
    answered: 0,
  };
  ledger.keys.push(key);
  return key;
}

async function use(target: Target, ledger: Ledger, key: IssuedKey): Promise<void> {
  const { status, body } = await present(target, key);
  if (status === 200) key.answered += 1;
  else if (body.code !== "key.used") ledger.surprises.push(`a one-shot call answered ${status} ${body.code}`);
}

function present(target: Target, key: IssuedKey) {
  return target.call("POST", `/v1/proxy/${key.id}`, { as: key.secret, body: {} });
}

/** Presents every key to the gateway that started after the kill, and compares with what was acknowledged. */
export async function checkLedger(
  target: Target,
  ledger: Ledger,
  upstreamCalls: ReadonlyMap<string, number>,
): Promise<void> {
  expect(ledger.surprises).toEqual([]);
  for (const key of ledger.keys) {
    const before = upstreamCalls.get(key.id) ?? 0;
    const { status, body } = await present(target, key);
    const got = `${status} ${body.code ?? "admitted"}`;
    const fact = `${key.oneShot ? "one-shot" : "plain"} key ${JSON.stringify({ ...key, secret: undefined, before })}`;
    if (key.revoked) expect(got, fact).toBe("401 key.revoked");
    else if (key.oneShot && (before > 0 || key.answered > 0)) expect(got, fact).toMatch(/^40[13] key\.used$/);
    else if (key.oneShot && key.calling) expect(got, fact).toMatch(/^200 admitted$|^40[13] key\.used$/);
    else if (key.revoking) expect(got, fact).toMatch(/^200 admitted$|^401 key\.revoked$/);
    else expect(got, fact).toBe("200 admitted");

    if (!key.oneShot) continue;
    expect(upstreamCalls.get(key.id) ?? 0, fact).toBeLessThanOrEqual(1);
    // Whatever it was before, from here on it is spent.
    if (status === 200) Object.assign(key, { calling: true, answered: key.answered + 1 });
  }
}
