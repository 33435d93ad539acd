import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createSandbox } from "../cli/support.ts";
import { createCaller, setUp, type TestUser } from "../support/management.ts";
import { startUpstream, type Upstream } from "../support/upstream.ts";

const CREDENTIAL = "sk-sealed-under-the-first-key-0001";

describe("a change of the master key", () => {
  const [first, second] = [randomBytes(32).toString("hex"), randomBytes(32).toString("hex")];
  const onlyFirst = { BIFROST_ENCRYPTION_KEY: first };
  const both = { BIFROST_ENCRYPTION_KEY: second, BIFROST_PREVIOUS_ENCRYPTION_KEYS: first };
  const onlySecond = { BIFROST_ENCRYPTION_KEY: second };
  let sandbox: ReturnType<typeof createSandbox>;
  let upstream: Upstream;
  let owner: TestUser;
  const keys: string[] = [];

  beforeAll(async () => {
    sandbox = createSandbox();
    upstream = await startUpstream();
  });
  afterAll(async () => {
    await sandbox.remove();
    await upstream.close();
  });

  /** Starts the gateway under these master keys for the length of `work`. */
  async function under(
    environment: Record<string, string>,
    work: (call: ReturnType<typeof createCaller>, setupToken: string) => Promise<void>,
  ): Promise<void> {
    const gateway = await sandbox.serve([], environment);
    await work(createCaller(gateway.url), gateway.setup_token ?? "");
    expect(await gateway.stop()).toBe(0);
  }

  const issueOne = async (call: ReturnType<typeof createCaller>) => {
    const answer = await call("POST", "/v1/keys", {
      as: owner.apiKey,
      headers: { "idempotency-key": `key-${keys.length}` },
      body: { target: "api", scope: "read", ttl: "1h" },
    });
    expect(answer.status).toBe(201);
    keys.push(answer.body.virtual_key);
  };

  /** Every key issued so far reaches the upstream, with the credential; sessions, API keys and stored replies are good. */
  const expectAllGood = async (call: ReturnType<typeof createCaller>) => {
    for (const [at, as] of keys.entries()) {
      expect((await call("GET", "/v1/proxy/hello", { as })).status).toBe(200);
      expect(upstream.received.at(-1)?.headers.authorization).toBe(`Bearer ${CREDENTIAL}`);
      const again = await call("POST", "/v1/keys", {
        as: owner.apiKey,
        headers: { "idempotency-key": `key-${at}` },
        body: { target: "api", scope: "read", ttl: "1h" },
      });
      expect(again).toMatchObject({ status: 201, body: { virtual_key: as } });
    }
    expect((await call("GET", "/v1/keys", { as: owner.token })).body).toHaveLength(keys.length);
  };

  it("starts with credentials and keys under the first", () =>
    under(onlyFirst, async (call, setupToken) => {
      owner = await setUp(call, setupToken);
      const as = owner.apiKey;
      const root = await call("POST", "/v1/rootkeys", { as, body: { id: "root", api_key: CREDENTIAL } });
      const service = await call("POST", "/v1/services", {
        as,
        body: {
          id: "api",
          endpoint: upstream.origin,
          root_key_id: "root",
          injection: { type: "bearer" },
          allow_addresses: ["loopback"],
        },
      });
      expect([root.status, service.status]).toEqual([201, 201]);
      await issueOne(call);
      await issueOne(call);
      await expectAllGood(call);
    }));

  it("is refused at the start while the database needs the first, with place and remedy", async () => {
    for (const command of [["serve"], ["reencrypt"], ["audit", "verify"]]) {
      const outcome = await sandbox.run(command, { env: onlySecond });
      expect(outcome.code).toBe(1);
      expect(outcome.stderr).toContain("BIFROST_ENCRYPTION_KEY: this database was made under another encryption key");
      expect(outcome.stderr).toContain("BIFROST_PREVIOUS_ENCRYPTION_KEYS");
      expect(outcome.stderr).not.toMatch(/ {4}at /);
    }
  });

  it("costs nothing while both are given", () =>
    under(both, async (call) => {
      await expectAllGood(call);
      await issueOne(call);
    }));

  it("is complete after reencrypt: the second alone opens credentials, knows every key and verifies the audit trail", async () => {
    const moved = await sandbox.run(["reencrypt", "--json"], { env: both });
    expect(moved.json).toEqual({ root_keys: 1, signing_keys: expect.any(Number), replies: 2, working_keys: 1 });
    await under(onlySecond, async (call) => {
      await expectAllGood(call);
      await issueOne(call);
      await expectAllGood(call);
    });
    const verified = await sandbox.run(["audit", "verify"], { env: onlySecond });
    expect(verified.code, verified.stderr).toBe(0);
    expect((await sandbox.run(["serve"], { env: onlyFirst })).code).toBe(1);
  });
});
