import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createDenialRecorder } from "../../src/audit/denials.ts";
import { createAuditLog } from "../../src/audit/log.ts";
import { auditRoutes } from "../../src/audit/routes.ts";
import { createChangeBus } from "../../src/core/changes.ts";
import { createLogger } from "../../src/core/log.ts";
import { createClientAddress } from "../../src/http/client-address.ts";
import type { Route } from "../../src/http/route.ts";
import { createManagementListener } from "../../src/http/server.ts";
import { createRunOnce } from "../../src/idempotency/run-once.ts";
import { createAuthenticator, type GuessThrottle } from "../../src/identity/authenticate.ts";
import { DEFAULT_SESSION_POLICY, type IdentityDeps, type SessionPolicy } from "../../src/identity/model.ts";
import { identityRoutes } from "../../src/identity/routes.ts";
import type { IssueServiceToken } from "../../src/identity/service-token-route.ts";
import { createSetupToken, ensureDefaultOrg } from "../../src/identity/setup.ts";
import type { Db } from "../../src/storage/open-database.ts";
import { createKeyring } from "../../src/vault/keyring.ts";
import { engines } from "./engines.ts";
import { seedKey, testClock } from "./resources.ts";

export interface Answer {
  readonly status: number;
  // oxlint-disable-next-line typescript/no-explicit-any -- a test reads the fields that it expects
  readonly body: any;
  readonly headers: Headers;
}

export interface Call {
  /** A session token or API key, sent as Bearer. */
  readonly as?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

export type Caller = ReturnType<typeof createCaller>;

/** Calls a management API as any client does. */
export function createCaller(url: string) {
  return async function call(method: string, path: string, { as, headers = {}, body }: Call = {}): Promise<Answer> {
    const response = await fetch(url + path, {
      method,
      headers: {
        ...(as === undefined ? {} : { authorization: `Bearer ${as}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = response.headers.get("content-type")?.includes("json") ?? false;
    return { status: response.status, body: isJson ? JSON.parse(text) : text, headers: response.headers };
  };
}

/** Sets an instance up and returns its owner. */
export async function setUp(call: Caller, setupToken: string): Promise<TestUser> {
  const answer = await call("POST", "/v1/setup", {
    headers: { "x-setup-token": setupToken },
    body: { name: "Olga", email: "olga@example.com" },
  });
  if (answer.status !== 201) throw new Error(`set-up answered ${answer.status}`);
  return toUser(answer);
}

/** A new user, made by `as` in the org of the request or the one named in `more`. */
export async function addUser(
  call: Caller,
  as: string,
  role: string,
  more: Record<string, unknown> = {},
): Promise<TestUser> {
  const email = `${randomBytes(6).toString("hex")}@example.com`;
  const answer = await call("POST", "/v1/users", { as, body: { name: `A ${role}`, email, role, ...more } });
  if (answer.status !== 201) throw new Error(`adding a user answered ${answer.status}: ${answer.body.error}`);
  return toUser(answer);
}

interface Options {
  readonly open?: (typeof engines)[keyof typeof engines];
  readonly sessions?: SessionPolicy;
  readonly throttle?: GuessThrottle;
  readonly masterKeys?: readonly Buffer[];
  /** Wraps the database of the routes, for injected latency. */
  readonly wrapDb?: (db: Db) => Db;
  readonly moreRoutes?: (deps: IdentityDeps) => Route[];
}

export type TestManagement = Awaited<ReturnType<typeof startManagement>>;

/** The management API from its real parts, on a real database, over a real socket. */
export async function startManagement(options: Options = {}) {
  const database = await (options.open ?? engines.sqlite)();
  const db = options.wrapDb?.(database.db) ?? database.db;
  const keyring = createKeyring(options.masterKeys ?? [randomBytes(32)]);
  const clock = testClock();
  const changes = createChangeBus();
  const log = createLogger("silent");
  const throttle = options.throttle ?? { isThrottled: () => null, recordFailure: () => undefined };
  const deps: IdentityDeps = { db, keyring, clock, changes, sessions: options.sessions ?? DEFAULT_SESSION_POLICY };
  const authenticator = createAuthenticator({ ...deps, throttle });
  const denials = createDenialRecorder({ audit: createAuditLog(db, keyring, clock), log });
  const routes = [
    ...identityRoutes({ ...deps, authenticator, throttle, issueServiceToken: issueInto(deps) }),
    ...auditRoutes({ db }),
    ...(options.moreRoutes?.(deps) ?? []),
  ];
  const defaultOrg = await ensureDefaultOrg(database.db, clock);
  const setupToken = await createSetupToken(database.db, keyring);
  const management = await createManagementListener({
    routes,
    version: "test",
    log,
    clientAddress: createClientAddress([]),
    publicUrl: null,
    authenticate: (request) => authenticator.authenticate(request),
    runOnce: createRunOnce(deps),
    onDenied: (denial) => denials.record(denial),
  });
  const server = createServer(management.listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const call = createCaller(url);

  return {
    url,
    call,
    routes,
    openapi: management.openapi(),
    db: database.db,
    keyring,
    clock,
    changes,
    authenticator,
    denials,
    defaultOrg,
    setupToken: setupToken ?? "",
    setUp: () => setUp(call, setupToken ?? ""),
    addUser: (as: string, role: string, more: Record<string, unknown> = {}) => addUser(call, as, role, more),
    async close() {
      server.closeAllConnections();
      server.close();
      await denials.flush();
      await management.close();
      await database.close();
    },
  };
}

export interface TestUser {
  readonly id: string;
  readonly email: string;
  readonly apiKey: string;
  readonly token: string;
}

function toUser({ body }: Answer): TestUser {
  return { id: body.id, email: body.email, apiKey: body.api_key, token: body.token };
}

/** Stands for keys/issue.ts, which has tests of its own: the order becomes a key, nothing more. */
function issueInto({ db, keyring, clock }: IdentityDeps): IssueServiceToken {
  return async ({ account, service, ttlSeconds, rateLimit, scope }) => {
    const { key, secret } = await seedKey(
      db,
      keyring,
      { ...service, orgUid: account.orgUid },
      {
        scope,
        rateLimit,
        expiresAtMs: clock.now() + ttlSeconds * 1_000,
        source: "service_account",
        ownerKind: "service_account",
        ownerUid: account.uid,
      },
    );
    return { id: key.id, secret, expiresAtMs: key.expiresAtMs };
  };
}
