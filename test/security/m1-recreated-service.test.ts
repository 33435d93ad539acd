/**
 * The attack: delete a service and register another one under its id. Keys that were issued for the first then
 * silently reach the second, with its credential.
 *
 * What holds: a key is granted the service's internal uid. Deleting a service with live keys is refused, or
 * revokes them with it; the new service of the same id has none of them.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createKeyStore } from "../../src/keys/store.ts";
import { engines } from "../support/engines.ts";
import { type ResourceApi, startResourceApi } from "../support/resource-api.ts";

describe.each(Object.entries(engines))("taking over keys with a service of the same id, on %s", (_engine, open) => {
  let api: ResourceApi;
  let as: string;
  beforeAll(async () => {
    api = await startResourceApi({ open });
    as = api.owner.token;
  });
  afterAll(() => api.close());

  it("leaves the keys of the first service dead, without a grant, for good", async () => {
    const service = { id: "target", endpoint: "https://first.example" };
    await api.call("POST", "/v1/services", { as, body: service });
    const live = await api.call("POST", "/v1/keys", { as, body: { id: "live", target: "target" } });
    await api.call("POST", "/v1/keys", { as, body: { id: "expired", target: "target", ttl_seconds: 1 } });
    api.clock.advance(2_000);

    expect((await api.call("DELETE", "/v1/services/target", { as })).status).toBe(409);
    expect((await api.call("DELETE", "/v1/services/target?cascade=true", { as })).status).toBe(204);
    const again = { ...service, endpoint: "https://second.example" };
    expect((await api.call("POST", "/v1/services", { as, body: again })).status).toBe(201);

    const hash = api.keyring.hashSecret(live.body.virtual_key);
    expect(await createKeyStore(api.db).findBySecretHash(hash, api.clock.now())).toMatchObject({
      revokedAtMs: api.clock.now(),
      grants: [],
    });
    expect((await api.call("GET", "/v1/keys?target=target", { as })).body).toEqual([]);
    for (const id of ["live", "expired"]) {
      const revived = await api.call("PUT", `/v1/keys/${id}`, { as, body: { ttl: "1h", target: "target" } });
      expect(revived.status).toBe(409);
    }
  });

  it("lets no key slip in between the check and the deletion", async () => {
    for (let round = 0; round < 5; round++) {
      const id = `raced-${round}`;
      await api.call("POST", "/v1/services", { as, body: { id, endpoint: "https://raced.example" } });
      const [deleted, ...issued] = await Promise.all([
        api.call("DELETE", `/v1/services/${id}`, { as }),
        ...Array.from({ length: 4 }, () => api.call("POST", "/v1/keys", { as, body: { target: id } })),
      ]);
      const isGone = (await api.call("GET", `/v1/services/${id}`, { as })).status === 404;
      expect([204, 409]).toContain(deleted?.status);
      expect(isGone).toBe(deleted?.status === 204);
      for (const { status } of issued) expect([201, 404]).toContain(status);
      if (isGone) expect(issued.some(({ status }) => status === 201)).toBe(false);
    }
  });
});
