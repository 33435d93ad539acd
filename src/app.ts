import { createDenialRecorder } from "./audit/denials.ts";
import { createAuditLog } from "./audit/log.ts";
import { auditRoutes } from "./audit/routes.ts";
import { resolveMasterKeys } from "./config/master-key.ts";
import type { Config } from "./config/model.ts";
import { createChangeBus } from "./core/changes.ts";
import { type Clock, steadyClock, systemClock } from "./core/clock.ts";
import { GatewayError } from "./core/errors.ts";
import { createLogger, type Logger } from "./core/log.ts";
import { bearerFor } from "./credentials/bearer.ts";
import { credentialRoutes } from "./credentials/routes.ts";
import { createCredentialStore } from "./credentials/store.ts";
import { createCatalog } from "./gate/catalog.ts";
import { createKeyCache } from "./gate/key-cache.ts";
import { createOrgNames } from "./gate/org-names.ts";
import { createClientAddress } from "./http/client-address.ts";
import { createGatewayServer, type Plane } from "./http/gateway-server.ts";
import type { Route } from "./http/route.ts";
import { createManagementListener } from "./http/server.ts";
import { createRunOnce } from "./idempotency/run-once.ts";
import { createAuthenticator } from "./identity/authenticate.ts";
import { identityRoutes } from "./identity/routes.ts";
import { createOrgStore } from "./identity/org-store.ts";
import { createSetupToken, ensureDefaultOrg } from "./identity/setup.ts";
import { instanceRoutes } from "./instance-routes.ts";
import { createKeyIssuer } from "./keys/issue.ts";
import { keyRoutes } from "./keys/routes.ts";
import { issueServiceTokenWith } from "./keys/service-token.ts";
import { createKeyStore } from "./keys/store.ts";
import { createGuessThrottle, GUESS_THROTTLE_DEFAULTS } from "./limits/guess-throttle.ts";
import { createMemoryLimits } from "./limits/memory-limits.ts";
import { createMcpAuthenticate } from "./mcp/authenticate.ts";
import { createControlPlane } from "./mcp/control.ts";
import { frontDoorFor } from "./mcp/front-door.ts";
import { createGatewayAgents } from "./mcp/gateway-agents.ts";
import { openTelemetry } from "./mcp/observe/telemetry.ts";
import { createMcpPlane } from "./mcp/plane.ts";
import { mcpServerRoutes } from "./mcp/server-routes.ts";
import { createProxyHandler } from "./proxy/handle-request.ts";
import { createSigningKeys } from "./proxy/signing-keys.ts";
import { isProxyTarget } from "./proxy/target.ts";
import { createUpgradeHandler } from "./proxy/upgrade.ts";
import { wireProxy } from "./proxy/wire.ts";
import { startRetention } from "./retention/runner.ts";
import { serviceRoutes } from "./services/routes.ts";
import { createServiceStore } from "./services/store.ts";
import { syncDeclared } from "./services/sync-declared.ts";
import { acquireInstanceLock } from "./storage/instance-lock.ts";
import { migrate } from "./storage/migrate.ts";
import { openDatabase } from "./storage/open-database.ts";
import { openKeyring } from "./storage/open-keyring.ts";
import { VERSION } from "./version.ts";

export interface App {
  /** Starts to answer. The URL has the port in use. */
  listen(): Promise<{ url: string }>;
  /** Takes over the credentials, services and MCP servers that a changed file declares, without dropping a request. */
  reload(config: Config): Promise<void>;
  /** Stops taking requests, lets running ones end within the configured time, cuts the rest, and closes everything. */
  close(): Promise<void>;
  /** Settles as `close` does, whoever called it: `/close` also stops a gateway. */
  readonly closed: Promise<void>;
  /** The one-time set-up token, while nobody has set the instance up; made anew at each start. */
  readonly setupToken: string | null;
  /** For documentation and tests. */
  readonly routes: readonly Route[];
  openapi(): Record<string, unknown>;
}

/** All that a test may swap. */
export interface Replace {
  readonly clock?: Clock;
  readonly log?: Logger;
}

/**
 * Builds the gateway, bottom layer first. Opens the database, brings its schema up to date and takes the
 * instance lock; listens only when told to. Whatever is missing or unreachable fails here, not later.
 */
export async function createApp(config: Config, replace: Replace = {}): Promise<App> {
  // Everything that must be closed, in the order in which it was opened; closed in reverse, also when a later part fails.
  const opened = new AsyncDisposableStack();
  try {
    return await build(config, replace, opened);
  } catch (failure) {
    await opened.disposeAsync();
    throw failure;
  }
}

async function build(config: Config, replace: Replace, opened: AsyncDisposableStack): Promise<App> {
  const clock = replace.clock ?? systemClock;
  const masterKeys = resolveMasterKeys(config, { create: true }).keys;
  const telemetry = openTelemetry(config, {
    masterKeys,
    clock,
    version: VERSION,
    onProblem: (problem, err) => log.warn({ err }, problem),
  });
  opened.defer(() => telemetry.close());
  const log = replace.log ?? createLogger(config.log.level, telemetry.onLogLine);
  const changes = createChangeBus();

  // Storage. The lock first: a second instance must not even migrate.
  const lock = await acquireInstanceLock(config.database, {
    shared: config.redisUrl !== null,
    onLost(error) {
      log.error({ err: error }, "the instance lock is lost: stopping");
      void close();
    },
  });
  opened.defer(() => lock.release());
  const db = openDatabase(config.database);
  opened.defer(() => db.destroy());
  await migrate(db);
  const keyring = await openKeyring(db, masterKeys, { create: true });
  const firstOrg = await ensureDefaultOrg(db, clock);
  const setupToken = await createSetupToken(db, keyring, {
    renew: true,
    ...(config.auth.setupToken === null ? {} : { provided: config.auth.setupToken }),
  });
  const writes = { db, keyring, clock, changes };
  await syncDeclared(writes, config);

  // Limits, shared with the other instances where there is a Redis.
  const cluster =
    config.redisUrl === null
      ? null
      : await (
          await import("./cluster/join.ts")
        ).joinCluster({
          redisUrl: config.redisUrl,
          changes,
          log,
          clock: steadyClock,
          whenDown: config.limits.redisDown,
          deadlineMs: config.limits.redisTimeoutMs,
        });
  const limits = cluster?.limits ?? createMemoryLimits(steadyClock);
  opened.defer(() => (cluster ?? limits).close());
  const throttle = createGuessThrottle(steadyClock, {
    ...GUESS_THROTTLE_DEFAULTS,
    failuresPerMinute: config.limits.authFailuresPerMinute,
  });

  // The gate, and the planes behind it.
  const keyStore = createKeyStore(db);
  const credentials = createCredentialStore(db);
  const serviceStore = createServiceStore(db);
  const orgNames = createOrgNames(db, changes);
  const clientAddress = createClientAddress(config.server.trustedProxies);
  const signingKeys = createSigningKeys(db, keyring, clock);
  const keys = createKeyCache({ changes, findBySecretHash: (hash) => keyStore.findBySecretHash(hash, clock.now()) });
  const metrics = config.metrics.enabled
    ? (await import("./core/metrics.ts")).createMetrics({ requests: () => proxy.openRequests.size })
    : null;
  const proxy = wireProxy({
    clock,
    log,
    changes,
    keyring,
    keys,
    keyStore,
    credentials,
    catalog: createCatalog({ changes, findService: (uid) => serviceStore.findByUid(uid) }),
    limits,
    throttle,
    clientAddress,
    signingKeys,
    issuer: config.server.publicUrl ?? "bifrost",
    orgIdOf: orgNames.idOf,
    metrics,
  });
  opened.defer(() => proxy.upstreams.close());
  const authenticator = createAuthenticator({ ...writes, throttle });
  const keyWrites = { ...writes, limits: config.keys };
  const authenticateMcp = createMcpAuthenticate({
    authenticator,
    gate: proxy.deps,
    orgIdOf: orgNames.idOf,
    agents: createGatewayAgents(config.gateway.agents, { keyring, throttle, org: firstOrg }),
    local:
      config.gateway.auth === "none"
        ? { kind: "local", uid: "local", id: "local", orgUid: firstOrg.uid, orgId: firstOrg.id }
        : null,
  });
  const mcp = createMcpPlane({
    config,
    telemetry,
    metrics,
    version: VERSION,
    log,
    clientAddress,
    publicUrl: config.server.publicUrl,
    changes,
    authenticate: authenticateMcp,
    gate: proxy.deps,
    openRequests: proxy.openRequests,
    keyWrites,
    async bearerFor(server, credential) {
      const { transport } = server;
      if (transport.kind !== "http") throw new GatewayError("upstream.refused");
      const org = server.org === null ? firstOrg : await createOrgStore(db).findById(server.org);
      if (!org) throw new GatewayError("upstream.refused", { detail: `no organization ${server.org ?? ""}` });
      return bearerFor({ credentials, keyring }, org.uid, credential, new URL(transport.url).origin);
    },
    onFault: (err) => log.error({ err }, "the MCP plane could not be loaded"),
  });
  opened.defer(() => mcp.close());

  // Management.
  const issueKey = createKeyIssuer(keyWrites);
  const routes: Route[] = [
    ...instanceRoutes({
      version: VERSION,
      signingKeys,
      metrics,
      metricsArePublic: config.metrics.public,
      isReady: () => answers(db.selectFrom("instance_settings").select("name").limit(1).execute()),
    }),
    ...identityRoutes({
      ...writes,
      sessions: {
        ttlMs: config.auth.tokenTtlMs,
        maxTtlMs: config.auth.maxTokenTtlMs,
        maxAgeMs: config.auth.maxSessionAgeMs,
      },
      authenticator,
      throttle,
      issueServiceToken: issueServiceTokenWith(issueKey),
    }),
    ...credentialRoutes(writes),
    ...serviceRoutes({ ...writes, keysIn: (trx) => createKeyStore(trx) }),
    ...keyRoutes({ ...keyWrites, rotationGraceMs: config.keys.rotationGraceMs }),
    ...mcpServerRoutes({
      servers: async () => (config.mcp.enabled ? mcp.servers() : null),
      redact: (text) => telemetry.redactor.redact(text),
    }),
    ...auditRoutes({ db }),
  ];
  const denials = createDenialRecorder({ audit: createAuditLog(db, keyring, clock), log });
  opened.defer(() => denials.flush());
  const management = await createManagementListener({
    routes,
    version: VERSION,
    log,
    clientAddress,
    publicUrl: config.server.publicUrl,
    authenticate: (request) => authenticator.authenticate(request),
    runOnce: createRunOnce(writes),
    onDenied: (denial) => denials.record(denial),
  });
  opened.defer(() => management.close());

  const control = createControlPlane({
    version: VERSION,
    log,
    door: frontDoorFor(config.server),
    clientAddress,
    authenticate: authenticateMcp,
    agentCount: config.gateway.agents.length,
    servers: () => mcp.servers(),
    sessions: () => mcp.sessions(),
    shutDown: () => void close(),
    now: () => clock.now(),
  });
  const planes: Plane[] = [
    { owns: isProxyTarget, handle: createProxyHandler(proxy.deps), upgrade: createUpgradeHandler(proxy.deps) },
    ...(config.mcp.enabled ? [mcp, control] : []),
  ];
  const server = createGatewayServer({
    host: config.server.host,
    port: config.server.port,
    planes,
    management: management.listener,
    cors: { origins: config.server.corsOrigins },
    onFault: (err) => log.error({ err }, "a request handler failed"),
  });

  const retention = startRetention({ db, clock, log, policy: config.retention });
  opened.defer(() => retention.stop());

  const closed = Promise.withResolvers<void>();
  let closing: Promise<void> | null = null;
  /** Stops taking requests, lets running ones end, then drops what they used. Runs once. */
  function close(): Promise<void> {
    if (!closing) closed.resolve((closing = drain()));
    return closing;
  }
  async function drain(): Promise<void> {
    mcp.drain();
    const cutOff = () => proxy.openRequests.abortAll(new GatewayError("gateway.draining"));
    await server.close(config.server.shutdownTimeoutMs, cutOff);
    await opened.disposeAsync();
  }

  return {
    async listen() {
      const { port } = await server.listen();
      if (config.mcp.enabled) mcp.start();
      return { url: `http://${urlHost(config.server.host)}:${port}` };
    },
    async reload(next) {
      await syncDeclared(writes, next);
      telemetry.learn(next);
      await mcp.reload(next.mcpServers);
    },
    close,
    closed: closed.promise,
    setupToken,
    routes,
    openapi: management.openapi,
  };
}

function urlHost(host: string): string {
  if (host === "0.0.0.0" || host === "::") return "127.0.0.1";
  return host.includes(":") ? `[${host}]` : host;
}

async function answers(question: Promise<unknown>): Promise<boolean> {
  return question.then(
    () => true,
    () => false,
  );
}
