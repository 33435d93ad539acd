/**
 * Weakness H11, second half: TRACE is made to send the request back, credential included, and CONNECT turns a proxy
 * into a tunnel. Neither is forwarded, whatever a service or a key allows.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Stage, startStage } from "../support/stage.ts";

let stage: Stage;
beforeAll(async () => void (stage = await startStage()));
afterAll(() => stage[Symbol.asyncDispose]());

it.each(["TRACE"])("%s is refused even where the service lists it", async (method) => {
  const key = await stage.key({ methods: [method, "GET"] });
  const answer = await stage.raw(`${method} /v1/proxy/x`, [`Authorization: Bearer ${key.secret}`]);
  expect(answer).toMatch(/^HTTP\/1\.1 405 /);
  expect(answer).toMatch(/\r\nallow: GET, /i);
  expect(answer).toContain('"code":"request.method_not_allowed"');
  expect(answer).not.toContain(key.secret);
  expect(stage.upstream.received).toEqual([]);
});

it.each(["/v1/proxy/x", "169.254.169.254:80", "localhost:22"])("CONNECT %s opens no tunnel", async (target) => {
  const key = await stage.key();
  const answer = await stage.raw(`CONNECT ${target}`, [`Authorization: Bearer ${key.secret}`]);
  expect(answer).toMatch(/^HTTP\/1\.1 405 /);
  expect(answer).toMatch(/connection: close/i);
  expect(stage.upstream.received).toEqual([]);
});

it.each(["TRACK", "DEBUG", "get", "PURGE-ALL"])("the unknown method %s never reaches the upstream", async (method) => {
  const key = await stage.key();
  const answer = await stage.raw(`${method} /v1/proxy/x`, [`Authorization: Bearer ${key.secret}`]);
  expect(answer).toMatch(/^HTTP\/1\.1 (400|405) /);
  expect(stage.upstream.received).toEqual([]);
});
