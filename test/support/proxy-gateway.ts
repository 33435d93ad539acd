import { createChangeBus } from "../../src/core/changes.ts";
import { type Clock, steadyClock, systemClock } from "../../src/core/clock.ts";
import { createLogger, type Logger } from "../../src/core/log.ts";
import { createCredentialStore, type CredentialStore } from "../../src/credentials/store.ts";
import { createCatalog } from "../../src/gate/catalog.ts";
import { createKeyCache } from "../../src/gate/key-cache.ts";
import { createClientAddress } from "../../src/http/client-address.ts";
import { createGatewayServer } from "../../src/http/gateway-server.ts";
import type { KeyOrder } from "../../src/keys/model.ts";
import { createKeyStore, type KeyStore } from "../../src/keys/store.ts";
import { createGuessThrottle, GUESS_THROTTLE_DEFAULTS } from "../../src/limits/guess-throttle.ts";
import { createMemoryLimits } from "../../src/limits/memory-limits.ts";
import { createProxyHandler } from "../../src/proxy/handle-request.ts";
import { createSigningKeys } from "../../src/proxy/signing-keys.ts";
import { isProxyTarget } from "../../src/proxy/target.ts";
import type { Exchange } from "../../src/proxy/types.ts";
import { createUpgradeHandler } from "../../src/proxy/upgrade.ts";
import { createUpstreams } from "../../src/proxy/upstreams.ts";
import { wireProxy } from "../../src/proxy/wire.ts";
import { DEFAULT_SETTINGS, type Service, type ServiceSettings } from "../../src/services/model.ts";
import { createServiceStore } from "../../src/services/store.ts";
import { newId } from "../../src/core/ids.ts";
import { newSecret } from "../../src/core/secret.ts";
import { seedCredential, seedKey, seedOrg, seedService, testKeyring } from "./resources.ts";
import { openTempSqlite } from "./temp-sqlite.ts";

export const REAL_SECRET = "sk-real-secret-0123456789";

export interface ProxyGateway {
  readonly url: string;
  readonly databaseFile: string;
  readonly exchanges: Exchange[];
  /** A service on this origin, with a credential unless `secret` is null. Loopback is allowed unless the settings say otherwise. */
  service(
    origin: string,
    given?: { settings?: Partial<ServiceSettings>; secret?: string | null; basePath?: string; id?: string },
  ): Promise<Service>;
  key(service: Service, given?: Partial<KeyOrder>): Promise<{ secret: string; id: string; uid: string }>;
  revoke(uid: string): Promise<void>;
  /** A new secret; the old one works for the grace period. */
  rotate(uid: string, graceMs: number): Promise<string>;
  openRequests(): number;
  close(): Promise<void>;
}

/** The whole API plane on real parts (SQLite, sockets), without the management API: rows are seeded directly. */
export async function startProxyGateway(
  options: {
    clock?: Clock;
    keyStore?: (store: KeyStore) => KeyStore;
    failuresPerMinute?: number;
    credentials?: (store: CredentialStore) => CredentialStore;
    /** Answers instead of the system's name servers. */
    resolve?: Parameters<typeof createUpstreams>[0];
    log?: Logger;
  } = {},
): Promise<ProxyGateway> {
  const clock = options.clock ?? systemClock;
  const { db, path: databaseFile, close: closeDb } = await openTempSqlite();
  const keyring = testKeyring();
  const changes = createChangeBus();
  const rawStore = createKeyStore(db);
  const keyStore = options.keyStore?.(rawStore) ?? rawStore;
  const serviceStore = createServiceStore(db);
  const { orgUid, orgId } = await seedOrg(db);
  const exchanges: Exchange[] = [];

  const wiring = wireProxy({
    clock,
    log: options.log ?? createLogger("silent"),
    changes,
    keyring,
    keys: createKeyCache({ changes, findBySecretHash: (hash) => keyStore.findBySecretHash(hash, clock.now()) }),
    keyStore,
    credentials: options.credentials?.(createCredentialStore(db)) ?? createCredentialStore(db),
    catalog: createCatalog({ changes, findService: (uid) => serviceStore.findByUid(uid) }),
    limits: createMemoryLimits(steadyClock),
    throttle: createGuessThrottle(steadyClock, {
      ...GUESS_THROTTLE_DEFAULTS,
      failuresPerMinute: options.failuresPerMinute ?? 10_000,
    }),
    clientAddress: createClientAddress([]),
    signingKeys: createSigningKeys(db, keyring, clock),
    issuer: "https://gateway.test",
    orgIdOf: () => Promise.resolve(orgId),
    metrics: null,
  });
  const upstreams = options.resolve === undefined ? wiring.upstreams : createUpstreams(options.resolve);
  const deps = { ...wiring.deps, upstreams, settled: (exchange: Exchange) => void exchanges.push(exchange) };
  const server = createGatewayServer({
    host: "127.0.0.1",
    port: 0,
    planes: [{ owns: isProxyTarget, handle: createProxyHandler(deps), upgrade: createUpgradeHandler(deps) }],
    management: (_req, res) => void res.writeHead(404).end(),
    cors: { origins: [] },
    onFault: (fault) => {
      throw fault;
    },
  });
  const { port } = await server.listen();

  return {
    url: `http://127.0.0.1:${port}`,
    databaseFile,
    exchanges,
    async service(origin, given = {}) {
      const secret = given.secret === undefined ? REAL_SECRET : given.secret;
      const credential =
        secret === null ? null : await seedCredential(db, keyring, orgUid, { secret, origins: [origin] });
      return seedService(db, orgUid, {
        id: given.id ?? newId("svc"),
        origin,
        basePath: given.basePath ?? "",
        credentialUid: credential?.uid ?? null,
        settings: {
          ...DEFAULT_SETTINGS,
          injection: { kind: "bearer" },
          allowAddresses: ["loopback"],
          ...given.settings,
        },
      });
    },
    async key(service, given = {}) {
      const { key, secret } = await seedKey(db, keyring, service, { rateLimit: 1_000_000, ...given }, clock.now());
      return { secret, id: key.id, uid: key.uid };
    },
    async revoke(uid) {
      await rawStore.revoke(uid, clock.now());
      changes.publish({ kind: "key", uid, revoked: true });
    },
    async rotate(uid, graceMs) {
      const key = await rawStore.findByUid(uid);
      if (!key) throw new Error("no such key");
      const secret = newSecret("bfk");
      const nowMs = clock.now();
      const next = { secretHash: keyring.hashSecret(secret), hint: "bfk_…", previousUntilMs: nowMs + graceMs };
      if (!(await rawStore.rotate(key, next, nowMs))) throw new Error("not rotated");
      changes.publish({ kind: "key", uid, revoked: false });
      return secret;
    },
    openRequests: () => wiring.openRequests.size,
    async close() {
      await server.close(0, () => undefined);
      await upstreams.close();
      await wiring.upstreams.close();
      await closeDb();
    },
  };
}
