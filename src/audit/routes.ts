import { z } from "zod";
import { listQuery, listReply, pageRequest } from "../http/list.ts";
import { route, type Route } from "../http/route.ts";
import type { Db } from "../storage/open-database.ts";
import { toPage } from "../storage/page.ts";

const AuditDetail = z
  .record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null(), z.array(z.string())]))
  .meta({ id: "AuditDetail", description: "Facts of the decision by name; never a secret." });

const Outcome = z.enum(["allowed", "denied", "failed"]);

const AuditEntry = z
  .object({
    id: z.string(),
    seq: z.int().describe("Position in the organization's chain, from 1 without gaps."),
    at: z.iso.datetime(),
    actor: z.object({ kind: z.string(), id: z.string() }).meta({ id: "AuditActor" }),
    action: z.string().describe("Stable name such as `key.issue`."),
    target: z.object({ kind: z.string(), id: z.string() }).meta({ id: "AuditTarget" }),
    outcome: Outcome,
    detail: AuditDetail,
    request_id: z.string().nullable(),
    client_address: z.string().nullable(),
    previous_hash: z.string(),
    hash: z.string().describe("Keyed hash over this entry and `previous_hash`."),
  })
  .meta({ id: "AuditEntry" });

const AuditQuery = z.strictObject({
  ...listQuery,
  actor: z.string().max(128).optional().describe("Public id of who acted."),
  action: z.string().max(64).optional(),
  target: z.string().max(128).optional().describe("Id of what was acted on."),
  outcome: Outcome.optional(),
  from: z.iso.datetime({ offset: true, error: "invalid from: use RFC3339" }).optional().describe("Inclusive."),
  to: z.iso.datetime({ offset: true, error: "invalid to: use RFC3339" }).optional().describe("Inclusive."),
});

/** The trail of the caller's organization, newest first. */
export function auditRoutes(deps: { readonly db: Db }): Route[] {
  return [
    route({
      method: "GET",
      path: "/v1/audit",
      operationId: "listAuditEntries",
      tag: "Audit",
      summary: "Who did what, when and from where: newest first.",
      permission: "audit:read",
      query: AuditQuery,
      replies: { 200: z.array(AuditEntry).meta({ id: "AuditEntries" }) },
      handle: async ({ query, principal }) => listReply(await readPage(deps.db, principal.orgUid, query), toBody),
    }),
  ];
}

async function readPage(db: Db, orgUid: string, query: z.output<typeof AuditQuery>) {
  const { limit, after } = pageRequest(query);
  let select = db.selectFrom("audit_entries").selectAll().where("org_uid", "=", orgUid);
  if (query.actor !== undefined) select = select.where("actor_id", "=", query.actor);
  if (query.action !== undefined) select = select.where("action", "=", query.action);
  if (query.target !== undefined) select = select.where("target_id", "=", query.target);
  if (query.outcome !== undefined) select = select.where("outcome", "=", query.outcome);
  if (query.from !== undefined) select = select.where("at_ms", ">=", Date.parse(query.from));
  if (query.to !== undefined) select = select.where("at_ms", "<=", Date.parse(query.to));
  // Within a chain `seq` orders better than the clock: here the cursor's number is the sequence.
  if (after) select = select.where("seq", "<", after.createdAtMs);
  const rows = await select
    .orderBy("seq", "desc")
    .limit(limit + 1)
    .execute();
  return toPage(
    rows.map((row) => ({ ...row, createdAtMs: row.seq })),
    limit,
  );
}

function toBody(row: Awaited<ReturnType<typeof readPage>>["items"][number]): z.input<typeof AuditEntry> {
  return {
    id: row.uid,
    seq: row.seq,
    at: new Date(row.at_ms).toISOString(),
    actor: { kind: row.actor_kind, id: row.actor_id },
    action: row.action,
    target: { kind: row.target_kind, id: row.target_id },
    outcome: Outcome.parse(row.outcome),
    detail: AuditDetail.parse(JSON.parse(row.detail)),
    request_id: row.request_id,
    client_address: row.client_address,
    previous_hash: row.previous_hash,
    hash: row.hash,
  };
}
