/**
 * The attack: send `source`, `used`, `owner` and other fields that the gateway owns along with a new key, so that
 * the key passes for another agent's, is never spent, or belongs to someone else.
 *
 * What holds: they are unknown keys, refused by name; nothing is written.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { type ResourceApi, startResourceApi } from "../support/resource-api.ts";

let api: ResourceApi;
let as: string;
beforeAll(async () => {
  api = await startResourceApi();
  as = api.owner.token;
  await api.call("POST", "/v1/services", { as, body: { id: "svc", endpoint: "https://api.example.com" } });
  await api.call("POST", "/v1/keys", { as, body: { id: "mine", target: "svc", one_shot: true } });
});
afterAll(() => api.close());

const FORGED: Record<string, unknown> = {
  source: "mcp",
  used: false,
  uses: 0,
  owner: { kind: "user", id: "usr_admin" },
  owner_uid: "usr_admin",
  org_uid: "org_other",
  secret: "bfk_chosen",
  secret_hash: "chosen",
  virtual_key: "bfk_chosen",
  status: "active",
  revoked_at: null,
  token_budget: -1,
};

it.each(Object.entries(FORGED))("refuses %s, on creation and on change", async (field, value) => {
  const made = await api.call("POST", "/v1/keys", { as, body: { id: "forged", target: "svc", [field]: value } });
  expect([made.status, made.body.code]).toEqual([400, "request.invalid"]);
  expect(made.body.error).toContain(field);
  expect((await api.call("GET", "/v1/keys/forged", { as })).status).toBe(404);

  const before = (await api.call("GET", "/v1/keys/mine", { as })).body;
  const changed = await api.call("PUT", "/v1/keys/mine", { as, body: { name: "renamed", [field]: value } });
  expect(changed.status).toBe(400);
  expect((await api.call("GET", "/v1/keys/mine", { as })).body).toEqual(before);
});
