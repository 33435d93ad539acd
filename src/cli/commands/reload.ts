import type { Command } from "commander";
import { action, addConfigOption, type ConfigFlags, examples } from "../context.ts";
import type { Terminal } from "../terminal.ts";

export function addReloadCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command("reload")
    .description("make the gateway on this machine apply its changed configuration, or refuse it whole")
    .option("--data-dir <path>", "data directory of the gateway (default: the one of the configuration)")
    .addHelpText("after", examples("bifrost reload", "bifrost reload --data-dir /var/lib/bifrost"))
    .action(
      action<ConfigFlags & { dataDir?: string }>(terminal, async (context, _args, options) => {
        const { reload } = await import("../local/reload.ts");
        await reload(context, options);
      }),
    );
  addConfigOption(command);
}
