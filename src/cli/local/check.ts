import { existsSync } from "node:fs";
import { Redis } from "ioredis";
import { type Config, ConfigError } from "../../config/model.ts";
import { resolveMasterKeys } from "../../config/master-key.ts";
import { secretContext } from "../../credentials/reveal.ts";
import { pendingMigrations } from "../../storage/migrate.ts";
import type { Db } from "../../storage/open-database.ts";
import { openKeyring } from "../../storage/open-keyring.ts";
import type { Keyring } from "../../vault/keyring.ts";
import type { ConfigFlags, Context } from "../context.ts";
import { CliFailure, EXIT } from "../failure.ts";
import { loadSettings, withDatabase } from "./open-config.ts";

interface Finding {
  readonly check: string;
  readonly ok: boolean;
  readonly detail: string;
}

/** Looks at everything that a start needs. @throws CliFailure when something is not well */
export async function check({ output, terminal }: Context, options: ConfigFlags): Promise<void> {
  const config = loadSettings(terminal, options);
  const key = checkKey(config);
  const findings = [
    { check: "configuration", ok: true, detail: config.file ?? "environment and defaults" },
    key.finding,
    ...(await checkDatabase(config, key.masters)),
    await checkRedis(config),
  ];
  for (const warning of config.warnings) output.note(`warning: ${warning}`);
  output.list(
    findings.map((finding) => ({ ...finding })),
    [
      { title: "check", value: "check" },
      { title: "ok", value: "ok" },
      { title: "detail", value: "detail" },
    ],
    "",
  );
  const failed = findings.filter((finding) => !finding.ok);
  if (failed.length > 0) {
    const names = failed.map((finding) => finding.check).join(", ");
    throw new CliFailure(EXIT.failure, `Not well: ${names}.`, { code: "cli.check_failed" });
  }
}

function checkKey(config: Config): { finding: Finding; masters: readonly Buffer[] | null } {
  const finding = (ok: boolean, detail: string) => ({ check: "encryption key", ok, detail });
  try {
    const { keys } = resolveMasterKeys(config, { create: false });
    const source = config.encryption.keys.length > 0 ? "from the configuration" : config.encryption.keyFile;
    const previous = keys.length > 1 ? `, ${keys.length - 1} previous` : "";
    return { finding: finding(true, source + previous), masters: keys };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const [problem] = error.problems;
    return { finding: finding(false, `${problem?.message}. ${problem?.remedy}`), masters: null };
  }
}

async function checkDatabase(config: Config, masters: readonly Buffer[] | null): Promise<Finding[]> {
  const { database } = config;
  if (database.dialect === "sqlite" && database.path !== ":memory:" && !existsSync(database.path)) {
    const detail = `${database.path} does not exist yet; "bifrost serve" or "bifrost migrate" makes it`;
    return [{ check: "database", ok: false, detail }];
  }
  try {
    return await withDatabase(config, async (db) => {
      const pending = await pendingMigrations(db);
      if (pending.length > 0) {
        return [
          { check: "database", ok: false, detail: `not up to date (${pending.join(", ")}); run "bifrost migrate"` },
        ];
      }
      const reachable = { check: "database", ok: true, detail: `${database.dialect}, schema up to date` };
      return masters ? [reachable, ...(await checkMasterKeys(db, masters))] : [reachable];
    });
  } catch (error) {
    if (error instanceof CliFailure) return [{ check: "database", ok: false, detail: error.message }];
    throw error;
  }
}

async function checkMasterKeys(db: Db, masters: readonly Buffer[]): Promise<Finding[]> {
  try {
    return [await checkSecrets(db, await openKeyring(db, masters, { create: false }))];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const [problem] = error.problems;
    return [{ check: "root keys", ok: false, detail: `cannot be opened: ${problem?.message}. ${problem?.remedy}` }];
  }
}

/** Opens every current root key: a wrong encryption key shows here and not at an agent's first call. */
async function checkSecrets(db: Db, keyring: Keyring): Promise<Finding> {
  const rows = await db
    .selectFrom("credentials")
    .innerJoin("credential_versions as v", (join) =>
      join.onRef("v.credential_uid", "=", "credentials.uid").onRef("v.version", "=", "credentials.version"),
    )
    .select(["credentials.id", "credentials.org_uid", "credentials.uid", "credentials.version", "v.sealed"])
    .execute();
  const unreadable = rows.filter((row) => !opens(keyring, row)).map((row) => row.id);
  const stale = rows.filter((row) => keyring.isStale(row.sealed)).length;
  if (unreadable.length > 0) {
    const detail = `cannot be opened: ${unreadable.join(", ")}; give the key they were stored under as a previous key`;
    return { check: "root keys", ok: false, detail };
  }
  const hint = stale > 0 ? `; ${stale} under a previous key: run "bifrost reencrypt"` : "";
  return { check: "root keys", ok: true, detail: `${rows.length} readable${hint}` };
}

function opens(keyring: Keyring, row: { org_uid: string; uid: string; version: number; sealed: string }): boolean {
  try {
    keyring.open(row.sealed, secretContext(row.org_uid, row.uid, row.version));
    return true;
  } catch {
    return false;
  }
}

async function checkRedis(config: Config): Promise<Finding> {
  if (config.redisUrl === null) return { check: "redis", ok: true, detail: "not configured: a single instance" };
  const redis = new Redis(config.redisUrl, {
    lazyConnect: true,
    connectTimeout: 3_000,
    commandTimeout: 3_000,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  // Without a listener the client prints errors itself, with the address.
  redis.on("error", () => undefined);
  try {
    await redis.connect();
    await redis.ping();
    return { check: "redis", ok: true, detail: "reachable" };
  } catch {
    const { host } = new URL(config.redisUrl);
    return { check: "redis", ok: false, detail: `${host} does not answer, or refuses the password` };
  } finally {
    redis.disconnect();
  }
}
