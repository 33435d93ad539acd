import { accessSync, constants, mkdtempSync, rmSync } from "node:fs";
import { once } from "node:events";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import { describe } from "vitest";
import { startGuarded } from "./guarded-process.ts";

export interface RedisServer {
  /** What `redis_url` takes; the same after {@link restart}. */
  readonly url: string;
  /** Ends the server at once, as a crash would. */
  readonly kill: () => Promise<void>;
  /** Starts it again after {@link kill}, empty. */
  readonly restart: () => Promise<void>;
  /** Makes it hang: connections stay open, nothing is answered. */
  readonly freeze: () => void;
  readonly thaw: () => void;
  readonly stop: () => Promise<void>;
}

const binary = (process.env["PATH"] ?? "")
  .split(delimiter)
  .flatMap((dir) => [join(dir, "redis-server"), join(dir, "valkey-server")])
  .find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (typeof address !== "object" || address === null) throw new Error("no free port");
  return address.port;
}

/** A suite that needs a Redis server. Skipped, with the reason in its name, where there is none. */
export function describeWithRedis(name: string, suite: () => void): void {
  if (binary !== undefined || process.env["BIFROST_REQUIRE_REDIS"] === "1") describe(name, suite);
  else describe.skip(`${name} (skipped: no redis-server on PATH)`, suite);
}

/** A real server on a free loopback port, without persistence. It ends with this process at the latest. */
export async function startRedis(): Promise<RedisServer> {
  if (binary === undefined) throw new Error("BIFROST_REQUIRE_REDIS is set and there is no redis-server on PATH");
  const program = binary;
  const outer = mkdtempSync(join(tmpdir(), "bf-redis-"));
  const port = await freePort();
  const url = `redis://127.0.0.1:${port}`;
  const launch = () => {
    const folder = mkdtempSync(join(outer, "run-"));
    const args = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder];
    return startGuarded([program, ...args], { signal: "KILL", folder });
  };
  let server = launch();
  let pid = 0;
  const ready = async () => {
    for (;;) {
      const probe = new Redis(url, { lazyConnect: true, retryStrategy: null, maxRetriesPerRequest: 0 });
      probe.on("error", () => undefined);
      try {
        await probe.connect();
        pid = Number(/process_id:(\d+)/.exec(await probe.info("server"))?.[1]);
        return;
      } catch (cause) {
        if (server.exited()) throw new Error(`redis-server did not start: ${server.output()}`, { cause });
        await delay(10);
      } finally {
        probe.disconnect();
      }
    }
  };
  await ready();
  return {
    url,
    kill: () => server.stop(),
    async restart() {
      server = launch();
      await ready();
    },
    freeze: () => void process.kill(pid, "SIGSTOP"),
    thaw: () => void process.kill(pid, "SIGCONT"),
    async stop() {
      await server.stop();
      rmSync(outer, { recursive: true, force: true });
    },
  };
}
