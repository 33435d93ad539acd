import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { once } from "node:events";
import { afterAll, beforeAll, expect, it } from "vitest";
import { emptyDatabases } from "../support/engines.ts";
import { createApp, type App } from "../../src/app.ts";
import { loadConfig } from "../../src/config/load.ts";
import { createLogger } from "../../src/core/log.ts";
import { describeWithRedis, type RedisServer, startRedis } from "../support/redis-server.ts";

describeWithRedis("two instances on one PostgreSQL and one Redis", () => {
  const cleanup: (() => unknown)[] = [];
  let redis: RedisServer;
  let env: Record<string, string>;
  let urls: readonly [string, string];
  let admin: string;
  const waiting: ServerResponse[] = [];

  async function start(settings: Record<string, string>): Promise<{ app: App; url: string }> {
    const config = loadConfig({ env: settings, readFile: () => "" });
    const app = await createApp(config, { log: createLogger("silent") });
    return { app, url: (await app.listen()).url };
  }

  beforeAll(async () => {
    const upstream = createServer((req: IncomingMessage, res: ServerResponse) => {
      if (req.url !== "/stream") return void res.end("ok");
      res.write("data: 1\n\n");
      waiting.push(res);
    }).listen(0, "127.0.0.1");
    await once(upstream, "listening");
    cleanup.push(() => upstream.close());
    const address = upstream.address();
    const origin = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
    redis = await startRedis();
    cleanup.push(() => redis.stop());
    const { config, remove } = await emptyDatabases.postgres();
    cleanup.push(remove);
    env = {
      BIFROST_DATABASE_URL: config.dialect === "postgres" ? config.url : "",
      BIFROST_REDIS_URL: redis.url,
      BIFROST_ENCRYPTION_KEY: randomBytes(32).toString("hex"),
      BIFROST_PORT: "0",
      BIFROST_SHUTDOWN_TIMEOUT: "1s",
    };
    const one = await start(env);
    cleanup.push(() => one.app.close());
    const two = await start(env);
    cleanup.push(() => two.app.close());
    urls = [one.url, two.url];
    const setup = await call(one.url, "POST", "/v1/setup", two.app.setupToken ?? "", {
      name: "O",
      email: "o@example.com",
    });
    expect(setup.status).toBe(201);
    admin = setup.body.api_key;
    const service = await call(one.url, "POST", "/v1/services", admin, {
      id: "echo",
      endpoint: origin,
      allow_addresses: ["127.0.0.1"],
    });
    expect(service).toMatchObject({ status: 201 });
  });
  afterAll(async () => {
    for (const step of cleanup.reverse()) await step();
  });

  async function call(base: string, method: string, path: string, secret: string, body?: unknown) {
    const response = await fetch(base + path, {
      method,
      headers: {
        authorization: `Bearer ${secret}`,
        "x-setup-token": secret,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: text.startsWith("{") ? JSON.parse(text) : text };
  }
  async function newKey(fields: Record<string, unknown>) {
    const reply = await call(urls[0], "POST", "/v1/keys", admin, { target: "echo", ttl: "10m", ...fields });
    expect(reply).toMatchObject({ status: 201 });
    return reply.body;
  }

  it("admit together no more than the rate limit, and a one-shot key once", async () => {
    const limited = await newKey({ rate_limit: 20 });
    const limitedReplies = await Promise.all(
      Array.from({ length: 60 }, (_, n) => call(urls[n % 2 ? 1 : 0], "GET", "/v1/proxy/a", limited.virtual_key)),
    );
    expect(limitedReplies.filter((reply) => reply.status === 200)).toHaveLength(20);
    const once = await newKey({ one_shot: true });
    const replies = await Promise.all(
      Array.from({ length: 40 }, (_, n) => call(urls[n % 2 ? 1 : 0], "GET", "/v1/proxy/a", once.virtual_key)),
    );
    expect(replies.filter((reply) => reply.status === 200)).toHaveLength(1);
  });

  it("a revocation on one ends calls and open streams on the other, within a second also while Redis is gone", async () => {
    for (const outage of [false, true]) {
      const key = await newKey({ rate_limit: 1_000 });
      const stream = await fetch(`${urls[1]}/v1/proxy/stream`, { headers: { "x-virtual-key": key.virtual_key } });
      const ended = stream.text().catch(() => "cut");
      if (outage) await redis.kill();
      expect((await call(urls[0], "DELETE", `/v1/keys/${key.id}`, admin)).status).toBeLessThan(300);
      await ended;
      await expect
        .poll(async () => (await call(urls[1], "GET", "/v1/proxy/a", key.virtual_key)).body.code)
        .toBe("key.revoked");
      if (outage) await redis.restart();
    }
  });

  it("an instance without Redis is refused beside them", async () => {
    const { BIFROST_REDIS_URL: _redis, ...alone } = env;
    await expect(start(alone)).rejects.toThrow(/redis_url/);
  });
});
