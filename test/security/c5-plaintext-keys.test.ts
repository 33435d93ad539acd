/**
 * The attack: read the database (a backup, an injection, a replica) and use what is in it. Where a key's id is its
 * secret, or secrets are stored as they are, every key in it works.
 *
 * What holds: ids are public and useless; of secrets there are keyed hashes and sealed values only; a caller cannot
 * choose a secret.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Database } from "../../src/storage/schema.ts";
import { createKeyStore } from "../../src/keys/store.ts";
import { createKeyring } from "../../src/vault/keyring.ts";
import { type ResourceApi, startResourceApi } from "../support/resource-api.ts";

let api: ResourceApi;
let as: string;
const secrets: string[] = [];
beforeAll(async () => {
  api = await startResourceApi();
  as = api.owner.token;
  secrets.push("sk-real-secret-0123456789", api.owner.apiKey, api.owner.token);
  await api.call("POST", "/v1/rootkeys", { as, body: { id: "root", api_key: "sk-real-secret-0123456789" } });
  const service = { id: "svc", endpoint: "https://api.example.com", root_key_id: "root" };
  await api.call("POST", "/v1/services", { as, body: service });
  const key = { id: "vk-1", target: "svc" };
  const headers = { "idempotency-key": "stored-reply" };
  const made = await api.call("POST", "/v1/keys", { as, body: key, headers });
  const rotated = await api.call("POST", "/v1/keys/vk-1/rotate", { as });
  secrets.push(made.body.virtual_key, rotated.body.virtual_key, (await api.addServiceAccount()).apiKey);
});
afterAll(() => api.close());

it("keeps no secret as it is in any table", async () => {
  const tables = await api.db.introspection.getTables();
  let rows = 0;
  for (const { name } of tables) {
    const content = await api.db
      .selectFrom(name as keyof Database)
      .selectAll()
      .execute();
    rows += content.length;
    const text = JSON.stringify(content);
    for (const secret of secrets) expect(text.includes(secret), `${name} holds ${secret.slice(0, 4)}…`).toBe(false);
  }
  expect(rows).toBeGreaterThan(10);
});

it("does not take an id for a secret", async () => {
  const keys = createKeyStore(api.db);
  const key = await keys.findById(api.defaultOrg.uid, "vk-1");
  for (const known of ["vk-1", key?.uid ?? "", key?.hint ?? "", key?.secretHash ?? ""]) {
    expect(await keys.findBySecretHash(api.keyring.hashSecret(known), api.clock.now())).toBeNull();
  }
});

it("hashes under a key: without the master key the hash of a known secret is not the stored one", () => {
  const other = createKeyring([Buffer.alloc(32, 7)]);
  for (const secret of secrets) expect(other.hashSecret(secret)).not.toBe(api.keyring.hashSecret(secret));
});
