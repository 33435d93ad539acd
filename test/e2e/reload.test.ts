import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createSandbox } from "../cli/support.ts";
import { createCaller, setUp } from "../support/management.ts";

const CLIENTS = 4;
const RELOADS = 6;

let sandbox: ReturnType<typeof createSandbox>;
let upstreams: Awaited<ReturnType<typeof startNamedUpstream>>[];
beforeAll(async () => {
  sandbox = createSandbox();
  upstreams = await Promise.all(["before", "after"].map(startNamedUpstream));
});
afterAll(async () => {
  await sandbox.remove();
  await Promise.all(upstreams.map((upstream) => upstream.close()));
});

/** A configuration that leads the service to one of the upstreams, each with a credential of its own. */
function configFor({ origin, credential }: { origin: string; credential: string }): string {
  const secret = join(sandbox.dir, `${credential}.secret`);
  writeFileSync(secret, credential, { mode: 0o600 });
  return [
    "[services.api]",
    `endpoint = "${origin}"`,
    `credential = { file = "${secret}" }`,
    'injection = { type = "bearer" }',
    'allow_addresses = ["loopback"]',
    "",
  ].join("\n");
}

it("a reload under load drops no request and mixes no credential; a wrong file is refused whole, and the old one goes on", async () => {
  const file = join(sandbox.dir, "bifrost.toml");
  const [before, after] = upstreams;
  if (!before || !after) throw new Error("no upstreams");
  writeFileSync(file, configFor(before));
  const gateway = await sandbox.serve(["--config", file], { BIFROST_KEYS_MAX_RATE_LIMIT: "1000000" });
  const call = createCaller(gateway.url);
  const { apiKey } = await setUp(call, gateway.setup_token ?? "");
  const issued = await call("POST", "/v1/keys", {
    as: apiKey,
    body: { target: "api", scope: "write", ttl: "1h", rate_limit: 1_000_000 },
  });
  expect(issued.status, JSON.stringify(issued.body)).toBe(201);
  const as: string = issued.body.virtual_key;

  const answers = new Map<string, number>();
  let done = false;
  const clients = Array.from({ length: CLIENTS }, async () => {
    while (!done) {
      const answer = await call("POST", "/v1/proxy/x", { as, body: { some: "body" } }).catch((error: Error) => ({
        status: 0,
        body: { error: `${error.message}: ${String(error.cause)}` },
      }));
      const seen = `${answer.status} ${answer.body.upstream ?? answer.body.error}`;
      answers.set(seen, (answers.get(seen) ?? 0) + 1);
    }
  });

  try {
    for (let turn = 1; turn <= RELOADS; turn += 1) {
      writeFileSync(file, configFor(turn % 2 === 0 ? before : after));
      const reloaded = await sandbox.run(["reload"]);
      expect(reloaded.code, reloaded.stderr).toBe(0);
      // Applied means applied: the very next request is under the new file.
      const current = { upstream: turn % 2 === 0 ? "before" : "after" };
      expect((await call("GET", "/v1/proxy/x", { as })).body).toEqual(current);

      writeFileSync(file, `${configFor(turn % 2 === 0 ? after : before)}[services.two]\nendpoint = "ftp://x"\n`);
      const refused = await sandbox.run(["reload"]);
      expect(refused.code).toBe(1);
      expect(refused.stderr).toContain("services.two.endpoint");
      expect((await call("GET", "/v1/proxy/x", { as })).body).toEqual(current);
    }
  } finally {
    done = true;
    await Promise.all(clients);
  }
  expect([...answers.keys()].sort()).toEqual(["200 after", "200 before"]);
  expect(upstreams.flatMap((upstream) => upstream.strangers)).toEqual([]);
  expect(await gateway.stop()).toBe(0);
}, 120_000);

/** Answers with its name, and notes every request that carries another credential than its own. */
async function startNamedUpstream(name: string) {
  const credential = `sk-of-the-upstream-${name}`;
  const strangers: string[] = [];
  const server = createServer((req, res) => {
    if (req.headers.authorization !== `Bearer ${credential}`) strangers.push(req.headers.authorization ?? "none");
    req.resume();
    res.setHeader("content-type", "application/json");
    res.end(JSON.stringify({ upstream: name }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    credential,
    strangers,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
