import {
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { newMasterKey, parseMasterKey } from "../vault/keyring.ts";
import { type Config, ConfigError } from "./model.ts";

/** Why a well-formed master key must not be used, or null. A random key fails with a chance below 2^-40. */
export function weaknessOf(key: Buffer): string | null {
  if (new Set(key).size < 12) return "too regular to be random";
  const step = ((key[1] ?? 0) - (key[0] ?? 0)) & 255;
  if (key.every((byte, i) => i === 0 || ((byte - (key[i - 1] ?? 0)) & 255) === step)) return "a counting sequence";
  return key.every((byte) => byte >= 0x20 && byte < 0x7f) ? "readable text, not random bytes" : null;
}

export interface MasterKeys {
  /** The current key first. */
  readonly keys: readonly Buffer[];
  /** The file that was made just now, so that the operator can be told; else null. */
  readonly generated: string | null;
}

/**
 * The master keys of this instance. Those of the configuration, else, in development, the one in
 * `encryption.keyFile`, which is made (0600) when it does not exist and `create` allows it. Of two
 * processes that start at once both use the key that was written first. @throws ConfigError
 */
export function resolveMasterKeys(config: Config, options: { readonly create: boolean }): MasterKeys {
  const { keys, keyFile } = config.encryption;
  if (keys.length > 0) return { keys, generated: null };
  const existing = readKeyFile(keyFile);
  if (existing) return { keys: [existing], generated: null };
  if (!options.create) {
    throw refusal(keyFile, "there is no encryption key yet", "Start the gateway once, or set BIFROST_ENCRYPTION_KEY.");
  }
  const generated = writeKeyFile(keyFile);
  const key = readKeyFile(keyFile);
  if (!key) throw refusal(keyFile, "disappeared while it was made", "Check who else writes to the data directory.");
  return { keys: [key], generated: generated ? keyFile : null };
}

function readKeyFile(path: string): Buffer | null {
  let text: string;
  try {
    if ((statSync(path).mode & 0o077) !== 0 && process.platform !== "win32") {
      throw refusal(path, "can be read by others", `Run: chmod 600 ${path}`);
    }
    text = readFileSync(path, "utf8").trim();
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw refusal(path, "cannot be read", "Check its owner and permissions.");
  }
  const key = parseMasterKey(text);
  if (!key || weaknessOf(key) !== null) {
    throw refusal(path, "does not hold a usable key", "Restore it from a backup. A new key cannot read the database.");
  }
  return key;
}

/** Written beside, flushed, then linked: the file is whole or absent, and never replaced. */
function writeKeyFile(path: string): boolean {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const file = openSync(temporary, "wx", 0o600);
    try {
      writeSync(file, `${newMasterKey()}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    try {
      linkSync(temporary, path);
      return true;
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
      throw error;
    } finally {
      unlinkSync(temporary);
    }
  } catch {
    throw refusal(
      path,
      "cannot be written",
      "Make the data directory writable for this user, or set BIFROST_ENCRYPTION_KEY.",
    );
  }
}

function refusal(place: string, message: string, remedy: string): ConfigError {
  return new ConfigError([{ place, message, remedy }]);
}
