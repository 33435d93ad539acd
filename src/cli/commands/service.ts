import { readFileSync } from "node:fs";
import { type Command, InvalidArgumentError, Option } from "commander";
import { z } from "zod";
import { parseDurationMs } from "../../core/duration.ts";
import { path } from "../api-client.ts";
import {
  action,
  addListOptions,
  collect,
  examples,
  given,
  type ListFlags,
  printList,
  requireChange,
} from "../context.ts";
import { CliFailure, EXIT } from "../failure.ts";
import type { Item, Terminal } from "../terminal.ts";

interface ServiceFlags {
  readonly endpoint?: string;
  readonly rootkey?: string;
  readonly description?: string;
  readonly bearer?: boolean;
  readonly header?: string;
  readonly basic?: string | true;
  readonly query?: string;
  readonly prefix?: string;
  readonly method?: readonly string[];
  readonly path?: readonly string[];
  readonly allowAddress?: readonly string[];
  readonly timeout?: Readonly<Record<string, number>>;
  readonly http2?: string;
  readonly credentialEcho?: string;
  readonly identityAssertion?: boolean;
  readonly file?: string;
}

/** What the gateway adds to a service; not part of what is sent back. */
const READ_ONLY = new Set(["credential_header", "managed_by", "disabled", "created_at", "updated_at"]);

const COLUMNS = [
  { title: "id", value: "id" },
  { title: "endpoint", value: "endpoint" },
  { title: "root key", value: (service: Item) => service["root_key_id"] || null },
  { title: "methods", value: (service: Item) => service["methods"] ?? "all" },
  { title: "managed by", value: "managed_by" },
  { title: "description", value: "description" },
];

export function addServiceCommands(program: Command, terminal: Terminal): void {
  const service = program.command("service").description("upstream APIs that keys can reach");

  addSettingOptions(service.command("add"))
    .description("register an upstream API")
    .argument("<id>", "id to refer to it by; keys name it as target")
    .addHelpText(
      "after",
      examples(
        "bifrost service add openai --endpoint https://api.openai.com/v1 --rootkey openai --bearer",
        "bifrost service add anthropic --endpoint https://api.anthropic.com --rootkey anthropic --header x-api-key",
        "bifrost service add wiki --endpoint http://10.1.2.3:8080 --allow-address 10.1.2.3 --method GET",
      ),
    )
    .action(
      action<ServiceFlags>(terminal, async (context, [id], options) => {
        const body = { id, ...settingsOf(options) };
        context.output.item(await context.api().send("POST", "/v1/services", { body }));
      }),
    );

  addListOptions(service.command("list").description("list services")).action(
    action<ListFlags>(terminal, (context, _args, options) =>
      printList(context, "/v1/services", options, {
        columns: COLUMNS,
        empty: "No services. Add one: bifrost service add NAME --endpoint URL",
      }),
    ),
  );

  service
    .command("show")
    .description("show a service with all its settings")
    .argument("<id>")
    .action(
      action<object>(terminal, async (context, [id = ""]) => {
        context.output.item(await context.api().get(path`/v1/services/${id}`));
      }),
    );

  addSettingOptions(service.command("update"))
    .description("change settings of a service; those not named stay")
    .argument("<id>")
    .addHelpText("after", examples("bifrost service update openai --method GET --method POST --timeout total=10m"))
    .action(
      action<ServiceFlags>(terminal, async (context, [id = ""], options) => {
        const change = requireChange(settingsOf(options), "the options of `bifrost service update --help`");
        const api = context.api();
        // The gateway replaces a service whole: what is not named is sent back as it is.
        const current = await api.get(path`/v1/services/${id}`);
        const kept = Object.fromEntries(Object.entries(current).filter(([name]) => !READ_ONLY.has(name)));
        const timeouts = { ...objectOf(kept["timeouts"]), ...objectOf(change["timeouts"]) };
        const body = { ...kept, ...change, ...(Object.keys(timeouts).length > 0 ? { timeouts } : {}) };
        context.output.item(await api.send("PUT", path`/v1/services/${id}`, { body }));
      }),
    );

  service
    .command("delete")
    .description("delete a service")
    .argument("<id>")
    .option("--cascade", "also revoke the keys that reach it")
    .action(
      action<{ cascade?: boolean }>(terminal, async (context, [id = ""], { cascade }) => {
        const query = { cascade: cascade ? "true" : undefined };
        await context.api().send("DELETE", path`/v1/services/${id}`, { query });
        context.output.done(`Deleted ${id}.`, { id, deleted: true });
      }),
    );
}

function addSettingOptions(command: Command): Command {
  return command
    .option("--endpoint <url>", "where requests go: origin and, optionally, a base path")
    .option("--rootkey <id>", "root key that is put into requests")
    .option("--description <text>", "shown to people and agents")
    .addOption(
      new Option("--bearer", "send the root key as Authorization: Bearer").conflicts(["header", "basic", "query"]),
    )
    .addOption(
      new Option("--header <name>", "send it in this header (default: X-API-Key)").conflicts(["basic", "query"]),
    )
    .addOption(new Option("--basic [user]", "send it as HTTP Basic password of this user").conflicts(["query"]))
    .option("--query <name>", "send it in this query parameter")
    .option("--prefix <text>", 'text before it in the header, such as "Token "')
    .option("--method <method>", "allow only this method (repeatable)", collect)
    .option("--path <pattern>", "allow only paths of this pattern, such as '/chat/*' or '/v1/**' (repeatable)", collect)
    .option("--allow-address <range>", "loopback, private, link_local, an address or CIDR block (repeatable)", collect)
    .option("--timeout <name=duration>", "connect, headers, idle or total; =none for no limit (repeatable)", timeout)
    .addOption(new Option("--http2 <mode>", "HTTP/2 to the upstream").choices(["auto", "off", "prior_knowledge"]))
    .addOption(
      new Option("--credential-echo <mode>", "when a response contains the root key").choices([
        "redact",
        "strict",
        "off",
      ]),
    )
    .option("--identity-assertion", "send the signed X-Bifrost-Identity")
    .option("--no-identity-assertion", "do not send it")
    .option("--file <json>", "settings from a JSON file; options win over it");
}

function settingsOf(options: ServiceFlags): Item {
  const fromFile = options.file === undefined ? {} : readSettings(options.file);
  return {
    ...fromFile,
    ...given({
      endpoint: options.endpoint,
      root_key_id: options.rootkey,
      description: options.description,
      injection: injectionOf(options),
      methods: options.method,
      paths: options.path,
      allow_addresses: options.allowAddress,
      timeouts: options.timeout,
      http2: options.http2,
      credential_echo: options.credentialEcho,
      identity_assertion: options.identityAssertion,
    }),
  };
}

function injectionOf({ bearer, header, basic, query, prefix }: ServiceFlags): Item | undefined {
  if (prefix !== undefined && header === undefined) {
    throw new CliFailure(EXIT.usage, "--prefix needs --header.", { code: "cli.usage" });
  }
  if (bearer) return { type: "bearer" };
  if (header !== undefined) return given({ type: "header", name: header, prefix });
  if (basic !== undefined) return given({ type: "basic", username: basic === true ? undefined : basic });
  return query === undefined ? undefined : { type: "query", name: query };
}

function timeout(text: string, before: Readonly<Record<string, number>> | undefined): Record<string, number> {
  const [, name, value = ""] = /^(connect|headers|idle|total)=(.+)$/.exec(text) ?? [];
  const ms = value === "none" ? 0 : parseDurationMs(value);
  if (name === undefined || ms === null) throw new InvalidArgumentError("Write such as headers=30s or total=none.");
  return { ...before, [`${name}_ms`]: ms };
}

function readSettings(file: string): Item {
  try {
    return z.record(z.string(), z.unknown()).parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    throw new CliFailure(EXIT.usage, `${file} cannot be read as a JSON object.`, { code: "cli.usage" });
  }
}

function objectOf(value: unknown): Item {
  return typeof value === "object" && value !== null ? (value as Item) : {};
}
