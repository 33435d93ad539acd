import { type Command, Option } from "commander";
import { action, addSourceOptions, examples, type ServeFlags } from "../context.ts";
import type { Terminal } from "../terminal.ts";

const AFTER = `
Signals: SIGTERM and SIGINT stop it and let running requests end (twice: at once); SIGHUP reloads the configuration,
as "bifrost reload" does. Logs are JSON lines on standard error. With --json the address is a JSON line on stdout.
With --config-stdin stdout carries one JSON document, the configuration for MCP clients, and nothing else; it holds the
agent id, which is a secret.`;

export function addServeCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command("serve")
    .description("run the gateway")
    .addHelpText(
      "after",
      `${examples("bifrost serve", "bifrost serve --config bifrost.toml", "bifrost serve --config-stdin < mcp.json > client.json")}\n${AFTER}`,
    )
    .action(
      action<ServeFlags>(terminal, async (context, _args, options) => {
        const { serve } = await import("../local/serve.ts");
        await serve(context, options);
      }),
    );
  addSourceOptions(command)
    .option("-l, --listen <host:port>", "address to listen on (default: server.host and server.port)")
    .addOption(new Option("--routed", "print an address for each MCP server (default)").conflicts("unified"))
    .addOption(new Option("--unified", "print one address for all MCP servers; both kinds are always served"))
    .option("--log-dir <path>", "folder for the log files of the MCP plane")
    .option("--payload-dir <path>", "folder for results that are too large to be sent to an agent")
    .option("--payload-path-prefix <path>", "what stands for that folder in the paths told to agents")
    .option("--payload-size-threshold <bytes>", "a longer result is put into a file")
    .option("--shutdown-timeout <duration>", "how long running requests may go on after a stop signal");
}
