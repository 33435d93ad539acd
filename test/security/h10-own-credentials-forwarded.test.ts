/**
 * Weakness H10: own credentials forwarded. A client's session, cookie or virtual key that reaches the upstream can
 * be replayed there against the gateway. Whatever opens the gateway, or could, ends at the gateway.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { newSecret } from "../../src/core/secret.ts";
import { REAL_SECRET } from "../support/proxy-gateway.ts";
import { type Stage, startStage } from "../support/stage.ts";

let stage: Stage;
beforeAll(async () => void (stage = await startStage()));
afterAll(() => stage[Symbol.asyncDispose]());

it.each([
  "Authorization: Bearer SECRET",
  "Cookie: bifrost_session=SECRET",
  "Cookie2: SECRET",
  "X-API-Key: SECRET",
  "API-Key: SECRET",
  "X-Goog-Api-Key: SECRET",
  "X-Service-Key: SECRET",
  "X-Org-ID: SECRET",
  "X-Agent-ID: SECRET",
  "Proxy-Authorization: Basic SECRET",
  "x_api_key: SECRET",
  "x.api.key: SECRET",
])("%s beside the virtual key never reaches the upstream", async (header) => {
  const key = await stage.key();
  const mine = newSecret("bfu");
  const answer = await stage.raw("GET /v1/proxy/x", [`X-Virtual-Key: ${key.secret}`, header.replace("SECRET", mine)]);
  expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  const seen = stage.upstream.received.at(-1);
  expect(seen?.rawHeaders.join("\n")).not.toContain(mine);
  expect(seen?.rawHeaders.join("\n")).not.toContain(key.secret);
  expect(seen?.headers.authorization).toBe(`Bearer ${REAL_SECRET}`);
});

it("the same key in every place where one may be presented reaches the upstream in none", async () => {
  const key = await stage.key();
  const places = ["Authorization: Bearer ", "X-Virtual-Key: ", "X-API-Key: ", "API-Key: ", "X-Goog-Api-Key: "];
  await stage.raw(
    `GET /v1/proxy/x?a=1&bifrost_key=${key.secret}&b=2`,
    places.map((place) => place + key.secret),
  );
  const seen = stage.upstream.received.at(-1);
  expect(seen?.url).toBe("/x?a=1&b=2");
  expect(seen?.rawHeaders.join("\n")).not.toContain(key.secret);
});

it("a client's own credential for the upstream does not travel beside the injected one, whatever its header", async () => {
  const key = await stage.key({ injection: { kind: "header", name: "X-Token", prefix: "", template: null } });
  for (const header of ["X-Token: mine", "x-token: mine", "X_Token: mine"]) {
    await stage.raw("GET /v1/proxy/x", [`Authorization: Bearer ${key.secret}`, header]);
    const seen = stage.upstream.received.at(-1);
    expect(seen?.headers["x-token"]).toBe(REAL_SECRET);
    expect(seen?.rawHeaders.join("\n")).not.toContain("mine");
  }
});
