import type { Command } from "commander";
import { path } from "../api-client.ts";
import { action, addListOptions, collect, examples, given, type ListFlags, positive, printList } from "../context.ts";
import { readSecret } from "../secret-input.ts";
import type { Item, Terminal } from "../terminal.ts";

interface SecretFlags {
  readonly apiKeyStdin?: boolean;
  readonly apiKeyFile?: string;
  readonly apiKeyEnv?: string;
  readonly origin?: readonly string[];
}

const COLUMNS = [
  { title: "id", value: "id" },
  {
    title: "secret",
    value: (key: Item) =>
      typeof key["key_hint"] === "string" && key["key_hint"] !== "" ? `…${key["key_hint"]}` : null,
  },
  { title: "origins", value: "origins" },
  { title: "version", value: "version" },
  { title: "managed by", value: "managed_by" },
  { title: "updated", value: "updated_at" },
];

export function addRootKeyCommands(program: Command, terminal: Terminal): void {
  const rootkey = program
    .command("rootkey")
    .description("real API credentials, kept encrypted and injected into requests");

  addSecretOptions(rootkey.command("add"))
    .description("store a real API key; it is never shown again")
    .argument("<id>", "id to refer to it by")
    .addHelpText(
      "after",
      examples(
        "bifrost rootkey add openai",
        "bifrost rootkey add openai --api-key-env OPENAI_API_KEY --origin https://api.openai.com",
        "pass show openai | bifrost rootkey add openai --api-key-stdin",
      ),
    )
    .action(
      action<SecretFlags>(terminal, async (context, [id], options) => {
        const body = given({ id, api_key: await readApiKey(terminal, options), origins: options.origin });
        const { api_key: _secret, ...shown } = await context.api().send("POST", "/v1/rootkeys", { body });
        context.output.item(shown);
      }),
    );

  addListOptions(rootkey.command("list").description("list root keys, without their secrets")).action(
    action<ListFlags>(terminal, (context, _args, options) =>
      printList(context, "/v1/rootkeys", options, {
        columns: COLUMNS,
        empty: "No root keys. Add one: bifrost rootkey add NAME",
      }),
    ),
  );

  rootkey
    .command("show")
    .description("show a root key, without its secret")
    .argument("<id>")
    .action(
      action<object>(terminal, async (context, [id = ""]) => {
        context.output.item(await context.api().get(path`/v1/rootkeys/${id}`));
      }),
    );

  addSecretOptions(rootkey.command("update"))
    .description("replace the secret; services use the new one at once")
    .argument("<id>")
    .addHelpText("after", examples("bifrost rootkey update openai --api-key-file ./new-key"))
    .action(
      action<SecretFlags>(terminal, async (context, [id = ""], options) => {
        const body = given({ api_key: await readApiKey(terminal, options), origins: options.origin });
        await context.api().send("PUT", path`/v1/rootkeys/${id}`, { body });
        context.output.done(`Updated ${id}.`, { id, updated: true });
      }),
    );

  rootkey
    .command("rollback")
    .description("make an earlier secret the current one again")
    .argument("<id>")
    .option("--to-version <n>", "the version to go back to (default: the one before)", positive)
    .action(
      action<{ toVersion?: number }>(terminal, async (context, [id = ""], { toVersion }) => {
        const body = given({ version: toVersion });
        context.output.item(await context.api().send("POST", path`/v1/rootkeys/${id}/rollback`, { body }));
      }),
    );

  rootkey
    .command("delete")
    .description("delete a root key; services must not use it any more")
    .argument("<id>")
    .action(
      action<object>(terminal, async (context, [id = ""]) => {
        await context.api().send("DELETE", path`/v1/rootkeys/${id}`);
        context.output.done(`Deleted ${id}.`, { id, deleted: true });
      }),
    );
}

function addSecretOptions(command: Command): Command {
  return command
    .option("--api-key-stdin", "read the secret from standard input")
    .option("--api-key-file <file>", "read it from a file")
    .option("--api-key-env <name>", "read it from an environment variable")
    .option("--origin <origin>", "origin it may be sent to (repeatable; else the first service binds it)", collect);
}

function readApiKey(terminal: Terminal, options: SecretFlags): Promise<string> {
  return readSecret(terminal, {
    what: "API key",
    stdin: options.apiKeyStdin,
    file: options.apiKeyFile,
    variable: options.apiKeyEnv,
    hint: "Give --api-key-stdin, --api-key-file or --api-key-env.",
  });
}
