import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createSandbox } from "../cli/support.ts";
import { emptyDatabases, type EmptyDatabase } from "../support/engines.ts";
import { createCaller, setUp } from "../support/management.ts";
import { checkLedger, createLedger, load, type Target } from "./ledger.ts";

const ROUNDS = 3;
// Starts and ends of a real process, four times; on a busy machine each takes seconds.
const DEADLINE_MS = 120_000;
const CLIENTS = 8;

describe.each(Object.entries(emptyDatabases))("kill -9 under load on %s", (_engine, create) => {
  let sandbox: ReturnType<typeof createSandbox>;
  let database: EmptyDatabase;
  let upstream: Awaited<ReturnType<typeof startCountingUpstream>>;
  beforeEach(async () => {
    sandbox = createSandbox();
    database = await create();
    upstream = await startCountingUpstream();
  });
  afterEach(async () => {
    await sandbox.remove();
    await upstream.close();
    await database.remove();
  });

  it(
    "loses no key, revocation or one-shot claim that was acknowledged",
    async () => {
      const { config } = database;
      const url = config.dialect === "sqlite" ? `sqlite:${join(sandbox.dir, "data", "bifrost.db")}` : config.url;
      const environment = { BIFROST_DATABASE_URL: url, BIFROST_LOG_LEVEL: "error" };
      const ledger = createLedger();
      let ownerKey = "";

      for (let round = 0; round <= ROUNDS; round += 1) {
        const gateway = await sandbox.serve([], environment);
        const call = createCaller(gateway.url);
        if (gateway.setup_token !== null) ownerKey = await prepare(call, gateway.setup_token, upstream.origin);
        const target: Target = { url: gateway.url, call, ownerKey };
        await checkLedger(target, ledger, upstream.calls);
        if (round === ROUNDS) {
          expect(await gateway.stop()).toBe(0);
          break;
        }
        // A count, not a time: the kill always comes in the middle of the work, at another point each run.
        let left = 60 + Math.floor(Math.random() * 120);
        await load(target, ledger, CLIENTS, () => {
          if ((left -= 1) === 0) gateway.child.kill("SIGKILL");
        });
        gateway.child.kill("SIGKILL");
        await gateway.exited;
      }

      expect(ledger.acknowledged).toBeGreaterThanOrEqual(ROUNDS * 60);
      expect(ledger.keys.filter((key) => key.revoked).length).toBeGreaterThan(ROUNDS);
      expect(ledger.keys.filter((key) => key.answered > 0).length).toBeGreaterThan(ROUNDS);
      const verified = await sandbox.run(["audit", "verify", "--json"], { env: environment });
      expect(verified.code, verified.stderr).toBe(0);
    },
    DEADLINE_MS,
  );
});

/** The first owner, and a service that leads to the counting upstream. */
async function prepare(call: ReturnType<typeof createCaller>, setupToken: string, origin: string): Promise<string> {
  const owner = await setUp(call, setupToken);
  const as = owner.apiKey;
  const rootKey = await call("POST", "/v1/rootkeys", {
    as,
    body: { id: "root", api_key: "sk-crash-0123456789abcdef" },
  });
  expect(rootKey.status).toBe(201);
  const service = await call("POST", "/v1/services", {
    as,
    body: {
      id: "counted",
      endpoint: origin,
      root_key_id: "root",
      injection: { type: "bearer" },
      allow_addresses: ["loopback"],
    },
  });
  expect(service.status).toBe(201);
  return as;
}

/** Counts the requests that reach it, by path: each key calls its own. */
async function startCountingUpstream() {
  const calls = new Map<string, number>();
  const server = createServer((req, res) => {
    const id = (req.url ?? "").slice(1);
    calls.set(id, (calls.get(id) ?? 0) + 1);
    req.resume();
    res.setHeader("content-type", "application/json");
    res.end("{}");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
