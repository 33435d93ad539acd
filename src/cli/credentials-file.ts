import {
  chmodSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { z } from "zod";
import { CliFailure, EXIT } from "./failure.ts";

const Entry = z.object({
  token: z.string(),
  expires_at: z.string().nullable(),
  user: z.string(),
  org: z.string().nullable(),
});
const Content = z.object({
  version: z.literal(1),
  /** Origin of the gateway that was logged in to last. */
  current: z.string().nullable(),
  gateways: z.record(z.string(), Entry),
});

export type StoredLogin = z.output<typeof Entry>;
type Content = z.output<typeof Content>;

/** The session tokens of this user, per gateway: a token is never sent to another origin than it came from. */
export interface LoginStore {
  readonly path: string;
  current(): string | null;
  find(origin: string): StoredLogin | null;
  save(origin: string, login: StoredLogin): void;
  /** Whether there was one. */
  remove(origin: string): boolean;
}

/** @throws CliFailure when the file can be read by others or is damaged; what is in it is not used then */
export function openLoginStore(env: Readonly<Record<string, string | undefined>>): LoginStore {
  const path = env["BIFROST_CREDENTIALS"] || join(configHome(env), "bifrost", "credentials.json");
  const read = () => readContent(path);
  return {
    path,
    current: () => read().current,
    find: (origin) => read().gateways[origin] ?? null,
    save(origin, login) {
      const content = read();
      writeContent(path, { ...content, current: origin, gateways: { ...content.gateways, [origin]: login } });
    },
    remove(origin) {
      const content = read();
      if (!content.gateways[origin]) return false;
      const gateways = Object.fromEntries(Object.entries(content.gateways).filter(([name]) => name !== origin));
      writeContent(path, { ...content, current: content.current === origin ? null : content.current, gateways });
      return true;
    },
  };
}

function configHome(env: Readonly<Record<string, string | undefined>>): string {
  const given = env["XDG_CONFIG_HOME"];
  // The XDG base directory specification: a relative path is invalid and ignored.
  return given?.startsWith("/") ? given : join(env["HOME"] || homedir(), ".config");
}

function readContent(path: string): Content {
  let text: string;
  try {
    if (process.platform !== "win32" && (statSync(path).mode & 0o077) !== 0) {
      throw new CliFailure(EXIT.failure, `${path} can be read by others; it is not used`, {
        code: "cli.credentials_exposed",
        hint: `Run "chmod 600 ${path}", and log out and in again if others may have read it.`,
      });
    }
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof CliFailure) throw error;
    if (error instanceof Error && "code" in error && error.code === "ENOENT") {
      return { version: 1, current: null, gateways: {} };
    }
    throw new CliFailure(EXIT.failure, `${path} cannot be read`, { code: "cli.credentials_unreadable" });
  }
  const parsed = Content.safeParse(jsonOrNull(text));
  if (parsed.success) return parsed.data;
  throw new CliFailure(EXIT.failure, `${path} is damaged`, {
    code: "cli.credentials_unreadable",
    hint: "Remove the file and log in again.",
  });
}

/** Written beside, flushed, renamed over: a crash leaves the old file or the new one. */
function writeContent(path: string, content: Content): void {
  const folder = dirname(path);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (folder.endsWith("/bifrost")) chmodSync(folder, 0o700);
  const temporary = `${path}.${process.pid}.tmp`;
  const file = openSync(temporary, "wx", 0o600);
  try {
    writeSync(file, `${JSON.stringify(content, null, 2)}\n`);
    fsyncSync(file);
  } catch (error) {
    unlinkSync(temporary);
    throw error;
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
}

function jsonOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
