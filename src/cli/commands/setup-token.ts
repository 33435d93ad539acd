import type { Command } from "commander";
import { action, addConfigOption, type ConfigFlags, examples } from "../context.ts";
import type { Terminal } from "../terminal.ts";

export function addSetupTokenCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command("setup-token")
    .description("make a new one-time set-up token, for a gateway nobody has set up yet; the old one is void")
    .addHelpText("after", examples("bifrost setup-token --config bifrost.toml"))
    .action(
      action<ConfigFlags>(terminal, async (context, _args, options) => {
        const { renewSetupToken } = await import("../local/setup-token.ts");
        await renewSetupToken(context, options);
      }),
    );
  addConfigOption(command);
}
