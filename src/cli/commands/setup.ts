import type { Command } from "commander";
import { action, examples } from "../context.ts";
import { onlyOrg } from "./login.ts";
import { askFor, readSecret } from "../secret-input.ts";
import type { Terminal } from "../terminal.ts";

interface SetupFlags {
  readonly token?: string;
  readonly tokenFile?: string;
  readonly name?: string;
  readonly email?: string;
  readonly orgName?: string;
}

export function addSetupCommand(program: Command, terminal: Terminal): void {
  program
    .command("setup")
    .description("make the first user, owner of the first organization, and log in as them")
    .option("--token <token>", "the one-time token that the gateway printed; it is worthless afterwards")
    .option("--token-file <file>", "file that holds the token (or set BIFROST_SETUP_TOKEN)")
    .option("--name <name>", "your name")
    .option("--email <address>", "your email address")
    .option("--org-name <name>", "name of the organization")
    .addHelpText(
      "after",
      examples(
        "bifrost setup --token bfx_…",
        'bifrost setup --token-file data/setup-token --name "Ada Lovelace" --email ada@example.com',
      ),
    )
    .action(
      action<SetupFlags>(terminal, async (context, _args, options) => {
        const setupToken =
          options.token ??
          (await readSecret(terminal, {
            what: "setup token",
            file: options.tokenFile,
            fallbackVariable: "BIFROST_SETUP_TOKEN",
            hint: "Give --token, --token-file or BIFROST_SETUP_TOKEN.",
          }));
        const name = await askFor(terminal, { given: options.name, what: "Your name", option: "--name NAME" });
        const email = await askFor(terminal, { given: options.email, what: "Your email", option: "--email ADDRESS" });
        const body = { name, email, ...(options.orgName === undefined ? {} : { org_name: options.orgName }) };
        const reply = await context
          .apiWith(null)
          .send("POST", "/v1/setup", { body, headers: { "x-setup-token": setupToken } });
        const token = String(reply["token"]);
        const org = onlyOrg(await context.apiWith(token).get("/v1/user"));
        context.logins.save(context.url, { token, expires_at: null, user: String(reply["email"]), org });
        const { token: _shownNowhere, ...shown } = reply;
        context.output.item(shown);
        context.output.note(
          `\nThe API key is shown once: keep it. Logged in to ${context.url} as ${String(reply["email"])}.`,
        );
        context.output.note("Next: bifrost rootkey add NAME");
      }),
    );
}
