/**
 * The attack (or accident): `PUT /v1/rootkeys/{id}` with `{}` or an empty `api_key` wipes the secret with a 204, and
 * nothing can bring it back.
 *
 * What holds: a PUT needs a secret, and the last ones can be restored.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { revealCredential } from "../../src/credentials/reveal.ts";
import { createCredentialStore } from "../../src/credentials/store.ts";
import { type ResourceApi, startResourceApi } from "../support/resource-api.ts";

const SECRET = "sk-precious-0123456789";
let api: ResourceApi;
let as: string;
beforeAll(async () => {
  api = await startResourceApi();
  as = api.owner.token;
  await api.call("POST", "/v1/rootkeys", { as, body: { id: "precious", api_key: SECRET } });
});
afterAll(() => api.close());

async function current(): Promise<string> {
  const credentials = createCredentialStore(api.db);
  const { uid } = await api.db.selectFrom("credentials").select("uid").executeTakeFirstOrThrow();
  return (await revealCredential({ credentials, keyring: api.keyring }, uid)).secret;
}

it.each([
  {},
  { api_key: "" },
  { api_key: null },
  { api_key: "   " },
  { id: "precious" },
  { origins: [] },
  [],
  null,
  "",
])("keeps the secret when a PUT brings %j", async (body) => {
  const answer = await api.call("PUT", "/v1/rootkeys/precious", { as, body });
  expect([answer.status, answer.body.code]).toEqual([400, "request.invalid"]);
  expect(await current()).toBe(SECRET);
});

it("restores a secret that was overwritten", async () => {
  await api.call("PUT", "/v1/rootkeys/precious", { as, body: { api_key: "a-mistake" } });
  expect(await current()).toBe("a-mistake");
  expect((await api.call("POST", "/v1/rootkeys/precious/rollback", { as })).status).toBe(200);
  expect(await current()).toBe(SECRET);
});
