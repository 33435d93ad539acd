import { verifyAuditChain } from "../../audit/chain.ts";
import { resolveMasterKeys } from "../../config/master-key.ts";
import { openKeyring } from "../../storage/open-keyring.ts";
import type { ConfigFlags, Context } from "../context.ts";
import { CliFailure, EXIT } from "../failure.ts";
import type { Item } from "../terminal.ts";
import { loadSettings, withDatabase } from "./open-config.ts";

/** Checks every organization's chain on the database. @throws CliFailure when one was changed */
export async function verifyAudit({ output, terminal }: Context, options: ConfigFlags): Promise<void> {
  const config = loadSettings(terminal, options);
  const { keys } = resolveMasterKeys(config, { create: false });
  const results = await withDatabase(config, async (db) => {
    const keyring = await openKeyring(db, keys, { create: false });
    const heads = await db.selectFrom("audit_entries").select(["org_uid"]).distinct().execute();
    const known = await db.selectFrom("audit_heads").select(["org_uid"]).execute();
    const orgs = [...new Set([...heads, ...known].map((row) => row.org_uid))].sort();
    const found: Item[] = [];
    for (const org of orgs) found.push({ org, ...(await verifyAuditChain(db, keyring, org)) });
    return found;
  });
  output.list(
    results,
    [
      { title: "organization", value: "org" },
      { title: "intact", value: "intact" },
      { title: "entries", value: "entries" },
      { title: "broken at", value: "brokenSeq" },
      { title: "reason", value: "reason" },
    ],
    "No entries yet.",
  );
  if (results.some((result) => result["intact"] !== true)) {
    throw new CliFailure(EXIT.failure, "The audit trail was changed.", { code: "audit.broken" });
  }
}
