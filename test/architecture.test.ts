import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { expect, it } from "vitest";

/** Lowest first. A file may import its own folder and folders of lower layers, nothing beside or above. */
const LAYERS = [
  ["core"],
  ["jsonrpc", "containers"],
  ["telemetry"],
  ["access", "vault"],
  ["config"],
  ["storage"],
  ["http"],
  ["audit"],
  ["idempotency", "identity"],
  ["credentials"],
  ["services"],
  ["keys"],
  ["limits", "retention"],
  ["cluster"],
  ["gate", "mcp-links"],
  ["mcp-policy", "mcp-servers"],
  ["proxy", "mcp"],
  ["."],
  ["cli"],
];
const level = (folder: string) => LAYERS.findIndex((layer) => layer.includes(folder));
const folderOf = (file: string) => (file.includes("/") ? file.slice(0, file.indexOf("/")) : ".");
const files = readdirSync("src", { recursive: true, encoding: "utf8" }).filter((f) => /(?<!\.test)\.ts$/.test(f));

it.each(files)("%s imports downwards only", (file) => {
  const source = readFileSync(join("src", file), "utf8");
  expect(level(folderOf(file)), "a new folder needs a layer").toBeGreaterThanOrEqual(0);
  for (const [, specifier] of source.matchAll(/^(?:import|export)[^;]*?from "(\.[^"]+)"/gm)) {
    const target = folderOf(relative("src", join("src", dirname(file), specifier ?? "")));
    if (target !== folderOf(file)) expect(level(target), specifier).toBeLessThan(level(folderOf(file)));
  }
});

it.each(files.filter((file) => !/^(config|cli)\//.test(file)))("%s reads no environment variable", (file) => {
  expect(readFileSync(join("src", file), "utf8")).not.toMatch(/process\.env/);
});
