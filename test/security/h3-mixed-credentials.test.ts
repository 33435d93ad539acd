// Attack: a request carries the API key of one user and the token of another. Each check looked at another
// one of the two, so the pair had the rights of both.
import { afterAll, beforeAll, expect, it } from "vitest";
import { newSecret } from "../../src/core/secret.ts";
import { startManagement, type TestManagement, type TestUser } from "../support/management.ts";

let gateway: TestManagement;
let owner: TestUser;
let member: TestUser;
let accountKey: string;
beforeAll(async () => {
  gateway = await startManagement();
  owner = await gateway.setUp();
  member = await gateway.addUser(owner.token, "member");
  const account = await gateway.call("POST", "/v1/serviceaccounts", { as: owner.token, body: { name: "CI" } });
  accountKey = account.body.api_key;
});
afterAll(() => gateway.close());

const both = (bearer: string, apiKey: string) =>
  gateway.call("GET", "/v1/user", { as: bearer, headers: { "x-api-key": apiKey } });

it("two credentials of one user are accepted", async () => {
  expect((await both(owner.token, owner.apiKey)).body.id).toBe(owner.id);
  expect((await both(owner.apiKey, owner.apiKey)).body.id).toBe(owner.id);
});

it("two credentials of different principals are refused, whichever is the stronger", async () => {
  const pairs: [string, string][] = [
    [owner.token, member.apiKey],
    [member.token, owner.apiKey],
    [owner.apiKey, member.apiKey],
    [owner.token, accountKey],
    [accountKey, owner.apiKey],
  ];
  for (const pair of pairs) {
    const answer = await both(...pair);
    expect([answer.status, answer.body.code]).toEqual([401, "auth.conflict"]);
  }
});

it("a valid credential does not carry an invalid one", async () => {
  for (const wrong of [newSecret("bfu"), newSecret("bft"), newSecret("bfk"), "nonsense"]) {
    expect((await both(owner.token, wrong)).status).toBe(401);
    expect((await both(wrong, owner.apiKey)).status).toBe(401);
  }
});

it("two sessions of one user are refused: which org is meant cannot be told", async () => {
  const second = await gateway.call("POST", "/v1/token", { as: owner.apiKey });
  const answer = await both(owner.token, second.body.token);
  expect([answer.status, answer.body.code]).toEqual([401, "auth.conflict"]);
});

it("the bare Authorization value and any case of Bearer are the same credential", async () => {
  for (const authorization of [owner.apiKey, `bearer ${owner.token}`, `BEARER  ${owner.token}`]) {
    expect((await gateway.call("GET", "/v1/user", { headers: { authorization } })).status).toBe(200);
  }
});
