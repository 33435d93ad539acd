// Attack: an allow-list that means more than it says. A comma-joined text turned [""] into "all services",
// "a,b" into two entries, and an absent list into everything.
import { afterAll, beforeAll, expect, it } from "vitest";
import { startManagement, type TestManagement, type TestUser } from "../support/management.ts";
import { seedService } from "../support/resources.ts";

let gateway: TestManagement;
let owner: TestUser;
beforeAll(async () => {
  gateway = await startManagement();
  owner = await gateway.setUp();
  await seedService(gateway.db, gateway.defaultOrg.uid, { id: "weather" });
  await seedService(gateway.db, gateway.defaultOrg.uid, { id: "billing" });
});
afterAll(() => gateway.close());

const make = (allowed_services?: unknown) =>
  gateway.call("POST", "/v1/serviceaccounts", { as: owner.token, body: { name: "CI", allowed_services } });
const tokenFor = (key: string, service: string) =>
  gateway.call("POST", "/v1/service-token", { headers: { "x-service-key": key }, body: { service } });

it.each([[undefined], [[]]])("%s is no service at all", async (allowed) => {
  const { status, body } = await make(allowed);
  expect([status, body.allowed_services, body.max_scope]).toEqual([201, [], "read"]);
  const answer = await tokenFor(body.api_key, "weather");
  expect([answer.status, answer.body.error]).toEqual([403, "service not allowed for this service account"]);
});

it.each([[[""]], [["weather,billing"]], [["*", "weather"]], [["weather", "*"]], ["*"], [["we*"]], [[null]], [{}]])(
  "%j is refused and writes nothing",
  async (allowed) => {
    const before = await gateway.db.selectFrom("service_accounts").select("uid").execute();
    expect((await make(allowed)).status).toBe(400);
    expect(await gateway.db.selectFrom("service_accounts").select("uid").execute()).toEqual(before);
  },
);

it("an unknown service is refused by name", async () => {
  const answer = await make(["weather", "wheather"]);
  expect(answer.body).toMatchObject({ code: "service.not_found", fields: [{ path: "allowed_services.1" }] });
});

it("a list allows what it names and no more; the same answer for what is not there", async () => {
  const { body } = await make(["weather"]);
  expect((await tokenFor(body.api_key, "weather")).status).toBe(200);
  const other = await tokenFor(body.api_key, "billing");
  const absent = await tokenFor(body.api_key, "nothing");
  expect([other.status, other.body.error]).toEqual([absent.status, absent.body.error]);
  expect(other.status).toBe(403);
});

it("only the explicit wildcard is every service, also later ones", async () => {
  const { body } = await make(["*"]);
  await seedService(gateway.db, gateway.defaultOrg.uid, { id: "later" });
  expect((await tokenFor(body.api_key, "later")).status).toBe(200);
  expect((await tokenFor(body.api_key, "nothing")).status).toBe(404);
});

it("a service that was deleted and made again under its id is not allowed again", async () => {
  const old = await seedService(gateway.db, gateway.defaultOrg.uid, { id: "ephemeral" });
  const { body } = await make(["ephemeral"]);
  await gateway.db.deleteFrom("services").where("uid", "=", old.uid).execute();
  await seedService(gateway.db, gateway.defaultOrg.uid, { id: "ephemeral" });
  expect((await tokenFor(body.api_key, "ephemeral")).status).toBe(403);
});

it("ceilings bound what the account asks for, and defaults stay below them", async () => {
  const made = await gateway.call("POST", "/v1/serviceaccounts", {
    as: owner.token,
    body: { name: "CI", allowed_services: ["weather"], max_ttl_seconds: 600, max_rate_limit: 10 },
  });
  const ask = (more: object) =>
    gateway.call("POST", "/v1/service-token", {
      as: made.body.api_key,
      body: { service: "weather", ...more },
    });
  for (const above of [{ ttl_seconds: 601 }, { rate_limit: 11 }, { scope: "write" }]) {
    const answer = await ask(above);
    expect([answer.status, answer.body.code]).toEqual([403, "ceiling.exceeded"]);
  }
  const within = await ask({});
  expect(Date.parse(within.body.expires_at)).toBe(gateway.clock.now() + 600_000);
});
