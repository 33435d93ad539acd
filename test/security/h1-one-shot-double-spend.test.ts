/**
 * Weakness H1: one-shot double spend. Where the check and the write are two steps, parallel requests all pass the
 * check: with 1 ms of store latency, 20 of 20 did. Here the claim is one conditional update. (test/proxy/admission.test.ts
 * has the exact counts for every limit.)
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, it } from "vitest";
import { startStage } from "../support/stage.ts";

it("in twenty rounds of twenty parallel calls, with a slow store, a one-shot key never reaches the upstream twice", async () => {
  const slow = async () => {
    for (let turn = 0; turn < 10; turn++) await nextTurn();
  };
  await using stage = await startStage({
    keyStore: (store) => ({
      ...store,
      async findBySecretHash(hash, nowMs) {
        const found = await store.findBySecretHash(hash, nowMs);
        await slow();
        return found;
      },
      async claimUse(uid) {
        await slow();
        return store.claimUse(uid);
      },
    }),
  });
  for (let round = 1; round <= 20; round++) {
    const key = await stage.key({}, { maxUses: 1 });
    const calls = Array.from({ length: 20 }, () =>
      stage.raw("GET /v1/proxy/x", [`Authorization: Bearer ${key.secret}`]),
    );
    const answers = await Promise.all(calls);
    expect(answers.filter((answer) => answer.startsWith("HTTP/1.1 200 "))).toHaveLength(1);
    expect(answers.filter((answer) => answer.includes('"code":"key.used"'))).toHaveLength(19);
    expect(stage.upstream.received).toHaveLength(round);
  }
});
