/**
 * Weakness M15: a client's `X-Forwarded-For` was believed and extended: anyone can be anywhere, and third parties
 * learn the addresses of the inside. What a client claims ends at the gateway; the gateway's own knowledge is sent only
 * where a service asks for it.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Stage, startStage } from "../support/stage.ts";

let stage: Stage;
beforeAll(async () => void (stage = await startStage({ failuresPerMinute: 3 })));
afterAll(() => stage[Symbol.asyncDispose]());

const CLAIMS = [
  "X-Forwarded-For: 203.0.113.7",
  "X_Forwarded_For: 203.0.113.7",
  "X-Forwarded-Host: 203.0.113.7",
  "X-Forwarded-Proto: 203.0.113.7",
  "X-Forwarded-Anything: 203.0.113.7",
  "Forwarded: for=203.0.113.7",
  "X-Real-IP: 203.0.113.7",
  "X-Client-IP: 203.0.113.7",
  "True-Client-IP: 203.0.113.7",
  "CF-Connecting-IP: 203.0.113.7",
  "X-Cluster-Client-IP: 203.0.113.7",
  "Via: 1.1 203.0.113.7",
];

it("no claim of the client about where it comes from reaches the upstream, and nothing of the gateway's", async () => {
  const key = await stage.key();
  const { headers } = await stage.echo(key, "GET /v1/proxy/x", CLAIMS);
  expect(JSON.stringify(headers)).not.toContain("203.0.113.7");
  expect(Object.keys(headers).filter((name) => /forward|ip$|via/.test(name))).toEqual([]);
});

it("a service that asks gets what the gateway saw, not what the client says", async () => {
  const key = await stage.key({ forwardClientAddress: true });
  const { headers } = await stage.echo(key, "GET /v1/proxy/x", CLAIMS);
  expect(headers).toMatchObject({
    "x-forwarded-for": "127.0.0.1",
    "x-forwarded-host": "gateway.test",
    "x-forwarded-proto": "http",
  });
  expect(JSON.stringify(headers)).not.toContain("203.0.113.7");
});

it("a claimed address does not get a guesser around the throttle", async () => {
  for (let attempt = 0; attempt < 3; attempt++) {
    const answer = await stage.raw("GET /v1/proxy/x", [
      "X-Virtual-Key: guess",
      `X-Forwarded-For: 198.51.100.${attempt}`,
    ]);
    expect(answer).toContain('"code":"key.invalid"');
  }
  const answer = await stage.raw("GET /v1/proxy/x", ["X-Virtual-Key: guess", "X-Forwarded-For: 198.51.100.99"]);
  expect(answer).toContain('"code":"auth.throttled"');
});
