/**
 * The attack: someone who may register services points one at their own server, names another's root key, issues
 * a key and calls the proxy. The real secret arrives at their server. Variants: moving a registered service,
 * widening the root key's origins without knowing the secret, and rolling back after widening with a made-up one.
 *
 * What holds: a secret goes only to origins that someone who entered it named.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { engines } from "../support/engines.ts";
import { type ResourceApi, startResourceApi } from "../support/resource-api.ts";

const HOME = "https://api.example.com";
const EVIL = "https://evil.example";
let nextId = 0;

describe.each(Object.entries(engines))("stealing a root key by moving its service, on %s", (_engine, open) => {
  let api: ResourceApi;
  let as: string;
  let rootKey: string;
  let service: string;
  beforeAll(async () => {
    api = await startResourceApi({ open });
    as = api.owner.token;
  });
  afterAll(() => api.close());
  beforeEach(async () => {
    nextId += 1;
    rootKey = `root-${nextId}`;
    service = `service-${nextId}`;
    const secret = { id: rootKey, api_key: "sk-the-real-secret-0123", origins: [HOME] };
    expect((await api.call("POST", "/v1/rootkeys", { as, body: secret })).status).toBe(201);
    const body = { id: service, endpoint: `${HOME}/v1`, root_key_id: rootKey };
    expect((await api.call("POST", "/v1/services", { as, body })).status).toBe(201);
  });
  const originOf = async () => {
    const { body } = await api.call("GET", `/v1/services/${service}`, { as });
    return new URL(body.endpoint).origin;
  };

  it.each([
    EVIL,
    "http://api.example.com",
    "https://api.example.com:8443",
    "https://api.example.com.evil.example",
    "https://evil.example/api.example.com",
  ])("refuses a new service at %s with the root key", async (endpoint) => {
    const body = { id: `${service}-thief`, endpoint, root_key_id: rootKey };
    const answer = await api.call("POST", "/v1/services", { as, body });
    expect([answer.status, answer.body.code]).toEqual([422, "credential.origin_not_allowed"]);
    expect((await api.call("GET", `/v1/services/${service}-thief`, { as })).status).toBe(404);
  });

  it("refuses to move the service while it keeps the root key", async () => {
    const body = { endpoint: EVIL, root_key_id: rootKey };
    const answer = await api.call("PUT", `/v1/services/${service}`, { as, body });
    expect([answer.status, answer.body.code]).toEqual([422, "credential.origin_not_allowed"]);
    expect(await originOf()).toBe(HOME);
  });

  it("moves it without the root key, and then does not give the root key back", async () => {
    const moved = await api.call("PUT", `/v1/services/${service}`, { as, body: { endpoint: EVIL } });
    expect([moved.status, moved.body.root_key_id]).toEqual([200, ""]);
    const body = { endpoint: EVIL, root_key_id: rootKey };
    expect((await api.call("PUT", `/v1/services/${service}`, { as, body })).status).toBe(422);
  });

  it("does not widen the origins without the secret, and a made-up one replaces what could be stolen", async () => {
    const widen = { origins: [HOME, EVIL] };
    expect((await api.call("PUT", `/v1/rootkeys/${rootKey}`, { as, body: widen })).status).toBe(400);
    const guess = { ...widen, api_key: "made-up" };
    expect((await api.call("PUT", `/v1/rootkeys/${rootKey}`, { as, body: guess })).status).toBe(204);

    const thief = { id: `${service}-thief`, endpoint: EVIL, root_key_id: rootKey };
    expect((await api.call("POST", "/v1/services", { as, body: thief })).status).toBe(201);
    const back = await api.call("POST", `/v1/rootkeys/${rootKey}/rollback`, { as });
    expect([back.status, back.body.code]).toEqual([409, "resource.in_use"]);

    await api.call("DELETE", `/v1/services/${service}-thief`, { as });
    const restored = await api.call("POST", `/v1/rootkeys/${rootKey}/rollback`, { as });
    expect(restored.body.origins).toEqual([HOME]);
    expect((await api.call("POST", "/v1/services", { as, body: thief })).status).toBe(422);
  });

  it("does not let members move services, nor strangers name the root key", async () => {
    const member = await api.addUser(as, "member");
    const stranger = await api.addForeignOwner();
    const body = { id: "stolen", endpoint: EVIL, root_key_id: rootKey };
    expect((await api.call("POST", "/v1/services", { as: member.token, body })).status).toBe(403);
    const foreign = await api.call("POST", "/v1/services", { as: stranger.token, body });
    expect([foreign.status, foreign.body.error]).toEqual([404, "root key not found"]);
  });

  it("binds an unbound root key to its first service, on the record, and to no second origin", async () => {
    const unbound = `${rootKey}-unbound`;
    await api.call("POST", "/v1/rootkeys", { as, body: { id: unbound, api_key: "sk-unbound-0123456789" } });
    const races = await Promise.all(
      [HOME, EVIL, "https://third.example"].map((endpoint, i) =>
        api.call("POST", "/v1/services", { as, body: { id: `${service}-${i}`, endpoint, root_key_id: unbound } }),
      ),
    );
    expect(races.map(({ status }) => status).sort((a, b) => a - b)).toEqual([201, 422, 422]);
    const { body } = await api.call("GET", `/v1/rootkeys/${unbound}`, { as });
    expect(body.origins).toHaveLength(1);
    const trail = await api.call("GET", `/v1/audit?action=rootkey.bind&target=${unbound}`, { as });
    expect(trail.body).toHaveLength(1);
    expect(trail.body[0].detail).toEqual({ origins: body.origins });
  });
});
