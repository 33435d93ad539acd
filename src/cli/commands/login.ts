import type { Command } from "commander";
import { action, type Context, examples } from "../context.ts";
import { CliFailure, EXIT } from "../failure.ts";
import { readSecret } from "../secret-input.ts";
import type { Item, Terminal } from "../terminal.ts";

interface LoginFlags {
  readonly apiKeyStdin?: boolean;
  readonly apiKeyFile?: string;
  readonly ttl?: string;
}

export function addLoginCommands(program: Command, terminal: Terminal): void {
  program
    .command("login")
    .description("exchange your API key for a session token, kept in your config folder")
    .option("--api-key-stdin", "read the API key from standard input")
    .option("--api-key-file <file>", "read it from a file (or set BIFROST_API_KEY)")
    .option("--ttl <duration>", "life of the session, such as 12h")
    .addHelpText(
      "after",
      examples("bifrost login", "bifrost login --url https://bifrost.example.com --api-key-stdin < key.txt"),
    )
    .action(action<LoginFlags>(terminal, logIn));

  program.command("logout").description("end the session and forget it").action(action<object>(terminal, logOut));

  program
    .command("whoami")
    .description("show who you are to the gateway, and your organizations")
    .action(
      action<object>(terminal, async (context) => {
        context.output.item({ url: context.url, ...(await context.api().get("/v1/user")) });
      }),
    );
}

async function logIn(context: Context, _args: readonly string[], options: LoginFlags): Promise<void> {
  const { terminal, url, output, logins } = context;
  const apiKey = await readSecret(terminal, {
    what: "API key",
    stdin: options.apiKeyStdin,
    file: options.apiKeyFile,
    fallbackVariable: "BIFROST_API_KEY",
    hint: "Give --api-key-stdin, --api-key-file or BIFROST_API_KEY.",
  });
  const body = options.ttl === undefined ? {} : { ttl: options.ttl };
  const { token, expires_at: expiresAt } = await context.apiWith(apiKey).send("POST", "/v1/token", { body });
  if (typeof token !== "string") throw new CliFailure(EXIT.failure, `What answers at ${url} is not a Bifrost gateway.`);
  const user = await context.apiWith(token).get("/v1/user");
  const expires = typeof expiresAt === "string" ? expiresAt : null;
  logins.save(url, { token, expires_at: expires, user: String(user["email"]), org: context.org() ?? onlyOrg(user) });
  output.done(`Logged in to ${url} as ${String(user["email"])}${expires === null ? "" : ` until ${expires}`}.`, {
    url,
    user: user["id"],
    email: user["email"],
    orgs: user["orgs"],
    expires_at: expires,
  });
}

/** The id of the user's organization where they have one only: the session is for it. */
export function onlyOrg(user: Item): string | null {
  const orgs = user["orgs"];
  const only: unknown = Array.isArray(orgs) && orgs.length === 1 ? orgs[0] : null;
  return typeof only === "object" && only !== null && "org_id" in only ? String(only.org_id) : null;
}

async function logOut(context: Context): Promise<void> {
  const { logins, url, output } = context;
  const login = logins.find(url);
  if (!login) throw new CliFailure(EXIT.notAuthenticated, `Not logged in to ${url}.`, { code: "cli.not_logged_in" });
  let ended = true;
  try {
    await context.apiWith(login.token).send("DELETE", "/v1/token");
  } catch (error) {
    // An expired session has ended already; with any other failure the token may still be valid.
    if (!(error instanceof CliFailure)) throw error;
    ended = error.exitCode === EXIT.notAuthenticated;
  }
  logins.remove(url);
  if (!ended) output.note("The gateway could not be told: the session ends when it expires.");
  output.done(`Logged out of ${url}.`, { url, session_ended: ended });
}
