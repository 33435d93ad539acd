import type { Command } from "commander";
import { action, addConfigOption, type ConfigFlags, examples } from "../context.ts";
import type { Terminal } from "../terminal.ts";

export function addMigrateCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command("migrate")
    .description("bring the database schema up to date (serve does this too)")
    .option("--dry-run", "only say what would be done")
    .addHelpText("after", examples("bifrost migrate --config bifrost.toml", "bifrost migrate --dry-run --json"))
    .action(
      action<ConfigFlags & { dryRun?: boolean }>(terminal, async (context, _args, options) => {
        const { migrateDatabase } = await import("../local/migrate.ts");
        await migrateDatabase(context, options);
      }),
    );
  addConfigOption(command);
}
