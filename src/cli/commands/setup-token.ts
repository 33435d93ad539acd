import type { Command } from "commander";
import { resolveMasterKeys } from "../../config/master-key.ts";
import { createSetupToken } from "../../identity/setup.ts";
import { createKeyring } from "../../vault/keyring.ts";
import { action, examples } from "../context.ts";
import { CliFailure, EXIT } from "../failure.ts";
import { addConfigOption, type ConfigFlags, loadSettings, withDatabase } from "../open-config.ts";
import type { Terminal } from "../terminal.ts";

export function addSetupTokenCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command("setup-token")
    .description("make a new one-time set-up token, for a gateway nobody has set up yet; the old one is void")
    .addHelpText("after", examples("bifrost setup-token --config bifrost.toml"))
    .action(
      action<ConfigFlags>(terminal, async ({ output }, _args, options) => {
        const config = loadSettings(terminal, options);
        const keyring = createKeyring(resolveMasterKeys(config, { create: false }).keys);
        const token = await withDatabase(config, (db) => createSetupToken(db, keyring, { renew: true }));
        if (token === null) {
          throw new CliFailure(EXIT.conflict, "This gateway is set up already.", {
            code: "setup.done",
            hint: "Log in with an existing user: bifrost login",
          });
        }
        output.done(`Next: bifrost setup --token ${token}`, { setup_token: token });
      }),
    );
  addConfigOption(command);
}
