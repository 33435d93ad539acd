import { createApp } from "../../app.ts";
import type { Config } from "../../config/load.ts";
import { resolveMasterKeys } from "../../config/master-key.ts";
import { createLogger } from "../../core/log.ts";
import { InstanceLockError } from "../../storage/instance-lock.ts";
import type { Context, ServeFlags } from "../context.ts";
import { CliFailure, EXIT } from "../failure.ts";
import { clientConfiguration } from "../serve-gateway.ts";
import { settingsOf } from "./gateway-flags.ts";
import { databaseFailure, loadFrom, openSources } from "./open-config.ts";
import { type Gateway, superviseGateway } from "./supervise-gateway.ts";

/** Runs a gateway until it is told to stop. */
export async function serve({ output, terminal }: Context, flags: ServeFlags): Promise<void> {
  const sources = { ...(await openSources(terminal, flags)), options: settingsOf(flags) };
  const load = () => loadFrom(flags, sources);
  const config = load();
  const log = createLogger(config.log.level);
  const { generated } = resolveMasterKeys(config, { create: true });
  for (const warning of config.warnings) log.warn(warning);
  const { gateway, url } = await start(config);
  const servers = config.mcpServers.map(({ name }) => name);
  const onReady = () => {
    const started = { url, setupToken: gateway.setupToken, generated, servers };
    if (!flags.configStdin) return announce(output, started);
    // In the same turn as the listening: no request is answered before the whole document is written.
    const document = clientConfiguration(config, url, flags.unified ? "unified" : "routed");
    terminal.stdout.write(`${JSON.stringify(document)}\n`);
    terminal.stderr.write(`${textOf(started)}\n`);
  };
  await superviseGateway({ gateway, config, load, log, url, onReady });
}

async function start(config: Config): Promise<{ gateway: Gateway; url: string }> {
  const gateway = await createApp(config).catch((error: unknown) => {
    throw error instanceof InstanceLockError
      ? new CliFailure(EXIT.failure, error.message, { code: "cli.instance_running" })
      : databaseFailure(config, error);
  });
  try {
    const { url } = await gateway.listen();
    return { gateway, url };
  } catch (error) {
    await gateway.close().catch(() => undefined);
    throw listenFailure(config, error) ?? error;
  }
}

function listenFailure({ server }: Config, error: unknown): CliFailure | null {
  const code =
    error instanceof Error && "syscall" in error && error.syscall === "listen" && "code" in error ? error.code : null;
  const fail = (why: string, hint: string) =>
    new CliFailure(EXIT.failure, `Cannot listen on ${server.host} port ${server.port}: ${why}.`, {
      code: "cli.listen",
      hint,
    });
  switch (code) {
    case null:
      return null;
    case "EADDRINUSE":
      return fail("the port is taken", "Stop what uses it, or choose another: BIFROST_PORT=3334 bifrost serve");
    case "EACCES":
      return fail("no permission", "Ports below 1024 need a privilege; choose another port.");
    case "EADDRNOTAVAIL":
      return fail("this machine does not have that address", "Check server.host (BIFROST_HOST).");
    default:
      return fail(String(code), "Check server.host and server.port.");
  }
}

/** Of MCP servers, in the line that tells their addresses. */
const MAX_NAMED = 10;

interface Started {
  readonly url: string;
  readonly setupToken: string | null;
  readonly generated: string | null;
  /** MCP servers of the configuration. */
  readonly servers: readonly string[];
}

function announce(output: Context["output"], started: Started): void {
  const { url, setupToken, generated } = started;
  output.done(textOf(started), { url, setup_token: setupToken, generated_key_file: generated });
}

function textOf({ url, setupToken, generated, servers }: Started): string {
  const lines = [
    `Bifrost listens on ${url}`,
    ...(servers.length === 0
      ? []
      : [
          `MCP: ${url}/mcp for all servers, ${url}/mcp/NAME for one of ${servers.slice(0, MAX_NAMED).join(", ")}${servers.length > MAX_NAMED ? ", …" : ""}`,
        ]),
    ...(generated === null
      ? []
      : [`Made an encryption key for this trial: ${generated} (keep a copy; without it stored secrets are lost)`]),
    ...(setupToken === null
      ? []
      : [
          "",
          "Nobody has set up this gateway yet. Next, in another terminal:",
          "",
          `  ${setupCommand(url, setupToken)}`,
          "",
        ]),
  ];
  return lines.join("\n");
}

function setupCommand(url: string, token: string): string {
  // `npm start` runs in a clone, where nobody may have put the command on PATH; npx finds the clone's own.
  const command = process.env["npm_lifecycle_event"] === undefined ? "bifrost" : "npx bifrost";
  return `${command} setup --token ${token}${url === "http://127.0.0.1:3333" ? "" : ` --url ${url}`}`;
}
