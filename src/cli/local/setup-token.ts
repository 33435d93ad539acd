import { resolveMasterKeys } from "../../config/master-key.ts";
import { createSetupToken } from "../../identity/setup.ts";
import { createKeyring } from "../../vault/keyring.ts";
import type { ConfigFlags, Context } from "../context.ts";
import { CliFailure, EXIT } from "../failure.ts";
import { loadSettings, withDatabase } from "./open-config.ts";

/** Makes a new set-up token; the running gateway accepts it at once. @throws CliFailure when set-up is done */
export async function renewSetupToken({ output, terminal }: Context, options: ConfigFlags): Promise<void> {
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
}
