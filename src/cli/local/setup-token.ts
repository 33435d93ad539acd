import { resolveMasterKeys } from "../../config/master-key.ts";
import { createSetupToken } from "../../identity/setup.ts";
import { openKeyring } from "../../storage/open-keyring.ts";
import type { ConfigFlags, Context } from "../context.ts";
import { CliFailure, EXIT } from "../failure.ts";
import { loadSettings, withDatabase } from "./open-config.ts";

/** Makes a new set-up token; the running gateway accepts it at once. @throws CliFailure when set-up is done */
export async function renewSetupToken({ output, terminal }: Context, options: ConfigFlags): Promise<void> {
  const config = loadSettings(terminal, options);
  const { keys } = resolveMasterKeys(config, { create: false });
  const token = await withDatabase(config, async (db) =>
    createSetupToken(db, await openKeyring(db, keys, { create: false }), { renew: true }),
  );
  if (token === null) {
    throw new CliFailure(EXIT.conflict, "This gateway is set up already.", {
      code: "setup.done",
      hint: "Log in with an existing user: bifrost login",
    });
  }
  output.done(`Next: bifrost setup --token ${token}`, { setup_token: token });
}
