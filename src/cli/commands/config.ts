import type { Command } from "commander";
import { action, addConfigOption, type ConfigFlags, examples } from "../context.ts";
import type { Terminal } from "../terminal.ts";

export function addConfigCommands(program: Command, terminal: Terminal): void {
  const config = program.command("config").description("look at the configuration");
  const check = config
    .command("check")
    .description("report every problem of the file and the BIFROST_* variables; start nothing")
    .addHelpText("after", examples("bifrost config check --config bifrost.toml"))
    .action(
      action<ConfigFlags>(terminal, async (context, _args, options) => {
        const { checkConfig } = await import("../local/config-check.ts");
        checkConfig(context, options);
      }),
    );
  addConfigOption(check);
}
