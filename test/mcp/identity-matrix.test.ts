import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BoundedMap } from "../../src/core/bounded-map.ts";
import { type ChangeBus, createChangeBus } from "../../src/core/changes.ts";
import { steadyClock, systemClock } from "../../src/core/clock.ts";
import { GatewayError } from "../../src/core/errors.ts";
import { newId } from "../../src/core/ids.ts";
import { newSecret } from "../../src/core/secret.ts";
import { createKeyCache, type KeyCache } from "../../src/gate/key-cache.ts";
import { createOrgNames } from "../../src/gate/org-names.ts";
import type { RequestContext } from "../../src/http/route.ts";
import { createAuthenticator } from "../../src/identity/authenticate.ts";
import { createMembershipStore } from "../../src/identity/membership-store.ts";
import { createUserStore } from "../../src/identity/user-store.ts";
import { createKeyStore } from "../../src/keys/store.ts";
import { createGuessThrottle, GUESS_THROTTLE_DEFAULTS } from "../../src/limits/guess-throttle.ts";
import { type AuthenticateMcp, createMcpAuthenticate } from "../../src/mcp/authenticate.ts";
import { readAgentId } from "../../src/mcp/front-door.ts";
import { createGatewayAgents } from "../../src/mcp/gateway-agents.ts";
import { seedKey, seedOrg, seedService, testKeyring } from "../support/resources.ts";
import { openTempSqlite } from "../support/temp-sqlite.ts";

const AGENT = "a value that a person chose";
const OTHER_AGENT = "Agent of the night";
const MODES = { "keys and agents": {}, "keys only": { agents: false }, none: { agents: false, local: true } } as const;
type Mode = keyof typeof MODES;

let database: Awaited<ReturnType<typeof openTempSqlite>>;
let changes: ChangeBus;
let secrets: Record<"user" | "key" | "otherKey" | "revoked" | "unknownKey" | "unknownUser", string>;
const keyring = testKeyring();
const first = { uid: "org_first", id: "acme" };

beforeAll(async () => {
  database = await openTempSqlite();
  changes = createChangeBus();
  const { db } = database;
  const { orgUid } = await seedOrg(db, first.id);
  first.uid = orgUid;
  const user = { uid: newId("usr"), orgUid, name: "U", email: "u@example.com", createdAtMs: Date.now() };
  const apiKey = newSecret("bfu");
  await createUserStore(db).insert(user, keyring.hashSecret(apiKey));
  await createMembershipStore(db).insert(orgUid, user.uid, "member", Date.now());
  const service = await seedService(db, orgUid);
  const key = await seedKey(db, keyring, service, { ownerUid: user.uid }, Date.now());
  const otherKey = await seedKey(db, keyring, service, { ownerUid: user.uid }, Date.now());
  const revoked = await seedKey(db, keyring, service, { ownerUid: user.uid }, Date.now());
  await createKeyStore(db).revoke(revoked.key.uid, Date.now());
  secrets = {
    user: apiKey,
    key: key.secret,
    otherKey: otherKey.secret,
    revoked: revoked.secret,
    unknownKey: newSecret("bfk"),
    unknownUser: newSecret("bfu"),
  };
});
afterAll(() => database.close());

function build(mode: Mode, failuresPerMinute = 1_000_000): { authenticate: AuthenticateMcp; keys: KeyCache } {
  const { db } = database;
  const clock = systemClock;
  const throttle = createGuessThrottle(steadyClock, { ...GUESS_THROTTLE_DEFAULTS, failuresPerMinute });
  const store = createKeyStore(db);
  const keys = createKeyCache({ changes, findBySecretHash: (hash) => store.findBySecretHash(hash, clock.now()) });
  const configured = [
    { secret: AGENT, servers: null },
    { secret: OTHER_AGENT, servers: [] },
  ];
  const { agents = true, local = false } = { ...(MODES[mode] as { agents?: boolean; local?: boolean }) };
  const authenticate = createMcpAuthenticate({
    authenticator: createAuthenticator({ db, keyring, clock, throttle }),
    gate: { clock, keyring, throttle, seenSecrets: new BoundedMap(100), keys },
    orgIdOf: createOrgNames(db, changes).idOf,
    agents: createGatewayAgents(agents ? configured : [], { keyring, throttle, org: first }),
    local: local ? { kind: "local", uid: "local", id: "local", orgUid: first.uid, orgId: first.id } : null,
  });
  return { authenticate, keys };
}

type Headers = Readonly<Record<string, string | undefined>>;

function contextOf(headers: Headers, clientAddress = "192.0.2.1"): RequestContext {
  return { requestId: "req_1", clientAddress, publicUrl: "http://localhost", header: (name) => headers[name] };
}

/** What the endpoint does, in its order: who is it, then which of its agents. */
async function identify(authenticate: AuthenticateMcp, headers: Headers, orgId: string | null = null) {
  try {
    const identity = await authenticate({ context: contextOf(headers), orgId });
    return { ...identity, agentId: readAgentId(headers) };
  } catch (thrown) {
    if (thrown instanceof GatewayError) return thrown;
    throw thrown;
  }
}

type Outcome = { kind: string } | { code: string };
const refused = (code: string): Outcome => ({ code });
const agent: Outcome = { kind: "gateway_agent" };
const local: Outcome = { kind: "local" };

/** Rows: what `Authorization` says. Columns: who that is in each mode, before `X-Agent-ID` is looked at. */
const AUTHORIZATION: readonly [string, () => string | undefined, Record<Mode, Outcome>][] = [
  ["none", () => undefined, same("auth.required", { none: local })],
  ["empty", () => "", same("auth.required", { none: local })],
  ["a scheme alone", () => "Bearer", same("auth.required", { none: local })],
  ["an agent's value, bare", () => AGENT, onlyAgents(agent)],
  ["an agent's value, Bearer", () => `Bearer ${AGENT}`, onlyAgents(agent)],
  ["an agent's value, bearer in capitals", () => `BEARER   ${AGENT}`, onlyAgents(agent)],
  ["an agent's value, Agent", () => `Agent ${AGENT}`, onlyAgents(agent)],
  ["an agent's value, agent", () => `agent ${AGENT}`, onlyAgents(agent)],
  ["a value that begins like a scheme, bare", () => OTHER_AGENT, onlyAgents(agent)],
  ["a value that begins like a scheme, Agent", () => `Agent ${OTHER_AGENT}`, onlyAgents(agent)],
  ["an agent's value, Basic", () => `Basic ${AGENT}`, onlyAgents(refused("auth.required"))],
  ["an agent's value, two schemes", () => `Bearer Agent ${AGENT}`, onlyAgents(refused("auth.required"))],
  ["an agent's value, in another case", () => AGENT.toUpperCase(), onlyAgents(refused("auth.required"))],
  ["an agent's value, cut", () => AGENT.slice(0, -1), onlyAgents(refused("auth.required"))],
  ["an agent's value and more", () => `${AGENT}x`, onlyAgents(refused("auth.required"))],
  ["a wrong value", () => "wrong", onlyAgents(refused("auth.required"))],
  ["a control byte", () => `Bearer ${AGENT}\u0000`, same("request.invalid")],
  ["a line end", () => `Bearer ${AGENT}\r\nX-Agent-ID: a`, same("request.invalid")],
  ["a virtual key, Bearer", () => `Bearer ${secrets.key}`, everywhere({ kind: "virtual_key" })],
  ["a virtual key, bare", () => secrets.key, everywhere({ kind: "virtual_key" })],
  ["a virtual key, Agent", () => `Agent ${secrets.key}`, same("auth.required")],
  ["a revoked virtual key", () => `Bearer ${secrets.revoked}`, same("key.revoked")],
  ["an unknown virtual key", () => `Bearer ${secrets.unknownKey}`, same("key.invalid")],
  ["a virtual key with a typo", () => `Bearer ${secrets.key.slice(0, -1)}`, same("key.invalid")],
  ["a user's key, Bearer", () => `Bearer ${secrets.user}`, everywhere({ kind: "user" })],
  ["a user's key, bare", () => secrets.user, everywhere({ kind: "user" })],
  ["an unknown user's key", () => `Bearer ${secrets.unknownUser}`, same("auth.required")],
];

function everywhere(outcome: Outcome): Record<Mode, Outcome> {
  return { "keys and agents": outcome, "keys only": outcome, none: outcome };
}
function same(code: string, others: Partial<Record<Mode, Outcome>> = {}): Record<Mode, Outcome> {
  return { ...everywhere(refused(code)), ...others };
}
/** Without configured agents the value is unknown, and with `none` it is nobody's. */
function onlyAgents(outcome: Outcome): Record<Mode, Outcome> {
  return { "keys and agents": outcome, "keys only": refused("auth.required"), none: local };
}

const AGENT_IDS: readonly [string, string | undefined, string | null | undefined][] = [
  ["none", undefined, null],
  ["valid", "coder:1@ci", "coder:1@ci"],
  ["the id of somebody else", "local", "local"],
  ["empty", "", undefined],
  ["malformed", "../x", undefined],
  ["a dot segment", "..", undefined],
  ["too long", "a".repeat(129), undefined],
  ["a control byte", "a\u0000", undefined],
  // Node joins repeated headers so.
  ["two", "a, b", undefined],
];

const MATRIX = (Object.keys(MODES) as Mode[]).flatMap((mode) =>
  AUTHORIZATION.flatMap(([authorization, value, outcomes]) =>
    AGENT_IDS.map(([agentHeader, sent, agentId]) => ({
      mode,
      authorization,
      agentHeader,
      headers: () => ({ authorization: value(), "x-agent-id": sent }),
      expected:
        "kind" in outcomes[mode] && agentId === undefined ? refused("request.agent_id_invalid") : outcomes[mode],
      agentId,
    })),
  ),
);

describe("who a request is", () => {
  it.each(MATRIX)("$mode, Authorization: $authorization, X-Agent-ID: $agentHeader", async (row) => {
    const found = await identify(build(row.mode).authenticate, row.headers());
    if ("code" in row.expected) {
      expect(found).toMatchObject(row.expected);
      const status = row.expected.code.startsWith("request.") ? 400 : 401;
      expect(found).toMatchObject({ status });
      // A refusal names nothing that was sent.
      expect(JSON.stringify(found)).not.toMatch(/bf[uk]_|a person chose/);
    } else {
      expect(found).toMatchObject({ principal: { ...row.expected, orgId: first.id }, agentId: row.agentId });
      expect("live" in found && found.live !== null).toBe(row.expected.kind === "virtual_key");
    }
  });

  it("is the same principal whatever agent it names", async () => {
    const { authenticate } = build("keys and agents");
    for (const authorization of [AGENT, secrets.key, secrets.user]) {
      const uids = new Set<unknown>();
      for (const id of [undefined, "a", "agt_x", secrets.key.slice(0, 20)]) {
        const found = await identify(authenticate, { authorization, "x-agent-id": id });
        uids.add("principal" in found && found.principal.uid);
      }
      expect(uids.size).toBe(1);
    }
  });

  it.each([
    ["an agent and a virtual key", () => ({ authorization: AGENT, "x-virtual-key": secrets.key }), "auth.conflict"],
    ["an agent and a user", () => ({ authorization: AGENT, "x-api-key": secrets.user }), "auth.conflict"],
    ["two agents", () => ({ authorization: AGENT, "x-api-key": OTHER_AGENT }), "auth.conflict"],
    ["an agent and nonsense", () => ({ authorization: AGENT, "x-api-key": "x" }), "auth.conflict"],
    ["a virtual key and a user", () => ({ authorization: secrets.key, "x-api-key": secrets.user }), "auth.conflict"],
    ["two virtual keys", () => ({ authorization: secrets.key, "x-api-key": secrets.otherKey }), "auth.conflict"],
    ["a virtual key and nonsense", () => ({ authorization: "x", "x-virtual-key": secrets.key }), "auth.conflict"],
    ["a user and nonsense", () => ({ authorization: secrets.user, "x-api-key": "x" }), "auth.conflict"],
    ["an agent's value elsewhere than in Authorization", () => ({ "x-api-key": AGENT }), "auth.required"],
  ])("is nobody with two credentials that differ: %s", async (_what, headers, code) => {
    expect(await identify(build("keys and agents").authenticate, headers())).toMatchObject({ code, status: 401 });
  });

  it.each([
    ["an agent", () => ({ authorization: `Bearer ${AGENT}`, "x-api-key": AGENT }), "gateway_agent"],
    ["a virtual key", () => ({ authorization: `Bearer ${secrets.key}`, "x-virtual-key": secrets.key }), "virtual_key"],
    ["a user", () => ({ authorization: `Bearer ${secrets.user}`, "x-api-key": secrets.user }), "user"],
  ])("is the same with one credential twice: %s", async (_what, headers, kind) => {
    expect(await identify(build("keys and agents").authenticate, headers())).toMatchObject({ principal: { kind } });
  });

  const fromEveryMode: [string, Mode, () => string | undefined][] = [
    ["an agent", "keys and agents", () => AGENT],
    ["a virtual key", "keys and agents", () => secrets.key],
    ["a user", "keys and agents", () => secrets.user],
    ["local", "none", () => undefined],
  ];
  it.each(fromEveryMode)("stays in its organization: %s", async (_who, mode, authorization) => {
    const { authenticate } = build(mode);
    const headers = { authorization: authorization() };
    expect(await identify(authenticate, headers, first.id)).toMatchObject({ principal: { orgId: first.id } });
    expect(await identify(authenticate, headers, "rival")).toMatchObject({ code: "resource.not_found" });
  });

  it("is challenged as RFC 6750 has it: with an error only where something was presented", async () => {
    const { authenticate } = build("keys and agents");
    const challengeOf = async (headers: Headers) => {
      const found = await identify(authenticate, headers);
      return found instanceof GatewayError ? found.headers["www-authenticate"] : null;
    };
    // The endpoint adds the plain challenge to every 401 that has none.
    expect(await challengeOf({})).toBeUndefined();
    for (const authorization of ["wrong", secrets.revoked, secrets.unknownKey]) {
      expect(await challengeOf({ authorization })).toBe('Bearer realm="bifrost", error="invalid_token"');
    }
  });
});

describe("configured agents", () => {
  it("have a public id that stays over restarts, differs by secret and instance, and holds nothing of the secret", async () => {
    const agentsWith = (ring: ReturnType<typeof testKeyring>) =>
      createGatewayAgents(
        [AGENT, OTHER_AGENT].map((secret) => ({ secret, servers: null })),
        { keyring: ring, throttle: { isThrottled: () => null }, org: first },
      );
    const idOf = (ring: ReturnType<typeof testKeyring>, secret: string) =>
      agentsWith(ring).find(secret, "192.0.2.1")?.id;
    const id = idOf(keyring, AGENT);
    expect(id).toMatch(/^agt_[0-9A-Za-z]{22}$/);
    expect(idOf(keyring, AGENT)).toBe(id);
    expect(idOf(keyring, OTHER_AGENT)).not.toBe(id);
    expect(idOf(testKeyring(), AGENT)).not.toBe(id);
    const found = await identify(build("keys and agents").authenticate, { authorization: AGENT });
    expect(JSON.stringify(found)).not.toContain(AGENT);
  });

  it("are not guessed faster than keys: a throttled address gets no answer, also when it is right", async () => {
    const { authenticate } = build("keys and agents", 3);
    for (let i = 0; i < 3; i++) {
      expect(await identify(authenticate, { authorization: `guess ${i}` })).toMatchObject({ code: "auth.required" });
    }
    for (const authorization of ["guess", AGENT]) {
      const found = await identify(authenticate, { authorization });
      expect(found).toMatchObject({ code: "auth.throttled", headers: { "retry-after": expect.any(String) } });
    }
    // Another network is not affected.
    const elsewhere = { context: contextOf({ authorization: AGENT }, "198.51.100.7"), orgId: null };
    expect(await authenticate(elsewhere)).toMatchObject({ principal: { kind: "gateway_agent" } });
  });

  it("are not locked out by a neighbour that guesses, once they were here", async () => {
    const { authenticate } = build("keys and agents", 3);
    await identify(authenticate, { authorization: AGENT });
    for (let i = 0; i < 5; i++) await identify(authenticate, { authorization: `guess ${i}` });
    expect(await identify(authenticate, { authorization: AGENT })).toMatchObject({
      principal: { kind: "gateway_agent" },
    });
    expect(await identify(authenticate, { authorization: OTHER_AGENT })).toMatchObject({ code: "auth.throttled" });
  });
});

describe("the way to the answer", () => {
  it("waits for nothing for configured agents, the local principal, and keys that were seen before", async () => {
    const ask = (authenticate: AuthenticateMcp, authorization?: string) =>
      authenticate({ context: contextOf({ authorization }), orgId: null });
    const { authenticate } = build("keys and agents");
    expect(ask(authenticate, AGENT)).not.toBeInstanceOf(Promise);
    expect(ask(build("none").authenticate)).not.toBeInstanceOf(Promise);
    await ask(authenticate, secrets.key);
    const again = ask(authenticate, secrets.key);
    expect(again).not.toBeInstanceOf(Promise);
    expect(ask(authenticate, secrets.key)).toBe(again);
  });

  it("leads to the key as it is after a change, at once", async () => {
    const { authenticate } = build("keys only");
    const ask = () => authenticate({ context: contextOf({ authorization: secrets.otherKey }), orgId: null });
    const before = await ask();
    changes.publish({ kind: "key", uid: before.principal.uid, revoked: false });
    const after = await ask();
    expect(after.live).not.toBe(before.live);
    await createKeyStore(database.db).revoke(before.principal.uid, Date.now());
    changes.publish({ kind: "key", uid: before.principal.uid, revoked: true });
    await expect(Promise.resolve().then(ask)).rejects.toMatchObject({ code: "key.revoked" });
  });
});
