import type { Command } from "commander";
import { migrate, pendingMigrations } from "../../storage/migrate.ts";
import { action, examples } from "../context.ts";
import { addConfigOption, type ConfigFlags, loadSettings, withDatabase } from "../open-config.ts";
import type { Terminal } from "../terminal.ts";

export function addMigrateCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command("migrate")
    .description("bring the database schema up to date (serve does this too)")
    .option("--dry-run", "only say what would be done")
    .addHelpText("after", examples("bifrost migrate --config bifrost.toml", "bifrost migrate --dry-run --json"))
    .action(
      action<ConfigFlags & { dryRun?: boolean }>(terminal, async ({ output }, _args, options) => {
        const names = await withDatabase(loadSettings(terminal, options), options.dryRun ? pendingMigrations : migrate);
        const verb = options.dryRun ? "To apply" : "Applied";
        output.done(names.length === 0 ? "The schema is up to date." : `${verb}: ${names.join(", ")}`, {
          [options.dryRun ? "pending" : "applied"]: names,
        });
      }),
    );
  addConfigOption(command);
}
