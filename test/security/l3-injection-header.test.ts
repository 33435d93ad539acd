/**
 * The attack: name a header that frames or routes the request (`Host`, `Connection`, `Content-Length`, one of our
 * own) as the place of the credential, or write `authorization` in lower case and have the secret sent without
 * `Bearer`.
 *
 * What holds: such names are refused in every spelling, and `Authorization` means a bearer token in any.
 */
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { isInjectableHeader } from "../../src/services/rules.ts";
import { type ResourceApi, startResourceApi } from "../support/resource-api.ts";

const FORBIDDEN = [
  "Host",
  "Connection",
  "Content-Length",
  "Transfer-Encoding",
  "TE",
  "Trailer",
  "Upgrade",
  "Keep-Alive",
  "Expect",
  "Proxy-Authorization",
  "Proxy-Connection",
  "X-Bifrost-Key-ID",
  "X-Bifrost-Agent-ID",
  "X-Bifrost-Anything",
];

let api: ResourceApi;
beforeAll(async () => {
  api = await startResourceApi();
});
afterAll(() => api.close());

it.each(FORBIDDEN)("refuses %s in both forms, however it is written", async (name) => {
  for (const spelling of [name, name.toLowerCase(), name.toUpperCase()]) {
    for (const form of [{ credential_header: spelling }, { injection: { type: "header", name: spelling } }]) {
      const body = { id: "svc", endpoint: "https://api.example.com", ...form };
      const answer = await api.call("POST", "/v1/services", { as: api.owner.token, body });
      expect([answer.status, answer.body.code], spelling).toEqual([400, "request.invalid"]);
    }
  }
});

it.each(["Authorization", "authorization", "AUTHORIZATION", "aUTHORIZATION"])("reads %s as bearer", async (name) => {
  const body = { id: `svc-${Math.random()}`, endpoint: "https://api.example.com", credential_header: name };
  const answer = await api.call("POST", "/v1/services", { as: api.owner.token, body });
  expect(answer.body.injection).toEqual({ type: "bearer" });
});

it("takes only what can stand as a header's name on the wire", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 80 }), (name) => {
      if (!isInjectableHeader(name)) return;
      expect(name).toMatch(/^[\x21-\x7e]{1,64}$/);
      expect(name).not.toMatch(/[\s:"(),/;<=>?@[\\\]{}]/);
      expect(() => new Headers({ [name]: "v" })).not.toThrow();
    }),
    { numRuns: 2_000 },
  );
});
