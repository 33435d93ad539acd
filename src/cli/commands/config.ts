import type { Command } from "commander";
import { action, examples } from "../context.ts";
import { addConfigOption, type ConfigFlags, loadSettings } from "../open-config.ts";
import type { Terminal } from "../terminal.ts";

export function addConfigCommands(program: Command, terminal: Terminal): void {
  const config = program.command("config").description("look at the configuration");
  const check = config
    .command("check")
    .description("report every problem of the file and the BIFROST_* variables; start nothing")
    .addHelpText("after", examples("bifrost config check --config bifrost.toml"))
    .action(
      action<ConfigFlags>(terminal, ({ output }, _args, options) => {
        const settings = loadSettings(terminal, options);
        for (const warning of settings.warnings) output.note(`warning: ${warning}`);
        output.done("The configuration is valid.", {
          valid: true,
          file: settings.file,
          mode: settings.mode,
          database: settings.database.dialect,
          redis: settings.redisUrl !== null,
          credentials: settings.credentials.map((credential) => credential.id),
          services: settings.services.map((service) => service.id),
          warnings: settings.warnings,
        });
      }),
    );
  addConfigOption(check);
}
