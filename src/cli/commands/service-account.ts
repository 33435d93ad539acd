import { type Command, Option } from "commander";
import { path } from "../api-client.ts";
import {
  action,
  addListOptions,
  collect,
  examples,
  given,
  type ListFlags,
  positive,
  printList,
  requireChange,
} from "../context.ts";
import type { Terminal } from "../terminal.ts";
import { seconds } from "../parse-option.ts";

interface AccountFlags {
  readonly id?: string;
  readonly name?: string;
  readonly service?: readonly string[];
  readonly allServices?: boolean;
  readonly maxTtl?: number;
  readonly maxRateLimit?: number;
  readonly maxScope?: string;
}

const COLUMNS = [
  { title: "id", value: "id" },
  { title: "name", value: "name" },
  { title: "services", value: "allowed_services" },
  { title: "max scope", value: "max_scope" },
  { title: "max ttl (s)", value: "max_ttl_seconds" },
  { title: "max rate", value: "max_rate_limit" },
  { title: "created", value: "created_at" },
];

export function addServiceAccountCommands(program: Command, terminal: Terminal): void {
  const account = program
    .command("serviceaccount")
    .description("programs and agents that get keys for themselves, within ceilings");

  addCeilingOptions(account.command("add"))
    .description("make a service account; prints its API key once")
    .argument("<name>", "its name")
    .option("--id <id>", "id to refer to it by")
    .addHelpText(
      "after",
      examples("bifrost serviceaccount add build-agent --service openai --max-ttl 1h --max-scope write"),
    )
    .action(
      action<AccountFlags>(terminal, async (context, [name], options) => {
        const body = given({ name, id: options.id, ...ceilingsOf(options) });
        context.output.item(await context.api().send("POST", "/v1/serviceaccounts", { body }));
        context.output.note("\nThe API key is shown once.");
      }),
    );

  addListOptions(account.command("list").description("list service accounts")).action(
    action<ListFlags>(terminal, (context, _args, options) =>
      printList(context, "/v1/serviceaccounts", options, { columns: COLUMNS, empty: "No service accounts." }),
    ),
  );

  account
    .command("show")
    .description("show a service account")
    .argument("<id>")
    .action(
      action<object>(terminal, async (context, [id = ""]) => {
        context.output.item(await context.api().get(path`/v1/serviceaccounts/${id}`));
      }),
    );

  addCeilingOptions(account.command("update"))
    .description("change a service account; what is not named stays")
    .argument("<id>")
    .option("--name <name>", "new name")
    .action(
      action<AccountFlags>(terminal, async (context, [id = ""], options) => {
        const fields = given({ name: options.name, ...ceilingsOf(options) });
        const body = requireChange(
          fields,
          "--name, --service, --all-services, --max-ttl, --max-rate-limit, --max-scope",
        );
        context.output.item(await context.api().send("PUT", path`/v1/serviceaccounts/${id}`, { body }));
      }),
    );

  account
    .command("rotate-key")
    .description("replace its API key; the old one ends at once")
    .argument("<id>")
    .action(
      action<object>(terminal, async (context, [id = ""]) => {
        context.output.item(await context.api().send("POST", path`/v1/serviceaccounts/${id}/rotate-key`));
        context.output.note("\nThe API key is shown once.");
      }),
    );

  account
    .command("delete")
    .description("delete a service account and revoke its keys")
    .argument("<id>")
    .action(
      action<object>(terminal, async (context, [id = ""]) => {
        await context.api().send("DELETE", path`/v1/serviceaccounts/${id}`);
        context.output.done(`Deleted ${id}.`, { id, deleted: true });
      }),
    );
}

function addCeilingOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--service <id>", "service it may get keys for (repeatable; default: none)")
        .argParser(collect)
        .conflicts("allServices"),
    )
    .option("--all-services", "it may get keys for every service of the organization")
    .option("--max-ttl <duration>", "longest life of its keys, such as 1h", seconds)
    .option("--max-rate-limit <n>", "highest rate limit of its keys, per minute", positive)
    .addOption(new Option("--max-scope <scope>", "read unless its keys must change things").choices(["read", "write"]));
}

function ceilingsOf(options: AccountFlags) {
  return {
    allowed_services: options.allServices ? ["*"] : options.service,
    max_ttl_seconds: options.maxTtl,
    max_rate_limit: options.maxRateLimit,
    max_scope: options.maxScope,
  };
}
