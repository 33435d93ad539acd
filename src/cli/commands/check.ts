import type { Command } from "commander";
import { action, addConfigOption, type ConfigFlags, examples } from "../context.ts";
import type { Terminal } from "../terminal.ts";

export function addCheckCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command("check")
    .description("check configuration, encryption key, database and Redis; exit code 0 only if all are well")
    .addHelpText("after", examples("bifrost check --config bifrost.toml", "bifrost check --json"))
    .action(
      action<ConfigFlags>(terminal, async (context, _args, options) => {
        const { check } = await import("../local/check.ts");
        await check(context, options);
      }),
    );
  addConfigOption(command);
}
