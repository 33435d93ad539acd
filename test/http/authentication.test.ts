import { randomBytes } from "node:crypto";
import { afterEach, describe, expect, it } from "vitest";
import { newSecret } from "../../src/core/secret.ts";
import { createAuthenticator } from "../../src/identity/authenticate.ts";
import { createGuessThrottle, GUESS_THROTTLE_DEFAULTS } from "../../src/limits/guess-throttle.ts";
import { createKeyring } from "../../src/vault/keyring.ts";
import { startManagement, type TestManagement } from "../support/management.ts";
import { testClock } from "../support/resources.ts";

describe("authentication of management requests", () => {
  let gateway: TestManagement;
  afterEach(() => gateway.close());

  it("asks an API key of several orgs to name one, and says which there are", async () => {
    gateway = await startManagement();
    const owner = await gateway.setUp();
    await gateway.call("POST", "/v1/orgs", { as: owner.token, body: { id: "lab", name: "Lab" } });
    const unnamed = await gateway.call("GET", "/v1/user", { as: owner.apiKey });
    expect([unnamed.status, unnamed.body.code]).toEqual([400, "request.org_required"]);
    expect(unnamed.body.error).toContain("default, lab");
    const named = await gateway.call("GET", "/v1/orgs", { as: owner.apiKey, headers: { "x-org-id": "lab" } });
    expect(new Set(named.body.map((org: { id: string }) => org.id))).toEqual(new Set(["default", "lab"]));
    // A session has an org of its own, and reaches the user's others by name.
    expect((await gateway.call("GET", "/v1/user", { as: owner.token })).status).toBe(200);
    expect((await gateway.call("GET", "/v1/orgs/lab", { as: owner.token })).status).toBe(200);
  });

  it("refuses an address that guessed too often, but nobody there whose credential is known good", async () => {
    const throttle = createGuessThrottle(testClock(), { ...GUESS_THROTTLE_DEFAULTS, failuresPerMinute: 5 });
    gateway = await startManagement({ throttle });
    const owner = await gateway.setUp();
    expect((await gateway.call("GET", "/v1/user", { as: owner.token })).status).toBe(200);
    for (let i = 0; i < 5; i++) {
      expect((await gateway.call("GET", "/v1/user", { as: newSecret("bfu") })).status).toBe(401);
    }
    const guess = await gateway.call("GET", "/v1/user", { as: newSecret("bfu") });
    expect([guess.status, guess.body.code]).toEqual([429, "auth.throttled"]);
    expect(Number(guess.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await gateway.call("GET", "/v1/user", { as: owner.token })).status).toBe(200);
    const setup = await gateway.call("POST", "/v1/setup", { body: { name: "E", email: "e@example.com" } });
    expect(setup.status).toBe(429);
  });

  it("counts a typo without asking the database, and a request without credential not at all", async () => {
    const failures: string[] = [];
    const throttle = { isThrottled: () => null, recordFailure: (address: string) => failures.push(address) };
    gateway = await startManagement({ throttle });
    expect((await gateway.call("GET", "/v1/user")).status).toBe(401);
    expect(failures).toEqual([]);
    const offline = createAuthenticator({
      // Any read would throw: a malformed secret must not get that far.
      db: new Proxy(gateway.db, {
        get() {
          throw new Error("the database was asked");
        },
      }),
      keyring: gateway.keyring,
      clock: gateway.clock,
      throttle,
    });
    for (const secret of ["", "x", "bfu_short", `bfu_${"0".repeat(39)}`, newSecret("bfk"), newSecret("bfx")]) {
      await expect(offline.authenticateCredential(secret)).rejects.toMatchObject({ code: "auth.required" });
    }
    expect((await gateway.call("GET", "/v1/user", { as: "bfu_short" })).status).toBe(401);
    expect(failures).toEqual(["127.0.0.1"]);
  });

  it("keeps every credential valid over a change of the master key, and moves it to the new one", async () => {
    const [old, next] = [randomBytes(32), randomBytes(32)];
    gateway = await startManagement({ masterKeys: [old] });
    const owner = await gateway.setUp();
    const { body } = await gateway.call("POST", "/v1/serviceaccounts", { as: owner.token, body: { name: "CI" } });
    const secrets = [owner.apiKey, owner.token, body.api_key];
    const throttle = { isThrottled: () => null, recordFailure: () => undefined };
    const withKeys = (...masters: Buffer[]) =>
      createAuthenticator({ db: gateway.db, clock: gateway.clock, throttle, keyring: createKeyring(masters) });
    for (const secret of secrets) {
      await expect(withKeys(next).authenticateCredential(secret)).rejects.toMatchObject({ code: "auth.required" });
      await withKeys(next, old).authenticateCredential(secret);
      await withKeys(next).authenticateCredential(secret);
    }
  });

  it("gives the MCP plane the same principals, service accounts with their services and ceilings included", async () => {
    gateway = await startManagement();
    const owner = await gateway.setUp();
    const { body } = await gateway.call("POST", "/v1/serviceaccounts", {
      as: owner.token,
      body: { id: "ci", name: "CI", allowed_services: ["*"], max_ttl_seconds: 60, max_scope: "write" },
    });
    expect(await gateway.authenticator.authenticateCredential(body.api_key)).toMatchObject({
      kind: "service_account",
      id: "ci",
      orgId: "default",
      services: "all",
      maxTtlSeconds: 60,
      maxRateLimit: null,
      maxScope: "write",
    });
    expect(await gateway.authenticator.authenticateCredential(owner.apiKey)).toMatchObject({
      kind: "user",
      id: owner.id,
      role: "owner",
      sessionUid: null,
    });
    await expect(gateway.authenticator.authenticateCredential(body.api_key, "lab")).rejects.toMatchObject({
      code: "resource.not_found",
    });
  });
});
