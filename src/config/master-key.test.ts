import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { ConfigError, loadConfig } from "./load.ts";
import { resolveMasterKeys } from "./master-key.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "bifrost-key-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

const config = () =>
  loadConfig({
    env: { BIFROST_DATA_DIR: join(dir, "data") },
    readFile: () => "",
  });

it("makes the key of a trial once, in a file that only its owner can read", () => {
  const first = resolveMasterKeys(config(), { create: true });
  expect(first.generated).toBe(join(dir, "data", "encryption.key"));
  expect(statSync(first.generated ?? "").mode & 0o777).toBe(0o600);
  const second = resolveMasterKeys(config(), { create: true });
  expect(second.generated).toBeNull();
  expect(second.keys).toEqual(first.keys);
});

it("makes none where the caller only looks", () => {
  expect(() => resolveMasterKeys(config(), { create: false })).toThrow(ConfigError);
});

it("refuses a key file that others can read, or that is damaged, without repeating it", () => {
  const path = resolveMasterKeys(config(), { create: true }).generated ?? "";
  chmodSync(path, 0o644);
  expect(() => resolveMasterKeys(config(), { create: true })).toThrow("can be read by others");
  chmodSync(path, 0o600);
  const damaged = readFileSync(path, "utf8").slice(0, 20);
  writeFileSync(path, damaged);
  expect(() => resolveMasterKeys(config(), { create: true })).toThrow("does not hold a usable key");
  expect(() => resolveMasterKeys(config(), { create: true })).not.toThrow(damaged);
});
