/**
 * Weakness H20: guessing keys was unlimited, and each guess cost two database reads. Guesses are throttled by
 * address, malformed ones never reach the database, and neither shuts out who holds a good key.
 */
import { afterEach, beforeEach, expect, it } from "vitest";
import { newSecret } from "../../src/core/secret.ts";
import { parseAnswer, type Stage, startStage } from "../support/stage.ts";

const FAILURES_PER_MINUTE = 5;
let stage: Stage;
let reads = 0;

beforeEach(async () => {
  reads = 0;
  stage = await startStage({
    failuresPerMinute: FAILURES_PER_MINUTE,
    keyStore: (store) => ({
      ...store,
      findBySecretHash(hash, nowMs) {
        reads += 1;
        return store.findBySecretHash(hash, nowMs);
      },
    }),
  });
});
afterEach(() => stage[Symbol.asyncDispose]());

const tryKey = async (secret: string) => parseAnswer(await stage.raw("GET /v1/proxy/x", [`X-Virtual-Key: ${secret}`]));
const codeOf = ({ body }: { body: string }) => (JSON.parse(body) as { code?: string }).code;

it("malformed keys never reach the database, and neither do keys of another kind", async () => {
  const typo = newSecret("bfk").replace(/.$/, (last) => (last === "0" ? "1" : "0"));
  for (const guess of ["guess", typo, newSecret("bfu"), newSecret("bfs"), `bfk_${"0".repeat(39)}`]) {
    expect(codeOf(await tryKey(guess))).toBe("key.invalid");
  }
  expect(reads).toBe(0);
});

it("after some failures an address is refused with Retry-After, and its guesses cost no more reads", async () => {
  for (let i = 0; i < FAILURES_PER_MINUTE; i++) expect(codeOf(await tryKey(newSecret("bfk")))).toBe("key.invalid");
  const readsBefore = reads;
  const refused = await tryKey(newSecret("bfk"));
  expect(refused.status).toBe(429);
  expect(codeOf(refused)).toBe("auth.throttled");
  expect(Number(refused.headers["retry-after"])).toBeGreaterThan(0);
  expect(reads).toBe(readsBefore);
});

it("a malformed guess and a well-formed one answer alike, so neither tells whether a key exists", async () => {
  const answers = await Promise.all([tryKey("guess"), tryKey(newSecret("bfk"))]);
  const [malformed, unknown] = answers.map(({ status, headers, body }) => {
    const { request_id: _, ...rest } = JSON.parse(body) as Record<string, unknown>;
    return { status, challenge: headers["www-authenticate"], rest };
  });
  expect(malformed).toEqual(unknown);
  expect(malformed?.status).toBe(401);
});

it("a good key that is in use works on behind the address of a guesser, though not for the guesser", async () => {
  const key = await stage.key();
  await stage.echo(key, "GET /v1/proxy/x");
  for (let i = 0; i < FAILURES_PER_MINUTE; i++) await tryKey("guess");
  expect(codeOf(await tryKey("guess"))).toBe("auth.throttled");
  await stage.echo(key, "GET /v1/proxy/x");
});

it("genuine keys that no longer work are no guesses: they do not throttle the address", async () => {
  const key = await stage.key();
  await stage.gateway.revoke(key.uid);
  for (let i = 0; i < 3 * FAILURES_PER_MINUTE; i++) expect(codeOf(await tryKey(key.secret))).toBe("key.revoked");
});

it("a burst of requests with one good key that nobody has seen yet costs one read and refuses none", async () => {
  const key = await stage.key();
  const headers = { "x-virtual-key": key.secret };
  const calls = Array.from({ length: 700 }, async () => {
    const response = await fetch(`${stage.gateway.url}/v1/proxy/x`, { headers });
    await response.arrayBuffer();
    return response.status;
  });
  expect(new Set(await Promise.all(calls))).toEqual(new Set([200]));
  expect(reads).toBe(1);
});
