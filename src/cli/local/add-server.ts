import { readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { loadConfig } from "../../config/load.ts";
import { ConfigError } from "../../config/model.ts";
import type { Context } from "../context.ts";
import { CliFailure, EXIT } from "../failure.ts";
import { type ServerEntry, withServer } from "./edit-servers.ts";

/**
 * Puts an MCP server into the configuration file, after the whole file has been checked as a gateway would read it. No running
 * gateway is told: what it starts comes from its configuration alone, which it reads when it starts.
 *
 * @throws ConfigError with every problem, and nothing is written then
 */
export function addServer(
  { output, terminal }: Context,
  { file, name, entry }: { file: string | undefined; name: string; entry: ServerEntry },
): void {
  const given = file ?? (terminal.env["BIFROST_CONFIG"] || undefined);
  if (given === undefined)
    throw new CliFailure(EXIT.usage, "Which file? Name it with --config or BIFROST_CONFIG.", { code: "cli.usage" });
  const existing = readIfThere(given);
  const text = withServer(given, existing ?? "", name, entry);
  const config = loadConfig({
    file: given,
    env: terminal.env,
    readFile: (path) => (path === given ? text : readFileSync(path, "utf8")),
  });
  // A link stays a link; the file it leads to is replaced whole, so that a gateway never reads half of it.
  const target = existing === null ? given : realpathSync(given);
  replaceFile(target, text, existing === null ? 0o600 : statSync(target).mode & 0o777);
  for (const warning of config.warnings) output.note(`warning: ${warning}`);
  output.done(
    `${existing === null ? "Made" : "Changed"} ${given}: added the MCP server ${name}.\n` +
      `A running gateway takes it over with \`bifrost reload\`, at /mcp/${name} and with all others at /mcp.`,
    { file: given, server: name, added: true, reload_needed: true },
  );
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    const remedy = "Check the path and its permissions.";
    throw new ConfigError([{ place: path, message: "cannot be read", remedy }]);
  }
}

function replaceFile(path: string, text: string, mode: number): void {
  const beside = `${path}.${process.pid}.new`;
  try {
    writeFileSync(beside, text, { mode, flag: "wx", flush: true });
    renameSync(beside, path);
  } catch (error) {
    rmSync(beside, { force: true });
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    throw new CliFailure(EXIT.failure, `The file ${path} cannot be written (${code}).`, { code: "cli.file" });
  }
}
