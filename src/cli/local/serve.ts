import { createApp } from "../../app.ts";
import type { Config } from "../../config/load.ts";
import { resolveMasterKeys } from "../../config/master-key.ts";
import { createLogger } from "../../core/log.ts";
import { InstanceLockError } from "../../storage/instance-lock.ts";
import type { ConfigFlags, Context } from "../context.ts";
import { CliFailure, EXIT } from "../failure.ts";
import { databaseFailure, loadSettings } from "./open-config.ts";
import { type Gateway, superviseGateway } from "./supervise-gateway.ts";

/** Runs a gateway until it is told to stop. */
export async function serve({ output, terminal }: Context, options: ConfigFlags): Promise<void> {
  const load = () => loadSettings(terminal, options);
  const config = load();
  const log = createLogger(config.log.level);
  const { generated } = resolveMasterKeys(config, { create: true });
  for (const warning of config.warnings) log.warn(warning);
  const { gateway, url } = await start(config);
  const onReady = () => announce(output, { url, setupToken: gateway.setupToken, generated });
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

function announce(
  output: Context["output"],
  { url, setupToken, generated }: { url: string; setupToken: string | null; generated: string | null },
): void {
  const lines = [
    `Bifrost listens on ${url}`,
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
  output.done(lines.join("\n"), { url, setup_token: setupToken, generated_key_file: generated });
}

function setupCommand(url: string, token: string): string {
  // `npm start` runs in a clone, where nobody may have put the command on PATH; npx finds the clone's own.
  const command = process.env["npm_lifecycle_event"] === undefined ? "bifrost" : "npx bifrost";
  return `${command} setup --token ${token}${url === "http://127.0.0.1:3333" ? "" : ` --url ${url}`}`;
}
