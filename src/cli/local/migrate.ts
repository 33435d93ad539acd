import { migrate, pendingMigrations } from "../../storage/migrate.ts";
import type { ConfigFlags, Context } from "../context.ts";
import { loadSettings, withDatabase } from "./open-config.ts";

/** Brings the schema up to date, or says what that would do. */
export async function migrateDatabase(
  { output, terminal }: Context,
  options: ConfigFlags & { readonly dryRun?: boolean },
): Promise<void> {
  const names = await withDatabase(loadSettings(terminal, options), options.dryRun ? pendingMigrations : migrate);
  const verb = options.dryRun ? "To apply" : "Applied";
  output.done(names.length === 0 ? "The schema is up to date." : `${verb}: ${names.join(", ")}`, {
    [options.dryRun ? "pending" : "applied"]: names,
  });
}
