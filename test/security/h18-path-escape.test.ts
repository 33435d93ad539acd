/**
 * Weakness H18: dot segments. `/v1/proxy/../../admin` on a service with base path `/base` reached the upstream as
 * `/base/../../admin`, which is `/admin`. No spelling of a dot segment leaves the gateway, neither from under a base
 * path nor past the paths that a service or key allows.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Stage, startStage } from "../support/stage.ts";

let stage: Stage;
beforeAll(async () => void (stage = await startStage()));
afterAll(() => stage[Symbol.asyncDispose]());
beforeEach(() => void (stage.upstream.received.length = 0));

const ESCAPES = [
  "/..",
  "/../admin",
  "/a/../../admin",
  "/./admin",
  "/%2e%2e/admin",
  "/.%2e/admin",
  "/%2E./admin",
  "/%252e%252e/admin",
  "/%25252e%25252e/admin",
  "/..%2fadmin",
  "/..%252fadmin",
  "/a%2f..%2fadmin",
  "/..%5cadmin",
  "/..\\admin",
  "/a\\..\\admin",
  "/..;/admin",
  "/..;x=1/admin",
  "/%2e%2e%3b/admin",
  "/a/..%00/admin",
  "/%00../admin",
  "/..#/admin",
];

describe.each(["/v1/proxy", "/v1/services/SERVICE/proxy"])("below %s", (mount) => {
  it.each(ESCAPES)("%s is refused before the key is even looked at", async (path) => {
    const key = await stage.key({ paths: ["/**"] }, { maxUses: 1 }, { basePath: "/base" });
    const target = mount.replace("SERVICE", key.service.id) + path;
    const answer = await stage.raw(`GET ${target}`, [`Authorization: Bearer ${key.secret}`]);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(stage.upstream.received).toEqual([]);
    // Not even its one use was spent.
    expect((await stage.echo(key, "GET /v1/proxy/x")).url).toBe("/base/x");
  });
});

it("what only looks like one passes as it was sent", async () => {
  const key = await stage.key({}, {}, { basePath: "/base" });
  for (const path of [
    "/...",
    "/..a",
    "/a..",
    "/a..b/c",
    "/.well-known/x",
    "/a%2Fb",
    "/%2e%2e%2e",
    "/file.txt",
    "/a;b=..c",
  ]) {
    expect((await stage.echo(key, `GET /v1/proxy${path}`)).url).toBe(`/base${path}`);
  }
});

it("allow rules are not passed by any spelling of another path", async () => {
  const key = await stage.key({ paths: ["/public/**", "/exact"] }, {}, { basePath: "/base" });
  for (const path of [
    "/admin",
    "//public/x",
    "/PUBLIC/x",
    "/publi%63/x",
    "/exact/",
    "/exact/more",
    "/exact%2Fmore",
    "/public",
    "",
  ]) {
    const answer = await stage.raw(`GET /v1/proxy${path}`, [`Authorization: Bearer ${key.secret}`]);
    expect(answer, path).toContain('"code":"key.not_granted"');
  }
  expect(stage.upstream.received).toEqual([]);
  expect((await stage.echo(key, "GET /v1/proxy/public/x?y=/../z")).url).toBe("/base/public/x?y=/../z");
});
