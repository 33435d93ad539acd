import { readFileSync } from "node:fs";
import { type Config, loadConfig, type LoadOptions } from "../../config/load.ts";
import { openDatabase, type Db } from "../../storage/open-database.ts";
import { CliFailure, EXIT } from "../failure.ts";
import type { ConfigFlags, SourceFlags } from "../context.ts";
import type { Terminal } from "../terminal.ts";
import { readEnvFile } from "./env-file.ts";

/** More than any configuration that is accepted. */
const MAX_STDIN_BYTES = 8 * 1024 * 1024;

/** The settings that a gateway started with the same option and environment would have. @throws ConfigError */
export function loadSettings(terminal: Terminal, flags: ConfigFlags): Config {
  return loadFrom(flags, { env: terminal.env });
}

/** Where the settings come from: read once, so that a reload sees the same document on standard input. */
export interface SettingSources {
  readonly env: Terminal["env"];
  readonly stdin?: string | undefined;
  readonly options?: LoadOptions["options"];
}

/** Reads what cannot be read twice. @throws ConfigError */
export async function openSources(terminal: Terminal, flags: SourceFlags): Promise<SettingSources> {
  const env = flags.env === undefined ? terminal.env : { ...terminal.env, ...readEnvFile(flags.env, terminal.env) };
  return { env, stdin: flags.configStdin ? await readAll(terminal.stdin) : undefined };
}

/** @throws ConfigError */
export function loadFrom(flags: ConfigFlags, { env, stdin, options }: SettingSources): Config {
  return loadConfig({
    file: flags.config ?? (env["BIFROST_CONFIG"] || undefined),
    stdin,
    env,
    options,
    readFile: (path) => readFileSync(path, "utf8"),
  });
}

/** All of standard input; of an endless one only so much that the load can refuse it. */
async function readAll(stdin: Terminal["stdin"]): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stdin as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > MAX_STDIN_BYTES) break;
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** Runs work on the configured database and closes it. Engine errors become one line without address or password. */
export async function withDatabase<T>(config: Config, work: (db: Db) => Promise<T>): Promise<T> {
  const db = openDatabase(config.database);
  try {
    return await work(db);
  } catch (error) {
    throw databaseFailure(config, error);
  } finally {
    await db.destroy().catch(() => undefined);
  }
}

/** Why the database cannot be used, in words: never the engine's own text, which may quote the address. */
export function databaseFailure(config: Config, error: unknown): Error {
  const reason = reasonOf(error);
  if (reason === null) return error instanceof Error ? error : new Error("unknown failure");
  const where =
    config.database.dialect === "sqlite" ? config.database.path : `PostgreSQL at ${new URL(config.database.url).host}`;
  return new CliFailure(EXIT.failure, `The database cannot be used: ${where}: ${reason}.`, {
    code: "cli.database",
    hint: "Check database.url (BIFROST_DATABASE_URL).",
  });
}

function reasonOf(error: unknown): string | null {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const code = "code" in at ? String(at.code) : "";
    switch (code) {
      case "ECONNREFUSED":
        return "nothing listens there";
      case "ENOTFOUND":
      case "EAI_AGAIN":
        return "the host name is unknown";
      case "ETIMEDOUT":
        return "no answer in time";
      case "28P01":
      case "28000":
        return "the user or password is refused";
      case "3D000":
        return "there is no such database";
      case "EACCES":
      case "EPERM":
      case "EROFS":
        return "no permission";
      case "ERR_SQLITE_ERROR":
        return "it cannot be opened (no permission, or not a SQLite file)";
    }
    if (/timeout|terminated/i.test(at.message)) return "no answer in time";
  }
  return null;
}
