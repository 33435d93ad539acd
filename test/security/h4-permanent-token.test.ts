// Attack: refresh a token with a life of a hundred years, or for ever, or after its user was removed: one
// stolen token was access for good. Nothing could revoke it.
import { afterEach, beforeEach, expect, it } from "vitest";
import { startManagement, type TestManagement, type TestUser } from "../support/management.ts";

const HOUR = 3_600_000;
let gateway: TestManagement;
let owner: TestUser;
beforeEach(async () => {
  gateway = await startManagement();
  owner = await gateway.setUp();
});
afterEach(() => gateway.close());

const works = async (as: string) => (await gateway.call("GET", "/v1/user", { as })).status === 200;
const refresh = (as: string, body: unknown = {}) => gateway.call("POST", "/v1/token/refresh", { as, body });

it("no request gets a token that lives longer than the policy allows", async () => {
  for (const ttl of ["876000h", "25h", "2d"]) {
    for (const path of ["/v1/token", "/v1/token/refresh"]) {
      const as = path === "/v1/token" ? owner.apiKey : owner.token;
      const answer = await gateway.call("POST", path, { as, body: { ttl } });
      expect([answer.status, answer.body.fields?.[0]?.path], ttl).toEqual([400, "ttl"]);
    }
  }
  for (const ttl of ["0s", "-1h", "1", "soon", "1e9h"]) expect((await refresh(owner.token, { ttl })).status).toBe(400);
  expect(await works(owner.token)).toBe(true);
});

it("a token ends at its time", async () => {
  const { body } = await gateway.call("POST", "/v1/token", { as: owner.apiKey, body: { ttl: "1h" } });
  gateway.clock.advance(HOUR - 1);
  expect(await works(body.token)).toBe(true);
  gateway.clock.advance(1);
  expect(await works(body.token)).toBe(false);
  expect((await refresh(body.token)).status).toBe(401);
});

it("a chain of refreshes ends after 30 days, and log-in with a session does not start a new one", async () => {
  let { token } = owner;
  let refreshes = 0;
  for (;;) {
    gateway.clock.advance(23 * HOUR);
    const answer = await refresh(token);
    if (answer.status !== 200) break;
    token = answer.body.token;
    expect(Date.parse(answer.body.expires_at)).toBeLessThanOrEqual(1_700_000_000_000 + 30 * 24 * HOUR);
    refreshes += 1;
  }
  expect(refreshes).toBe(31);
  const other = (await gateway.call("POST", "/v1/token", { as: owner.apiKey })).body.token;
  expect((await gateway.call("POST", "/v1/token", { as: other })).status).toBe(403);
});

it("the refreshed token is void at once, and one of many parallel refreshes wins", async () => {
  const answers = await Promise.all(Array.from({ length: 10 }, () => refresh(owner.token)));
  const won = answers.filter((answer) => answer.status === 200);
  expect(won).toHaveLength(1);
  expect(answers.filter((answer) => answer.status === 401)).toHaveLength(9);
  expect(await works(owner.token)).toBe(false);
  expect(await works(won[0]?.body.token)).toBe(true);
});

it("log-out, a rotated API key and the deletion of the user end tokens at once", async () => {
  const user = await gateway.addUser(owner.token, "member");
  const second = (await gateway.call("POST", "/v1/token", { as: user.apiKey })).body.token;
  expect((await gateway.call("DELETE", "/v1/token", { as: second })).status).toBe(204);
  expect(await works(second)).toBe(false);
  expect(await works(user.token)).toBe(true);

  const rotated = await gateway.call("POST", `/v1/users/${user.id}/rotate-key`, { as: owner.token });
  expect(rotated.status).toBe(200);
  expect(await works(user.token)).toBe(false);
  expect(await works(user.apiKey)).toBe(false);

  const token = (await gateway.call("POST", "/v1/token", { as: rotated.body.api_key })).body.token;
  expect((await gateway.call("DELETE", `/v1/users/${user.id}`, { as: owner.token })).status).toBe(204);
  expect(await works(token)).toBe(false);
  expect(await works(rotated.body.api_key)).toBe(false);
  expect((await refresh(token)).status).toBe(401);
});

it("an API key is not refreshed into a session", async () => {
  expect((await refresh(owner.apiKey)).status).toBe(401);
});
