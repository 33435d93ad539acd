import { randomBytes } from "node:crypto";
import { expect, it } from "vitest";
import { BoundedMap } from "../core/bounded-map.ts";
import { createChangeBus } from "../core/changes.ts";
import { steadyClock, systemClock } from "../core/clock.ts";
import { makeKey } from "../keys/model.ts";
import { createGuessThrottle, GUESS_THROTTLE_DEFAULTS } from "../limits/guess-throttle.ts";
import { createKeyring } from "../vault/keyring.ts";
import { authenticate } from "./authenticate.ts";
import { createKeyCache } from "./key-cache.ts";

it("finds a key that was hashed under a previous master key, and from then on without a read", async () => {
  const [current, previous] = [randomBytes(32), randomBytes(32)];
  const before = createKeyring([previous]);
  const order = {
    id: null,
    orgUid: "org_a",
    name: "",
    scope: "read" as const,
    expiresAtMs: systemClock.now() + 60_000,
    rateLimit: 60,
    maxConcurrency: null,
    maxUses: null,
    agentId: null,
    source: "api" as const,
    ownerKind: "user" as const,
    ownerUid: "usr_a",
    metadata: {},
    grants: [],
  };
  const { key, secret } = makeKey(order, (text) => before.hashSecret(text), systemClock.now());
  const reads: string[] = [];
  const keys = createKeyCache({
    changes: createChangeBus(),
    findBySecretHash(hash) {
      reads.push(hash);
      return Promise.resolve(hash === key.secretHash ? key : null);
    },
  });
  const throttle = createGuessThrottle(steadyClock, GUESS_THROTTLE_DEFAULTS);
  const deps = {
    clock: systemClock,
    keyring: createKeyring([current, previous]),
    keys,
    throttle,
    seenSecrets: new BoundedMap<string, string>(10),
  };
  expect((await authenticate(secret, "192.0.2.1", deps)).key.uid).toBe(key.uid);
  expect(reads).toHaveLength(2);
  expect((await authenticate(secret, "192.0.2.1", deps)).key.uid).toBe(key.uid);
  expect(reads).toHaveLength(2);
});
