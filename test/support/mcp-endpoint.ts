import { BoundedMap } from "../../src/core/bounded-map.ts";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { pino } from "pino";
import type { Role } from "../../src/access/principal.ts";
import { openTelemetry } from "../../src/mcp/observe/telemetry.ts";
import { loadConfig } from "../../src/config/load.ts";
import { createChangeBus } from "../../src/core/changes.ts";
import { steadyClock, systemClock } from "../../src/core/clock.ts";
import { newId } from "../../src/core/ids.ts";
import { newSecret } from "../../src/core/secret.ts";
import { createKeyCache } from "../../src/gate/key-cache.ts";
import { createOpenRequests } from "../../src/gate/open-requests.ts";
import { createOrgNames } from "../../src/gate/org-names.ts";
import { createClientAddress } from "../../src/http/client-address.ts";
import { createAuthenticator } from "../../src/identity/authenticate.ts";
import { createMembershipStore } from "../../src/identity/membership-store.ts";
import { createServiceAccountStore } from "../../src/identity/service-account-store.ts";
import { createUserStore } from "../../src/identity/user-store.ts";
import { createKeyStore } from "../../src/keys/store.ts";
import { createGuessThrottle, GUESS_THROTTLE_DEFAULTS } from "../../src/limits/guess-throttle.ts";
import { createMcpAuthenticate } from "../../src/mcp/authenticate.ts";
import { createMemoryLimits } from "../../src/limits/memory-limits.ts";
import type { FrontDoor, KeyRequest, McpLimits } from "../../src/mcp/types.ts";
import { type McpParts, wireMcp } from "../../src/mcp/wire.ts";
import type { Db } from "../../src/storage/open-database.ts";
import type { Keyring } from "../../src/vault/keyring.ts";
import { seedKey, seedOrg, seedService, testKeyring } from "./resources.ts";
import { openTempSqlite } from "./temp-sqlite.ts";

interface Options {
  readonly door?: FrontDoor;
  readonly limits?: Partial<McpLimits>;
  /** Runs before a key is issued, to inject a fault or a delay. */
  readonly beforeIssue?: (request: KeyRequest) => Promise<void>;
}

const DAY_MS = 86_400_000;
const LIMITS = {
  maxTtlMs: 30 * DAY_MS,
  maxRateLimit: 10_000,
  memberMaxTtlMs: 7 * DAY_MS,
  memberMaxRateLimit: 1_000,
  mcpMaxTtlMs: DAY_MS,
  mcpMaxRateLimit: 600,
};

/**
 * The MCP endpoint from its real parts on SQLite, over a real socket. `acme` has the services echo and vault, the member
 * alice, the owner bob, the service account pipeline (echo only; read, ten minutes, 30 a minute at most) and alice's virtual
 * key robot (echo, write); `rival` has the service other and the owner mallory.
 */
export async function startMcpEndpoint(options: Options = {}) {
  const database = await openTempSqlite();
  const { db } = database;
  const keyring = testKeyring();
  const lines: string[] = [];
  const secrets = await seedCallers(db, keyring);
  const wiring = wireUp(db, keyring, (line) => void lines.push(line), options);
  const { endpoint } = wiring;
  const server = createServer((request, response) => void endpoint.handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    endpoint,
    db,
    secrets,
    /** What was logged, one JSON line each. */
    lines,
    /** The keys that came to be over MCP. */
    issuedKeys: () => db.selectFrom("virtual_keys").selectAll().where("source", "=", "mcp").execute(),
    async [Symbol.asyncDispose]() {
      await wiring.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await database.close();
    },
  };
}

export type TestMcpEndpoint = Awaited<ReturnType<typeof startMcpEndpoint>>;

function wireUp(db: Db, keyring: Keyring, write: (line: string) => void, options: Options) {
  const clock = systemClock;
  const changes = createChangeBus();
  const keys = createKeyStore(db);
  const throttle = createGuessThrottle(steadyClock, GUESS_THROTTLE_DEFAULTS);
  const { beforeIssue, ...swapped } = options;
  const config = loadConfig({ env: {}, readFile: () => "" });
  const log = pino({ level: "error" }, { write });
  const gate = {
    clock,
    keyring,
    throttle,
    seenSecrets: new BoundedMap<string, string>(10),
    keys: createKeyCache({ changes, findBySecretHash: (hash) => keys.findBySecretHash(hash, clock.now()) }),
    limits: createMemoryLimits(steadyClock),
    claimUse: (uid: string) => keys.claimUse(uid),
  };
  const parts: McpParts = {
    version: "0.0.0-test",
    config,
    changes,
    openRequests: createOpenRequests(changes, (uids) => keys.revokedAmong(uids)),
    log,
    clientAddress: createClientAddress([]),
    publicUrl: null,
    authenticate: createMcpAuthenticate({
      authenticator: createAuthenticator({ db, keyring, clock, throttle }),
      gate,
      orgIdOf: createOrgNames(db, changes).idOf,
      agents: { find: () => null },
      local: null,
    }),
    gate,
    keyWrites: { db, keyring, clock, changes, limits: LIMITS },
    bearerFor: () => Promise.reject(new Error("no server here has a credential")),
    onFault: (err) => log.error({ err }, "fault"),
    telemetry: openTelemetry(config, {
      masterKeys: [],
      clock,
      version: "0.0.0-test",
      onProblem: (problem, err) => log.error({ err }, problem),
    }),
  };
  return wireMcp(parts, {
    ...swapped,
    builtIn: (deps) => ({
      ...deps,
      async issueKey(caller, request) {
        await beforeIssue?.(request);
        return deps.issueKey(caller, request);
      },
    }),
  });
}

async function seedCallers(db: Db, keyring: Keyring) {
  const { orgUid: acme } = await seedOrg(db, "acme");
  const { orgUid: rival } = await seedOrg(db, "rival");
  const echo = await seedService(db, acme, { id: "echo", description: "Says what it hears" });
  await seedService(db, acme, { id: "vault" });
  await seedService(db, acme, { id: "retired", disabledAtMs: Date.now() });
  await seedService(db, rival, { id: "other" });
  const alice = await seedUser(db, keyring, acme, "alice", "member");
  const bob = await seedUser(db, keyring, acme, "bob", "owner");
  const mallory = await seedUser(db, keyring, rival, "mallory", "owner");
  const robot = await seedKey(db, keyring, echo, { id: "vk_robot", ownerUid: alice.uid }, Date.now());

  const pipeline = newSecret("bfs");
  const account = {
    uid: newId("sa"),
    orgUid: acme,
    id: "pipeline",
    name: "Pipeline",
    services: [echo],
    maxTtlSeconds: 600,
    maxRateLimit: 30,
    maxScope: "read" as const,
    createdBy: bob.uid,
    createdAtMs: Date.now(),
  };
  await createServiceAccountStore(db).insert(account, keyring.hashSecret(pipeline));
  return { alice: alice.apiKey, bob: bob.apiKey, mallory: mallory.apiKey, pipeline, robot: robot.secret };
}

async function seedUser(db: Db, keyring: Keyring, orgUid: string, name: string, role: Role) {
  const uid = newId("usr");
  const apiKey = newSecret("bfu");
  const user = { uid, orgUid, name, email: `${name}@example.com`, createdAtMs: Date.now() };
  await createUserStore(db).insert(user, keyring.hashSecret(apiKey));
  await createMembershipStore(db).insert(orgUid, uid, role, Date.now());
  return { uid, apiKey };
}
