/**
 * Weakness M11: a read key's GET with `X-HTTP-Method-Override: DELETE` is a DELETE to many frameworks. Headers that
 * ask an upstream to treat a request as another method or path than the one that policy has seen are not passed on.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Stage, startStage } from "../support/stage.ts";

let stage: Stage;
beforeAll(async () => void (stage = await startStage()));
afterAll(() => stage[Symbol.asyncDispose]());

it.each([
  "X-HTTP-Method-Override: DELETE",
  "x-http-method: DELETE",
  "X-Method-Override: DELETE",
  "X_HTTP_Method_Override: DELETE",
  "X-Original-URL: /admin",
  "X-Rewrite-URL: /admin",
  "X_Original_URL: /admin",
])("%s never reaches the upstream", async (header) => {
  const key = await stage.key({}, { scope: "read" });
  const { method, headers } = await stage.echo(key, "GET /v1/proxy/x", [header]);
  expect(method).toBe("GET");
  expect(Object.keys(headers).filter((name) => /method|url/.test(name))).toEqual([]);
});

it.each(["POST", "PUT", "PATCH", "DELETE"])("a read key's %s is refused", async (method) => {
  const key = await stage.key({}, { scope: "read" });
  const answer = await stage.raw(`${method} /v1/proxy/x`, [`Authorization: Bearer ${key.secret}`]);
  expect(answer).toMatch(/^HTTP\/1\.1 403 /);
  expect(answer).toContain('"code":"key.scope"');
});
