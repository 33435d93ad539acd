import { BoundedMap } from "../core/bounded-map.ts";
import type { ChangeBus } from "../core/changes.ts";
import type { Clock } from "../core/clock.ts";
import type { Logger } from "../core/log.ts";
import type { Metrics } from "../core/metrics.ts";
import { isBoundTo, revealCredential } from "../credentials/reveal.ts";
import type { CredentialStore } from "../credentials/store.ts";
import type { Catalog, LiveService } from "../gate/catalog.ts";
import { type KeyCache, MAX_KEYS } from "../gate/key-cache.ts";
import type { ClientAddressOf } from "../http/client-address.ts";
import type { KeyStore } from "../keys/store.ts";
import type { GuessThrottle } from "../limits/guess-throttle.ts";
import type { Limits } from "../limits/types.ts";
import type { Keyring } from "../vault/keyring.ts";
import { type Asserter, createAsserter } from "./assertion.ts";
import { createInjector } from "./inject.ts";
import { createOpenRequests, type OpenRequests } from "../gate/open-requests.ts";
import type { SigningKeys } from "./signing-keys.ts";
import type { Exchange, ProxyDeps } from "./types.ts";
import { createUpstreams, type Upstreams } from "./upstreams.ts";

/** What the proxy plane is made of; app.ts builds these. */
export interface ProxyParts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly changes: ChangeBus;
  readonly keyring: Keyring;
  readonly keys: KeyCache;
  readonly keyStore: Pick<KeyStore, "claimUse" | "revokedAmong">;
  readonly credentials: CredentialStore;
  readonly catalog: Catalog;
  readonly limits: Limits;
  readonly throttle: GuessThrottle;
  readonly clientAddress: ClientAddressOf;
  readonly signingKeys: SigningKeys;
  /** `iss` of assertions. */
  readonly issuer: string;
  orgIdOf(orgUid: string): Promise<string>;
  readonly metrics: Metrics | null;
}

export interface ProxyWiring {
  readonly deps: ProxyDeps;
  readonly openRequests: OpenRequests;
  readonly upstreams: Upstreams;
}

export function wireProxy(parts: ProxyParts): ProxyWiring {
  const openRequests = createOpenRequests(parts.changes, (uids) => parts.keyStore.revokedAmong(uids));
  const upstreams = createUpstreams();
  return {
    openRequests,
    upstreams,
    deps: {
      clock: parts.clock,
      keyring: parts.keyring,
      seenSecrets: new BoundedMap(MAX_KEYS),
      keys: parts.keys,
      throttle: parts.throttle,
      limits: parts.limits,
      claimUse: (keyUid) => parts.keyStore.claimUse(keyUid),
      catalog: parts.catalog,
      injector: createInjector({ reveal: (target, credentialUid) => revealFor(parts, target, credentialUid) }),
      upstreams,
      openRequests,
      clientAddress: parts.clientAddress,
      log: parts.log,
      asserter: createAsserterSource(parts),
      orgIdOf: (orgUid) => parts.orgIdOf(orgUid),
      settled: (exchange) => count(parts.metrics, exchange),
    },
  };
}

/** The second lock beside the one at registration: a secret leaves only for an origin that it is bound to, in its own org. */
async function revealFor(parts: ProxyParts, target: LiveService, credentialUid: string): Promise<string> {
  const { credential, secret } = await revealCredential(parts, credentialUid);
  if (credential.orgUid !== target.service.orgUid) throw new Error("the credential belongs to another organization");
  if (!isBoundTo(credential, target.service.origin))
    throw new Error("the credential is not bound to the service's origin");
  return secret;
}

/** Signing keys change every 90 days; the asserter looks once an hour. */
const ASSERTER_AGE_MS = 3_600_000;

function createAsserterSource(parts: ProxyParts): () => Promise<Asserter> {
  let made: { asserter: Promise<Asserter>; atMs: number } | null = null;
  return () => {
    const nowMs = parts.clock.now();
    if (made && nowMs - made.atMs < ASSERTER_AGE_MS) return made.asserter;
    const asserter = parts.signingKeys.current().then((key) => createAsserter(key, parts.issuer, parts.clock));
    const entry = { asserter, atMs: nowMs };
    made = entry;
    // A failed attempt is not kept for an hour.
    asserter.catch(() => {
      if (made === entry) made = null;
    });
    return asserter;
  };
}

function count(metrics: Metrics | null, exchange: Exchange): void {
  if (!metrics) return;
  metrics.request("proxy", exchange.serviceId, exchange.status, (performance.now() - exchange.startedAt) / 1_000);
  if (exchange.error) metrics.refused(exchange.error.code);
}
