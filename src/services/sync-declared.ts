import { isDeepStrictEqual } from "node:util";
import { auditedWrite, type WriteDeps } from "../audit/audited-write.ts";
import { type Config, ConfigError, type DeclaredService } from "../config/model.ts";
import { newId } from "../core/ids.ts";
import { configEvent, syncCredentials, type SyncNotes, takenOverApi } from "../credentials/sync-declared.ts";
import { DEFAULT_ORG_ID } from "../identity/model.ts";
import { createOrgStore } from "../identity/org-store.ts";
import type { Db } from "../storage/open-database.ts";
import type { Service } from "./model.ts";
import { createServiceStore } from "./store.ts";

type Declared = Pick<Config, "credentials" | "services">;

/**
 * Makes the database hold what the configuration declares, all of it or, on any problem, nothing. Declared rows
 * are marked `config` and read-only over the API. A service that is no longer declared is disabled, not deleted:
 * its keys work again when it comes back. What is unchanged is not written; gateways that start at once on one
 * database take turns.
 *
 * @throws ConfigError when an organization does not exist or an id is taken by something made over the API
 */
export async function syncDeclared(deps: WriteDeps, declared: Declared): Promise<void> {
  await auditedWrite(deps, async (trx) => {
    const notes: SyncNotes = { events: [], changes: [] };
    const orgUidOf = await resolveOrgs(trx, declared);
    const credentials = await syncCredentials(deps, trx, declared.credentials, orgUidOf, notes);
    await syncServices(deps, trx, declared.services, {
      orgUidOf,
      notes,
      credentialUidOf: (orgUid, id) => credentials.uidOf(orgUid, id),
    });
    await credentials.removeUndeclared();
    return { result: undefined, ...notes };
  });
}

/** Takes the lock that makes parallel syncs wait for each other: an UPDATE holds the row until the transaction ends. */
async function resolveOrgs(trx: Db, declared: Declared): Promise<(org: string | null) => string> {
  await trx
    .updateTable("orgs")
    .set((eb) => ({ name: eb.ref("name") }))
    .where("id", "=", DEFAULT_ORG_ID)
    .execute();
  const orgs = createOrgStore(trx);
  const uids = new Map<string, string>();
  const problems: ConfigError["problems"][number][] = [];
  const wanted = [
    ...declared.credentials.map(({ id, org }) => ({ org: org ?? DEFAULT_ORG_ID, place: `credentials.${id}.org` })),
    ...declared.services.map(({ id, org }) => ({ org: org ?? DEFAULT_ORG_ID, place: `services.${id}.org` })),
  ];
  for (const { org, place } of wanted) {
    const found = uids.get(org) ?? (await orgs.findById(org))?.uid;
    if (found === undefined) {
      problems.push({ place, message: `no organization ${org}`, remedy: "Create it first, or correct the id." });
    } else uids.set(org, found);
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return (org) => uids.get(org ?? DEFAULT_ORG_ID) ?? "";
}

async function syncServices(
  deps: WriteDeps,
  trx: Db,
  declared: readonly DeclaredService[],
  context: {
    orgUidOf(org: string | null): string;
    credentialUidOf(orgUid: string, id: string): string | null;
    notes: SyncNotes;
  },
): Promise<void> {
  const services = createServiceStore(trx);
  const nowMs = deps.clock.now();
  const kept = new Set<string>();
  const note = (action: string, service: Service) => {
    context.notes.events.push(configEvent(service.orgUid, action, { kind: "service", id: service.id }));
    context.notes.changes.push({ kind: "service", uid: service.uid });
  };

  for (const wanted of declared) {
    const orgUid = context.orgUidOf(wanted.org);
    const current = await services.findById(orgUid, wanted.id);
    if (current?.managedBy === "api") throw takenOverApi(`services.${wanted.id}`);
    const next: Service = {
      uid: current?.uid ?? newId("svc"),
      orgUid,
      id: wanted.id,
      description: wanted.description,
      origin: wanted.origin,
      basePath: wanted.basePath,
      credentialUid: wanted.credential === null ? null : context.credentialUidOf(orgUid, wanted.credential),
      settings: wanted.settings,
      managedBy: "config",
      disabledAtMs: null,
      createdAtMs: current?.createdAtMs ?? nowMs,
      updatedAtMs: current?.updatedAtMs ?? nowMs,
    };
    kept.add(next.uid);
    if (!current) {
      await services.insert(next);
      note("service.create", next);
    } else if (!isDeepStrictEqual(current, next)) {
      await services.update({ ...next, updatedAtMs: nowMs });
      note("service.update", next);
    }
  }

  for (const gone of await services.listManaged()) {
    if (kept.has(gone.uid) || gone.disabledAtMs !== null) continue;
    // Without its credential, which may be gone from the configuration too.
    await services.update({ ...gone, credentialUid: null, disabledAtMs: nowMs, updatedAtMs: nowMs });
    note("service.disable", gone);
  }
}
