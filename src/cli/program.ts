import { Command } from "commander";
import { addAuditCommands } from "./commands/audit.ts";
import { addCheckCommand } from "./commands/check.ts";
import { addConfigCommands } from "./commands/config.ts";
import { addKeyCommands } from "./commands/key.ts";
import { addLoginCommands } from "./commands/login.ts";
import { addMcpCommands } from "./commands/mcp.ts";
import { addMigrateCommand } from "./commands/migrate.ts";
import { addOrgCommands } from "./commands/org.ts";
import { addReencryptCommand } from "./commands/reencrypt.ts";
import { addReloadCommand } from "./commands/reload.ts";
import { addRootKeyCommands } from "./commands/rootkey.ts";
import { addServeCommand } from "./commands/serve.ts";
import { addServiceAccountCommands } from "./commands/service-account.ts";
import { addServiceCommands } from "./commands/service.ts";
import { addSetupTokenCommand } from "./commands/setup-token.ts";
import { addSetupCommand } from "./commands/setup.ts";
import { addUserCommands } from "./commands/user.ts";
import type { Terminal } from "./terminal.ts";
import { VERSION } from "../version.ts";

const AFTER = `
Exit codes:
  0 done   1 failed   2 wrong usage or invalid input   3 not logged in   4 forbidden
  5 not found   6 conflict, such as an id that is taken   7 the gateway cannot be reached

Environment:
  BIFROST_URL      address of the gateway (default: the one logged in to, else http://127.0.0.1:3333)
  BIFROST_API_KEY, BIFROST_TOKEN   used instead of the stored login
  BIFROST_ORG      organization, for users who belong to several
  BIFROST_CONFIG   configuration file of serve, check, migrate, reload and reencrypt
  NO_COLOR         no colours

First steps:
  $ bifrost serve                 starts a gateway and prints a one-time token
  $ bifrost setup --token TOKEN   makes the first owner and logs in
  $ bifrost rootkey add openai    stores a real API key (asks for it)
  $ bifrost service add openai --endpoint https://api.openai.com/v1 --rootkey openai --bearer
  $ bifrost key issue --service openai --ttl 1h`;

/** All commands. Nothing runs before it is parsed; problems of the arguments are thrown as CommanderError. */
export function createProgram(terminal: Terminal): Command {
  const program = new Command("bifrost")
    .description(
      "Self-hosted agent gateway: virtual keys, a credential-injecting proxy and many MCP servers behind one address.",
    )
    .version(VERSION, "-V, --version", "print the version")
    .option("--url <address>", "address of the gateway")
    .option("--org <id>", "organization, for users who belong to several")
    .option("--json", "results as JSON on stdout, failures as JSON on stderr")
    .exitOverride()
    // Usage problems are reported once, by main, in one form.
    .configureOutput({
      writeOut: (text) => terminal.stdout.write(text),
      writeErr: (text) => (text.startsWith("error:") ? undefined : terminal.stderr.write(text)),
    })
    .showHelpAfterError(false)
    .showSuggestionAfterError(true)
    .addHelpText("after", AFTER);

  program.commandsGroup("Gateway:");
  addServeCommand(program, terminal);
  addCheckCommand(program, terminal);
  addConfigCommands(program, terminal);
  addMigrateCommand(program, terminal);
  addReloadCommand(program, terminal);
  addReencryptCommand(program, terminal);
  addSetupTokenCommand(program, terminal);
  program.commandsGroup("Account:");
  addSetupCommand(program, terminal);
  addLoginCommands(program, terminal);
  program.commandsGroup("Management:");
  addRootKeyCommands(program, terminal);
  addServiceCommands(program, terminal);
  addKeyCommands(program, terminal);
  addMcpCommands(program, terminal);
  addServiceAccountCommands(program, terminal);
  addUserCommands(program, terminal);
  addOrgCommands(program, terminal);
  addAuditCommands(program, terminal);
  return program;
}
