import { readFileSync } from "node:fs";
import { type Config, loadConfig } from "../../config/load.ts";
import { openDatabase, type Db } from "../../storage/open-database.ts";
import { CliFailure, EXIT } from "../failure.ts";
import type { ConfigFlags } from "../context.ts";
import type { Terminal } from "../terminal.ts";

/** The settings that a gateway started with the same option and environment would have. @throws ConfigError */
export function loadSettings(terminal: Terminal, flags: ConfigFlags): Config {
  return loadConfig({
    file: flags.config ?? (terminal.env["BIFROST_CONFIG"] || undefined),
    env: terminal.env,
    readFile: (path) => readFileSync(path, "utf8"),
  });
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
