/**
 * The attack: keys named after the clock (`mcp-1712345678901234567`) can be computed from the time of issue, which
 * the reply's own expiry gives away.
 *
 * What holds: 192 random bits, whoever issues; nothing in the public part tells of the secret.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { secretKind } from "../../src/core/secret.ts";
import { createKeyIssuer } from "../../src/keys/issue.ts";
import { type ResourceApi, startResourceApi, TEST_LIMITS } from "../support/resource-api.ts";

let api: ResourceApi;
let as: string;
beforeAll(async () => {
  api = await startResourceApi();
  as = api.owner.token;
  await api.call("POST", "/v1/services", { as, body: { id: "svc", endpoint: "https://api.example.com" } });
});
afterAll(() => api.close());

const request = { requestId: "req_test", clientAddress: "192.0.2.1", publicUrl: "http://gw", header: () => undefined };
const names = { ttl: "ttl", rateLimit: "rate_limit", scope: "scope", target: () => "target" };

it.each(["api", "mcp", "service_account"] as const)("issues over %s what no clock predicts", async (source) => {
  const issueKey = createKeyIssuer({ ...api, limits: TEST_LIMITS });
  const principal = await api.authenticator.authenticateCredential(as);
  const made = [];
  for (let i = 0; i < 20; i++) {
    // The same clock reading, the same caller and the same request each time.
    const order = {
      id: null,
      name: "",
      grants: [{ kind: "service", service: "svc", methods: null, paths: null }],
      scope: "read",
      ttlMs: 60_000,
      rateLimit: 60,
      maxConcurrency: null,
      maxUses: null,
      agentId: null,
      metadata: {},
    } as const;
    made.push(await issueKey(principal, order, { source, request, names }));
  }
  expect(new Set(made.map(({ secret }) => secret)).size).toBe(20);
  for (const { key, secret } of made) {
    expect(secretKind(secret)).toBe("bfk");
    const { hint, ...rest } = key;
    const visible = JSON.stringify(rest);
    expect(visible).not.toContain(secret.slice(4, 24));
    expect(secret).not.toContain(String(key.createdAtMs));
    expect(secret.slice(0, -hint.length)).not.toContain(hint.repeat(2));
    expect(key.source).toBe(source);
  }
  // Every position of the random part varies: no prefix is fixed by the clock or a counter.
  for (let at = 5; at < 37; at++) expect(new Set(made.map(({ secret }) => secret[at])).size).toBeGreaterThan(1);
});
