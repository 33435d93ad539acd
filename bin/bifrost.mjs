#!/usr/bin/env node
// The `bifrost` command. Plain JavaScript for Node 20: it finds a Node that can run the program
// (this one, or the one scripts/bootstrap.mjs installed) and hands over.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import module from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const compiled = join(root, "dist", "cli", "main.js");
const source = join(root, "src", "cli", "main.ts");
// A clone runs from source, so that an edit is never hidden by an old build; a package has only dist.
const entry = existsSync(source) ? source : compiled;

// What a gateway that streams needs of V8 and malloc: measured under load, 136 MiB instead of 184, at the same speed
// (docs/decisions/0013-memory.md). Only for `serve`; what NODE_OPTIONS or the environment already say wins.
// One helper thread of V8: on few cores the collectors' threads take the time of the one that answers, and the slowest
// answers became three times as slow.
const MEMORY_FLAGS = [
  "--max-semi-space-size=8",
  "--max-old-space-size=512",
  "--heap-growing-percent=20",
  "--v8-pool-size=1",
];
const MALLOC_ARENAS = "2";

const isNewEnough = Number(process.versions.node.split(".")[0]) >= 24;
const isServe = process.argv[2] === "serve";
const isTuned = process.execArgv.some((flag) => flag.startsWith("--max-semi-space-size"));

if (isNewEnough && (!isServe || isTuned || !process.execve)) {
  // A clone's types are stripped once, not at each start: the stripper alone holds 20 MiB for as long as the program
  // runs. Kept beside the dependencies rather than in /tmp, where others could write; where this cannot be written
  // either, as in a container, nothing is kept.
  module.enableCompileCache?.(join(root, "node_modules", ".cache", "bifrost"));
  const { main } = await import(entry);
  await main(process.argv.slice(2));
} else if (isNewEnough) {
  // Replaces this process, so signals and exit codes need no relaying.
  process.execve(process.execPath, [process.execPath, ...nodeArguments()], environment());
} else {
  const newer = join(root, "node_modules", ".bin", "node");
  if (!existsSync(newer)) {
    process.stderr.write(
      `bifrost: Node ${process.versions.node} is too old. Run "node ${join(root, "scripts", "bootstrap.mjs")}" once, ` +
        "or use Node 24 or newer.\n",
    );
    process.exit(1);
  }
  const child = spawn(newer, nodeArguments(), { stdio: "inherit", env: environment() });
  // A terminal sends Ctrl-C to both of us: passed on as well, it would count as the impatient second one.
  process.on("SIGINT", () => process.stdin.isTTY || child.kill("SIGINT"));
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("exit", (code, signal) => {
    if (signal) process.kill(process.pid, signal);
    else process.exit(code ?? 1);
  });
}

function nodeArguments() {
  const given = process.env.NODE_OPTIONS ?? "";
  const flags = MEMORY_FLAGS.filter((flag) => !given.includes(flag.split("=")[0]));
  return [...process.execArgv, ...(isServe ? flags : []), fileURLToPath(import.meta.url), ...process.argv.slice(2)];
}

function environment() {
  return isServe ? { MALLOC_ARENA_MAX: MALLOC_ARENAS, ...process.env } : process.env;
}
