import type { Command } from "commander";
import { path } from "../api-client.ts";
import { action, addListOptions, examples, given, type ListFlags, printList, requireChange } from "../context.ts";
import type { Terminal } from "../terminal.ts";
import { orgId } from "./user.ts";

interface OrgFlags {
  readonly id?: string;
  readonly name?: string;
  readonly domain?: string;
  readonly email?: string;
}

const COLUMNS = [
  { title: "id", value: "id" },
  { title: "name", value: "name" },
  { title: "domain", value: "domain" },
  { title: "created", value: "created_at" },
];

export function addOrgCommands(program: Command, terminal: Terminal): void {
  const org = program.command("org").description("organizations (tenants) and their members");

  org
    .command("add")
    .description("make an organization, owned by you")
    .argument("<name>", "its name")
    .option("--id <id>", "id to refer to it by")
    .option("--domain <domain>", "its domain")
    .option("--email <address>", "contact address")
    .addHelpText("after", examples('bifrost org add "Payments" --id payments'))
    .action(
      action<OrgFlags>(terminal, async (context, [name], { id, domain, email }) => {
        context.output.item(await context.api().send("POST", "/v1/orgs", { body: given({ name, id, domain, email }) }));
      }),
    );

  addListOptions(org.command("list").description("list your organizations")).action(
    action<ListFlags>(terminal, (context, _args, options) =>
      printList(context, "/v1/orgs", options, { columns: COLUMNS, empty: "No organizations." }),
    ),
  );

  org
    .command("show")
    .description("show an organization")
    .argument("<org>", "its id")
    .action(
      action<object>(terminal, async (context, [id = ""]) => {
        context.output.item(await context.api().get(path`/v1/orgs/${id}`));
      }),
    );

  org
    .command("update")
    .description("change an organization")
    .argument("<org>", "its id")
    .option("--name <name>", "new name")
    .option("--domain <domain>", "new domain")
    .option("--email <address>", "new contact address")
    .action(
      action<OrgFlags>(terminal, async (context, [id = ""], { name, domain, email }) => {
        const body = requireChange(given({ name, domain, email }), "--name, --domain, --email");
        context.output.item(await context.api().send("PUT", path`/v1/orgs/${id}`, { body }));
      }),
    );

  org
    .command("delete")
    .description("delete an organization")
    .argument("<org>", "its id")
    .option("--cascade", "also its keys, services and root keys")
    .action(
      action<{ cascade?: boolean }>(terminal, async (context, [id = ""], { cascade }) => {
        await context.api().send("DELETE", path`/v1/orgs/${id}`, { query: { cascade: cascade ? "true" : undefined } });
        context.output.done(`Deleted ${id}.`, { id, deleted: true });
      }),
    );

  addMemberCommands(org, terminal);
}

function addMemberCommands(org: Command, terminal: Terminal): void {
  const member = org.command("member").description("members of the organization (--org)");

  addListOptions(member.command("list").description("list the members"))
    .option("--role <role>", "only owners, admins or members")
    .action(
      action<ListFlags & { role?: string }>(terminal, async (context, _args, options) =>
        printList(context, path`/v1/orgs/${await orgId(context)}/members`, options, {
          columns: [
            { title: "user", value: "user_id" },
            { title: "name", value: "name" },
            { title: "role", value: "role" },
            { title: "since", value: "created_at" },
          ],
          empty: "No members.",
          query: { role: options.role },
        }),
      ),
    );

  member
    .command("add")
    .description("add an existing user")
    .argument("<user>", "user id")
    .option("--role <role>", "owner, admin or member", "member")
    .addHelpText("after", examples("bifrost org member add usr_… --role admin --org payments"))
    .action(
      action<{ role: string }>(terminal, async (context, [user], { role }) => {
        const at = path`/v1/orgs/${await orgId(context)}/members`;
        context.output.item(await context.api().send("POST", at, { body: { user_id: user, role } }));
      }),
    );

  member
    .command("update")
    .description("change a member's role")
    .argument("<user>", "user id")
    .requiredOption("--role <role>", "owner, admin or member")
    .action(
      action<{ role: string }>(terminal, async (context, [user = ""], { role }) => {
        const at = path`/v1/orgs/${await orgId(context)}/members/${user}`;
        context.output.item(await context.api().send("PUT", at, { body: { role } }));
      }),
    );

  member
    .command("remove")
    .alias("delete")
    .description("remove a member and revoke the keys they own here")
    .argument("<user>", "user id")
    .action(
      action<object>(terminal, async (context, [user = ""]) => {
        await context.api().send("DELETE", path`/v1/orgs/${await orgId(context)}/members/${user}`);
        context.output.done(`Removed ${user}.`, { user_id: user, removed: true });
      }),
    );
}
