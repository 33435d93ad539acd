import type { Command } from "commander";
import { action, addConfigOption, type ConfigFlags, examples } from "../context.ts";
import type { Terminal } from "../terminal.ts";

const AFTER = `
Order of a key change:
  1. Set the new key as BIFROST_ENCRYPTION_KEY and the old one as BIFROST_PREVIOUS_ENCRYPTION_KEYS; restart the gateway.
  2. Run this command; it may be repeated, and the gateway may run meanwhile.
  3. Remove the old key from the configuration. Issued keys and sessions go on working, and the audit trail stays
     verifiable.`;

export function addReencryptCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command("reencrypt")
    .description("move every stored secret to the current encryption key")
    .addHelpText("after", `${examples("bifrost reencrypt --config bifrost.toml")}\n${AFTER}`)
    .action(
      action<ConfigFlags>(terminal, async (context, _args, options) => {
        const { reencrypt } = await import("../local/reencrypt.ts");
        await reencrypt(context, options);
      }),
    );
  addConfigOption(command);
}
