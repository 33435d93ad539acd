import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ProxyGateway, REAL_SECRET, startProxyGateway } from "../support/proxy-gateway.ts";
import { startUpstream, type Upstream } from "../support/upstream.ts";

let gateway: ProxyGateway;
let upstream: Upstream;
beforeAll(async () => {
  gateway = await startProxyGateway();
  upstream = await startUpstream();
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

interface Echo {
  method: string;
  url: string;
  headers: Record<string, string>;
  body: string;
}

async function call(
  secret: string,
  path: string,
  init: { method?: string; headers?: Record<string, string>; signal?: AbortSignal } = {},
): Promise<{ response: Response; echo: Echo }> {
  const response = await fetch(gateway.url + path, {
    ...init,
    headers: { authorization: `Bearer ${secret}`, ...init.headers },
  });
  return { response, echo: (await response.json()) as Echo };
}

describe("a proxied request", () => {
  it("carries the real credential and who calls, and nothing of the virtual key", async () => {
    const service = await gateway.service(upstream.origin);
    const key = await gateway.key(service, { agentId: "agent-7", source: "mcp" });
    await fetch(`${gateway.url}/v1/proxy/v1/chat?a=1&b=%20`, {
      method: "POST",
      headers: { authorization: `Bearer ${key.secret}` },
      body: "hello",
    });
    const seen = upstream.received.at(-1);
    expect(seen?.url).toBe("/v1/chat?a=1&b=%20");
    expect(seen?.headers.authorization).toBe(`Bearer ${REAL_SECRET}`);
    expect(seen?.headers["x-bifrost-key-id"]).toBe(key.id);
    expect(seen?.headers["x-bifrost-agent-id"]).toBe("agent-7");
    expect(seen?.headers.host).toBe(`127.0.0.1:${upstream.port}`);
    expect(seen?.body.toString()).toBe("hello");
    expect(seen?.rawHeaders.join("\n")).not.toContain(key.secret);
  });

  it("names the agent by the key's id when an MCP key has none, and not at all for other keys", async () => {
    const service = await gateway.service(upstream.origin);
    const nameless = await gateway.key(service, { source: "mcp" });
    expect((await call(nameless.secret, "/v1/proxy/x")).echo.headers["x-bifrost-agent-id"]).toBe(nameless.id);
    const plain = await gateway.key(service, { agentId: "ignored-by-contract" });
    expect((await call(plain.secret, "/v1/proxy/x")).echo.headers).not.toHaveProperty("x-bifrost-agent-id");
  });

  it.each(["x-virtual-key", "x-api-key", "api-key", "x-goog-api-key"])("takes the key from %s", async (header) => {
    const key = await gateway.key(await gateway.service(upstream.origin));
    const response = await fetch(`${gateway.url}/v1/proxy/x`, { headers: { [header]: key.secret } });
    const echo = (await response.json()) as Echo;
    expect(response.status).toBe(200);
    expect(JSON.stringify(echo.headers)).not.toContain(key.secret);
  });

  it("reaches each of several granted services by name, and no single one without", async () => {
    const one = await gateway.service(upstream.origin, { basePath: "/one" });
    const two = await gateway.service(upstream.origin, { basePath: "/two" });
    const key = await gateway.key(one, {
      grants: [one, two].map((service) => ({
        kind: "service" as const,
        serviceUid: service.uid,
        serviceId: service.id,
        methods: null,
        paths: null,
      })),
    });
    expect((await call(key.secret, `/v1/services/${two.id}/proxy/x?y`)).echo.url).toBe("/two/x?y");
    const { response, echo } = await call(key.secret, "/v1/proxy/x");
    expect(response.status).toBe(400);
    expect(echo).toMatchObject({ code: "key.target_required" });
    expect((await call(key.secret, "/v1/services/another/proxy/x")).echo).toMatchObject({ code: "service.not_found" });
  });

  it("answers a base URL without a path, as SDKs use it", async () => {
    const key = await gateway.key(await gateway.service(upstream.origin, { basePath: "/base" }));
    expect((await call(key.secret, "/v1/proxy")).echo.url).toBe("/base");
    expect((await call(key.secret, "/v1/proxy?q=1")).echo.url).toBe("/base?q=1");
  });

  it("keeps a well-formed request id and replaces any other", async () => {
    const key = await gateway.key(await gateway.service(upstream.origin));
    const kept = await call(key.secret, "/v1/proxy/x", { headers: { "x-request-id": "trace-12345678" } });
    expect(kept.response.headers.get("x-request-id")).toBe("trace-12345678");
    expect(kept.echo.headers["x-request-id"]).toBe("trace-12345678");
    const made = await call(key.secret, "/v1/proxy/x", { headers: { "x-request-id": "a b" } });
    expect(made.response.headers.get("x-request-id")).toMatch(/^req_/);
  });

  it.each([
    ["bearer", { kind: "bearer" } as const, "authorization", `Bearer ${REAL_SECRET}`],
    [
      "header with prefix",
      { kind: "header", name: "X-Token", prefix: "Token ", template: null } as const,
      "x-token",
      `Token ${REAL_SECRET}`,
    ],
    [
      "template",
      { kind: "header", name: "Authorization", prefix: "", template: 'Key id="a", k="{secret}"' } as const,
      "authorization",
      `Key id="a", k="${REAL_SECRET}"`,
    ],
    [
      "basic",
      { kind: "basic", username: "bob" } as const,
      "authorization",
      `Basic ${Buffer.from(`bob:${REAL_SECRET}`).toString("base64")}`,
    ],
  ])("injects the credential as %s", async (_name, injection, header, value) => {
    const service = await gateway.service(upstream.origin, { settings: { injection, credentialEcho: "off" } });
    const key = await gateway.key(service);
    expect((await call(key.secret, "/v1/proxy/x")).echo.headers[header]).toBe(value);
  });

  it("injects the credential into the query, in place of the client's own parameter of that name", async () => {
    const service = await gateway.service(upstream.origin, {
      settings: { injection: { kind: "query", name: "key" }, credentialEcho: "off" },
    });
    const key = await gateway.key(service);
    expect((await call(key.secret, "/v1/proxy/x?a=1&key=mine&%6bey=too&b=2")).echo.url).toBe(
      `/x?a=1&b=2&key=${REAL_SECRET}`,
    );
  });

  it("accepts the key in the query only where the service opts in, and never passes it on", async () => {
    const open = await gateway.service(upstream.origin, { settings: { allowKeyInQuery: true } });
    const key = await gateway.key(open);
    const response = await fetch(`${gateway.url}/v1/proxy/x?a=1&bifrost_key=${key.secret}`);
    expect(((await response.json()) as Echo).url).toBe("/x?a=1");
    const closed = await gateway.key(await gateway.service(upstream.origin));
    const refused = await fetch(`${gateway.url}/v1/proxy/x?bifrost_key=${closed.secret}`);
    expect(await refused.json()).toMatchObject({ code: "key.missing" });
  });

  it("keeps an encoded slash encoded", async () => {
    const key = await gateway.key(await gateway.service(upstream.origin, { basePath: "/api/v4" }));
    expect((await call(key.secret, "/v1/proxy/projects/group%2Frepo")).echo.url).toBe("/api/v4/projects/group%2Frepo");
  });

  it("says what is left of the rate limit, and when it is spent refuses without calling the upstream", async () => {
    const key = await gateway.key(await gateway.service(upstream.origin), { rateLimit: 2 });
    const first = await call(key.secret, "/v1/proxy/x");
    expect(first.response.headers.get("ratelimit")).toMatch(/^"bifrost";r=1;t=\d+$/);
    expect(first.response.headers.get("ratelimit-policy")).toBe('"bifrost";q=2;w=60');
    await call(key.secret, "/v1/proxy/x");
    const calls = upstream.received.length;
    const { response, echo } = await call(key.secret, "/v1/proxy/x");
    expect(response.status).toBe(429);
    expect(echo).toMatchObject({ code: "limit.rate", error: "Rate limit exceeded" });
    expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(upstream.received.length).toBe(calls);
  });

  it("holds read keys to reading, and every key to its methods and paths", async () => {
    const service = await gateway.service(upstream.origin, {
      settings: { methods: ["GET", "POST"], paths: ["/v1/**"] },
    });
    const read = await gateway.key(service, { scope: "read" });
    expect((await call(read.secret, "/v1/proxy/v1/x")).response.status).toBe(200);
    expect((await call(read.secret, "/v1/proxy/v1/x", { method: "POST" })).echo).toMatchObject({
      code: "key.scope",
      error: "insufficient scope",
    });
    const write = await gateway.key(service, {
      grants: [
        { kind: "service", serviceUid: service.uid, serviceId: service.id, methods: ["POST"], paths: ["/v1/chat/*"] },
      ],
    });
    expect((await call(write.secret, "/v1/proxy/v1/chat/completions", { method: "POST" })).response.status).toBe(200);
    for (const [method, path] of [
      ["GET", "/v1/chat/x"],
      ["POST", "/v1/files"],
      ["POST", "/v2/chat/x"],
      ["DELETE", "/v1/chat/x"],
    ] as const) {
      expect((await call(write.secret, `/v1/proxy${path}`, { method })).echo).toMatchObject({
        code: "key.not_granted",
      });
    }
  });

  it("tells the holder of a genuine key why it no longer works, and a guesser nothing", async () => {
    const service = await gateway.service(upstream.origin);
    const revoked = await gateway.key(service);
    expect((await call(revoked.secret, "/v1/proxy/x")).response.status).toBe(200);
    await gateway.revoke(revoked.uid);
    expect((await call(revoked.secret, "/v1/proxy/x")).echo).toMatchObject({ code: "key.revoked" });
    const expired = await gateway.key(service, { expiresAtMs: Date.now() - 1 });
    expect((await call(expired.secret, "/v1/proxy/x")).echo).toMatchObject({
      code: "key.expired",
      error: "key expired",
    });
    for (const guess of ["bfk_short", "nonsense", `bfk_${"a".repeat(39)}`]) {
      const { response, echo } = await call(guess, "/v1/proxy/x");
      expect(response.status).toBe(401);
      expect(response.headers.get("www-authenticate")).toBe('Bearer realm="bifrost"');
      expect(echo).toMatchObject({ code: "key.invalid", error: "invalid key" });
    }
    const none = await fetch(`${gateway.url}/v1/proxy/x`);
    expect(await none.json()).toMatchObject({ code: "key.missing", error: "missing key" });
  });

  it("lets go of its concurrency place and its entry among the open requests, however it ends", async () => {
    const key = await gateway.key(await gateway.service(upstream.origin), { maxConcurrency: 1 });
    const cut = new AbortController();
    const arrival = upstream.next();
    const hanging = call(key.secret, "/v1/proxy/hang", { signal: cut.signal }).catch(() => "cut");
    const seen = await arrival;
    expect((await call(key.secret, "/v1/proxy/x")).echo).toMatchObject({ code: "limit.concurrency" });
    cut.abort();
    expect(await hanging).toBe("cut");
    expect(await seen.aborted).toBe(true);
    expect((await call(key.secret, "/v1/proxy/x")).response.status).toBe(200);
    expect((await call(key.secret, "/v1/proxy/reset")).echo).toMatchObject({ code: "upstream.reset" });
    expect((await call(key.secret, "/v1/proxy/x")).response.status).toBe(200);
    expect(gateway.openRequests()).toBe(0);
  });
});
