import type { Command } from "commander";
import { action, addConfigOption, type ConfigFlags, examples } from "../context.ts";
import type { Terminal } from "../terminal.ts";

const AFTER = `
Signals: SIGTERM and SIGINT stop it and let running requests end (twice: at once); SIGHUP reloads the configuration,
as "bifrost reload" does. Logs are JSON lines on standard error. With --json the address is a JSON line on stdout.`;

export function addServeCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command("serve")
    .description("run the gateway")
    .addHelpText("after", `${examples("bifrost serve", "bifrost serve --config bifrost.toml")}\n${AFTER}`)
    .action(
      action<ConfigFlags>(terminal, async (context, _args, options) => {
        const { serve } = await import("../local/serve.ts");
        await serve(context, options);
      }),
    );
  addConfigOption(command);
}
