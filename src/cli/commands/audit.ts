import type { Command } from "commander";
import {
  action,
  addConfigOption,
  addListOptions,
  type ConfigFlags,
  examples,
  type ListFlags,
  printList,
} from "../context.ts";
import type { Item, Terminal } from "../terminal.ts";

interface AuditFlags extends ListFlags {
  readonly actor?: string;
  readonly action?: string;
  readonly target?: string;
  readonly outcome?: string;
  readonly from?: string;
  readonly to?: string;
}

const idOf = (field: string) => (entry: Item) => {
  const value = entry[field];
  return typeof value === "object" && value !== null && "id" in value ? value.id : null;
};

const COLUMNS = [
  { title: "at", value: "at" },
  { title: "actor", value: idOf("actor") },
  { title: "action", value: "action" },
  { title: "target", value: idOf("target") },
  { title: "outcome", value: "outcome" },
  { title: "from", value: "client_address" },
];

export function addAuditCommands(program: Command, terminal: Terminal): void {
  const audit = program.command("audit").description("who did what, when and from where");

  addListOptions(audit.command("list").description("list entries, newest first"))
    .option("--actor <id>", "only of this user or service account")
    .option("--action <name>", "only this action, such as key.issue")
    .option("--target <id>", "only about this thing")
    .option("--outcome <outcome>", "allowed, denied or failed")
    .option("--from <time>", "from this time on (RFC 3339)")
    .option("--to <time>", "up to this time")
    .addHelpText(
      "after",
      examples("bifrost audit list --outcome denied", "bifrost audit list --all --json > audit.json"),
    )
    .action(
      action<AuditFlags>(terminal, (context, _args, options) =>
        printList(context, "/v1/audit", options, {
          columns: COLUMNS,
          empty: "No entries.",
          query: {
            actor: options.actor,
            action: options.action,
            target: options.target,
            outcome: options.outcome,
            from: options.from,
            to: options.to,
          },
        }),
      ),
    );

  const verify = audit
    .command("verify")
    .description("check on the database that no entry of any organization was altered or removed")
    .addHelpText("after", examples("bifrost audit verify --config bifrost.toml"))
    .action(
      action<ConfigFlags>(terminal, async (context, _args, options) => {
        const { verifyAudit } = await import("../local/audit-verify.ts");
        await verifyAudit(context, options);
      }),
    );
  addConfigOption(verify);
}
