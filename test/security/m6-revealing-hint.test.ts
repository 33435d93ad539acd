/**
 * The attack: the "hint" of a root key is its last four characters, so a secret of four or fewer is shown whole,
 * and of a short one too much.
 *
 * What holds: a hint is shown only where at least twelve characters stay unknown.
 */
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { hintOf } from "../../src/credentials/model.ts";
import { type ResourceApi, startResourceApi } from "../support/resource-api.ts";

let api: ResourceApi;
beforeAll(async () => {
  api = await startResourceApi();
});
afterAll(() => api.close());

it.each(["x", "abcd", "12345", "fifteen-chars-x"])("shows nothing of %s", async (secret) => {
  const as = api.owner.token;
  const id = `len-${secret.length}`;
  const made = await api.call("POST", "/v1/rootkeys", { as, body: { id, api_key: secret } });
  expect(made.body.key_hint).toBeNull();
  const shown = await api.call("GET", `/v1/rootkeys/${id}`, { as });
  expect([shown.body.key_hint, shown.body.versions[0].key_hint]).toEqual([null, null]);
});

it("never shows more than four characters, nor leaves fewer than twelve unknown", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 100 }), (secret) => {
      const hint = hintOf(secret);
      if (secret.length < 16) expect(hint).toBeNull();
      else expect([hint?.length, secret.length - (hint?.length ?? 0) >= 12]).toEqual([4, true]);
    }),
  );
});
