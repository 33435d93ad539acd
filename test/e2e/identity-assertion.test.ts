import { createRemoteJWKSet, jwtVerify } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { startUpstream, type Upstream } from "../support/upstream.ts";

let gateway: TestGateway;
let upstream: Upstream;
let key: { id: string; virtual_key: string };
beforeAll(async () => {
  gateway = await startGateway();
  upstream = await startUpstream();
  const as = gateway.owner.token;
  const service = {
    id: "internal",
    endpoint: `${upstream.origin}/api`,
    allow_addresses: ["loopback"],
    identity_assertion: true,
    identity_audience: "internal-api",
  };
  const made = await gateway.call("POST", "/v1/services", { as, body: service });
  if (made.status !== 201) throw new Error(JSON.stringify(made.body));
  const body = { target: "internal", scope: "write", ttl: "1h", rate_limit: 100, agent_id: "agent-7" };
  key = (await gateway.call("POST", "/v1/keys", { as, body })).body;
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

async function assertionOf(path: string, headers: Record<string, string> = {}): Promise<string> {
  await fetch(`${gateway.url}/v1/proxy${path}`, {
    method: "POST",
    headers: { "x-virtual-key": key.virtual_key, ...headers },
    body: "{}",
  });
  return String(upstream.received.at(-1)?.headers["x-bifrost-identity"]);
}

describe("the signed identity of a request", () => {
  it("verifies with the published keys, and says who sends which request to whom", async () => {
    const keys = createRemoteJWKSet(new URL(`${gateway.url}/.well-known/jwks.json`));
    const { payload, protectedHeader } = await jwtVerify(await assertionOf("/orders?page=2"), keys, {
      audience: "internal-api",
      algorithms: ["EdDSA"],
      maxTokenAge: "60s",
    });
    expect(protectedHeader).toMatchObject({ alg: "EdDSA", typ: "JWT" });
    expect(payload).toMatchObject({
      sub: key.id,
      key: key.id,
      agent: "agent-7",
      org: "default",
      method: "POST",
      path: "/api/orders",
    });
    expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(60);
    expect(payload.jti).toBe(upstream.received.at(-1)?.headers["x-request-id"]);
  });

  it("is the gateway's own, whatever the client sends under its name", async () => {
    expect(await assertionOf("/x", { "x-bifrost-identity": "forged" })).not.toBe("forged");
  });

  it("does not verify for another audience, nor when a byte of it is changed", async () => {
    const keys = createRemoteJWKSet(new URL(`${gateway.url}/.well-known/jwks.json`));
    const token = await assertionOf("/x");
    await expect(jwtVerify(token, keys, { audience: "another" })).rejects.toThrow();
    const [head, , signature] = token.split(".");
    const forged = `${head}.${Buffer.from(JSON.stringify({ sub: "vk_other", aud: "internal-api" })).toString("base64url")}.${signature}`;
    await expect(jwtVerify(forged, keys, { audience: "internal-api" })).rejects.toThrow();
  });

  it("publishes nothing but public parts", async () => {
    const { body } = await gateway.call("GET", "/.well-known/jwks.json");
    expect(body.keys).toHaveLength(1);
    expect(Object.keys(body.keys[0]).sort()).toEqual(["alg", "crv", "kid", "kty", "use", "x"]);
  });
});
