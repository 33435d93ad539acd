import type { Command } from "commander";
import { path } from "../api-client.ts";
import {
  action,
  addListOptions,
  type Context,
  examples,
  given,
  type ListFlags,
  printList,
  requireChange,
} from "../context.ts";
import { CliFailure, EXIT } from "../failure.ts";
import type { Terminal } from "../terminal.ts";

interface UserFlags {
  readonly name?: string;
  readonly email?: string;
  readonly role?: string;
}

const COLUMNS = [
  { title: "id", value: "id" },
  { title: "name", value: "name" },
  { title: "email", value: "email" },
  { title: "role", value: "role" },
  { title: "created", value: "created_at" },
];

export function addUserCommands(program: Command, terminal: Terminal): void {
  const user = program.command("user").description("people who manage the gateway and issue keys");

  user
    .command("add")
    .description("make a user of the organization; prints their API key once")
    .requiredOption("--name <name>", "their name")
    .requiredOption("--email <address>", "their email address")
    .option("--role <role>", "owner, admin or member", "member")
    .addHelpText("after", examples('bifrost user add --name "Grace Hopper" --email grace@example.com --role admin'))
    .action(action<UserFlags>(terminal, addUser));

  addListOptions(user.command("list").description("list the users of the organization"))
    .option("--email <address>", "only this one")
    .action(
      action<ListFlags & UserFlags>(terminal, (context, _args, options) =>
        printList(context, "/v1/users", options, {
          columns: COLUMNS,
          empty: "No users.",
          query: { email: options.email },
        }),
      ),
    );

  user
    .command("show")
    .description("show a user by id or email")
    .argument("<user>", "id or email")
    .action(
      action<object>(terminal, async (context, [who = ""]) => {
        context.output.item(await findUser(context, who));
      }),
    );

  user
    .command("update")
    .description("change a user's name or email, or their role in the organization")
    .argument("<user>", "id or email")
    .option("--name <name>", "new name")
    .option("--email <address>", "new email address")
    .option("--role <role>", "owner, admin or member")
    .addHelpText("after", examples("bifrost user update grace@example.com --role admin"))
    .action(action<UserFlags>(terminal, updateUser));

  user
    .command("delete")
    .description("delete a user and revoke all their keys")
    .argument("<user>", "id or email")
    .action(
      action<object>(terminal, async (context, [who = ""]) => {
        const { id } = await findUser(context, who);
        await context.api().send("DELETE", path`/v1/users/${String(id)}`);
        context.output.done(`Deleted ${who}.`, { id, deleted: true });
      }),
    );

  user
    .command("rotate-key")
    .description("replace an API key, your own without an argument; the old one ends at once")
    .argument("[user]", "id or email")
    .action(
      action<object>(terminal, async (context, [who]) => {
        const at =
          who === undefined
            ? "/v1/user/rotate-key"
            : path`/v1/users/${String((await findUser(context, who))["id"])}/rotate-key`;
        context.output.item(await context.api().send("POST", at));
        context.output.note("\nThe API key is shown once.");
      }),
    );
}

async function addUser(context: Context, _args: readonly string[], options: UserFlags): Promise<void> {
  const { name, email, role } = options;
  const body = given({ name, email, role, org_id: context.org() ?? undefined });
  const { token: _token, ...shown } = await context.api().send("POST", "/v1/users", { body });
  context.output.item(shown);
  context.output.note("\nThe API key is shown once: hand it over safely. They log in with: bifrost login");
}

async function updateUser(context: Context, args: readonly string[], options: UserFlags): Promise<void> {
  const { role, ...rest } = given({ name: options.name, email: options.email, role: options.role });
  requireChange(given({ ...rest, role }), "--name, --email, --role");
  const api = context.api();
  const found = await findUser(context, args[0] ?? "");
  const id = String(found["id"]);
  const changed = Object.keys(rest).length > 0 ? await api.send("PUT", path`/v1/users/${id}`, { body: rest }) : found;
  if (role !== undefined) {
    await api.send("PUT", path`/v1/orgs/${await orgId(context)}/members/${id}`, { body: { role } });
  }
  context.output.item({ ...found, ...changed, ...(role === undefined ? {} : { role }) });
}

/** A user of the organization. There is no route for one: the list is searched, by email on the gateway. */
async function findUser(context: Context, who: string) {
  const query = who.includes("@") ? { email: who } : {};
  const { items } = await context.api().list("/v1/users", { limit: null, query });
  const found = items.find((item) => item["id"] === who || (who.includes("@") && item["email"] === who.toLowerCase()));
  if (found) return found;
  throw new CliFailure(EXIT.notFound, "No such user in this organization.", { code: "resource.not_found" });
}

/** The organization that the request is about: the one named, else the caller's only one. */
export async function orgId(context: Context): Promise<string> {
  const named = context.org();
  if (named !== null) return named;
  const { items } = await context.api().list("/v1/orgs", { limit: 2 });
  const [only] = items;
  if (items.length === 1 && only) return String(only["id"]);
  throw new CliFailure(EXIT.usage, "You belong to several organizations.", {
    code: "request.org_required",
    hint: "Name one with --org ID; `bifrost org list` shows them.",
  });
}
