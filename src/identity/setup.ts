import { timingSafeEqual } from "node:crypto";
import { createAuditLog } from "../audit/log.ts";
import type { Clock } from "../core/clock.ts";
import { GatewayError } from "../core/errors.ts";
import { newId } from "../core/ids.ts";
import { newSecret } from "../core/secret.ts";
import type { RequestContext } from "../http/route.ts";
import { isUniqueViolation } from "../storage/errors.ts";
import type { Db } from "../storage/open-database.ts";
import type { Keyring } from "../vault/keyring.ts";
import { createMembershipStore } from "./membership-store.ts";
import { DEFAULT_ORG_ID, type IdentityDeps, type Org, type User } from "./model.ts";
import { createOrgStore } from "./org-store.ts";
import { issueSession, tokenTtlMs } from "./sessions.ts";
import { createUserStore } from "./user-store.ts";

/** Rows of instance_settings. */
const SETUP_TOKEN_HASH = "setup_token_hash";
const SETUP_DONE = "setup_done";

/** Shorter tokens could be guessed. */
const MIN_PROVIDED_TOKEN = 20;

/** The org `default`, made if it is not there. Safe to call at every start, on several gateways at once. */
export async function ensureDefaultOrg(db: Db, clock: Clock): Promise<Org> {
  const nowMs = clock.now();
  await db
    .insertInto("orgs")
    .values({
      uid: newId("org"),
      id: DEFAULT_ORG_ID,
      name: "Default",
      domain: null,
      email: null,
      created_at_ms: nowMs,
      updated_at_ms: nowMs,
    })
    .onConflict((c) => c.doNothing())
    .execute();
  const org = await createOrgStore(db).findById(DEFAULT_ORG_ID);
  if (!org) throw new Error("the default organization could not be made: its name is taken");
  return org;
}

export async function isSetUp(db: Db): Promise<boolean> {
  return (await readSettings(db)).has(SETUP_DONE);
}

/**
 * Makes the one-time token that set-up needs and returns its text, which is nowhere else. Null when set-up
 * is done, when a token was made before (`renew` makes a new one, and the old one void), and when the
 * operator `provided` one, which then replaces any other.
 *
 * @throws Error for a provided token under 20 characters
 */
export async function createSetupToken(
  db: Db,
  keyring: Keyring,
  options: { readonly provided?: string; readonly renew?: boolean } = {},
): Promise<string | null> {
  const { provided, renew = false } = options;
  if (provided !== undefined && provided.length < MIN_PROVIDED_TOKEN) {
    throw new Error(`The set-up token must have at least ${MIN_PROVIDED_TOKEN} characters.`);
  }
  if (await isSetUp(db)) return null;
  const token = provided ?? newSecret("bfx");
  const value = keyring.hashSecret(token);
  const insert = db.insertInto("instance_settings").values({ name: SETUP_TOKEN_HASH, value });
  const { numInsertedOrUpdatedRows } = await (
    renew || provided !== undefined
      ? insert.onConflict((c) => c.column("name").doUpdateSet({ value }))
      : insert.onConflict((c) => c.doNothing())
  ).executeTakeFirstOrThrow();
  return provided === undefined && numInsertedOrUpdatedRows === 1n ? token : null;
}

export interface SetupOrder {
  readonly token: string | undefined;
  readonly name: string;
  readonly email: string;
  readonly orgName: string;
}

/**
 * Makes the first user, owner of the default org, and renames that org. All of it, the audit entry and the
 * row that says it is done are one transaction: of any number of parallel calls one wins, and one that
 * fails half-way leaves nothing, so that it can be run again.
 *
 * @throws GatewayError `setup.done`, `setup.token_invalid`
 */
export async function runSetup(
  deps: IdentityDeps,
  order: SetupOrder,
  request: RequestContext,
): Promise<{ user: User; apiKey: string; token: string }> {
  const { db, keyring, clock } = deps;
  await checkSetupToken(db, keyring, order.token);
  const org = await ensureDefaultOrg(db, clock);
  const apiKey = newSecret("bfu");
  const user: User = {
    uid: newId("usr"),
    orgUid: org.uid,
    name: order.name,
    email: order.email,
    createdAtMs: clock.now(),
  };
  return db.transaction().execute(async (trx) => {
    // First, so that a parallel call waits here; the primary key lets one through.
    await claimSetup(trx, clock);
    await createOrgStore(trx).update(org.uid, { name: order.orgName }, clock.now());
    await createUserStore(trx).insert(user, keyring.hashSecret(apiKey));
    await createMembershipStore(trx).insert(org.uid, user.uid, "owner", clock.now());
    const { token } = await issueSession(trx, deps, {
      orgUid: org.uid,
      userUid: user.uid,
      ttlMs: tokenTtlMs(undefined, deps.sessions),
    });
    await trx.deleteFrom("instance_settings").where("name", "=", SETUP_TOKEN_HASH).execute();
    await createAuditLog(trx, keyring, clock).record({
      ...setupEvent(org.uid, request),
      outcome: "allowed",
      detail: { user: user.uid, role: "owner" },
    });
    return { user, apiKey, token };
  });
}

/** Puts a refused attempt on the default org's trail. */
export async function recordFailedSetup(deps: IdentityDeps, code: string, request: RequestContext): Promise<void> {
  const org = await ensureDefaultOrg(deps.db, deps.clock);
  await createAuditLog(deps.db, deps.keyring, deps.clock).record({
    ...setupEvent(org.uid, request),
    outcome: "failed",
    detail: { code },
  });
}

function setupEvent(orgUid: string, { requestId, clientAddress }: RequestContext) {
  return {
    orgUid,
    actor: { kind: "setup", id: "setup" },
    action: "instance.setup",
    target: { kind: "instance", id: DEFAULT_ORG_ID },
    requestId,
    clientAddress,
  } as const;
}

async function checkSetupToken(db: Db, keyring: Keyring, token: string | undefined): Promise<void> {
  // Both in one read: set-up that ends between two would look like a wrong token.
  const settings = await readSettings(db);
  if (settings.has(SETUP_DONE)) throw new GatewayError("setup.done");
  const stored = settings.get(SETUP_TOKEN_HASH);
  // No stored hash means no token was ever made: refused, not open.
  if (stored === undefined || token === undefined) throw new GatewayError("setup.token_invalid");
  const hashes = [keyring.hashSecret(token), ...keyring.hashSecretPrevious(token)];
  if (!hashes.some((hash) => isSame(hash, stored))) throw new GatewayError("setup.token_invalid");
}

async function claimSetup(trx: Db, clock: Clock): Promise<void> {
  try {
    await trx
      .insertInto("instance_settings")
      .values({ name: SETUP_DONE, value: String(clock.now()) })
      .execute();
  } catch (error) {
    if (isUniqueViolation(error)) throw new GatewayError("setup.done", { cause: error });
    throw error;
  }
}

async function readSettings(db: Db): Promise<ReadonlyMap<string, string>> {
  const rows = await db
    .selectFrom("instance_settings")
    .selectAll()
    .where("name", "in", [SETUP_DONE, SETUP_TOKEN_HASH])
    .execute();
  return new Map(rows.map((row) => [row.name, row.value]));
}

function isSame(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
