import type { Command } from "commander";
import { action, addSourceOptions, examples, type SourceFlags } from "../context.ts";
import type { Terminal } from "../terminal.ts";

export function addConfigCommands(program: Command, terminal: Terminal): void {
  const config = program.command("config").description("look at the configuration");
  const check = config
    .command("check")
    .description("report every problem of the file and the variables, and what would run; start nothing")
    .addHelpText(
      "after",
      examples("bifrost config check --config bifrost.toml", "bifrost config check --config-stdin < mcp.json"),
    )
    .action(
      action<SourceFlags>(terminal, async (context, _args, options) => {
        const { checkConfig } = await import("../local/config-check.ts");
        await checkConfig(context, options);
      }),
    );
  addSourceOptions(check);
}
