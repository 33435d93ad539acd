// Makes a fresh clone runnable: dependencies first, then a new enough Node.
//
// Plain JavaScript for Node 20, because it runs before anything is installed. npm scripts call it first.
// They put node_modules/.bin on PATH, so once a link to Node 24 stands there, tools that are found through
// `#!/usr/bin/env node` run on it. `node` itself may not: dash, Debian's /bin/sh, remembers where it found
// the first `node` of a line. So a script of ours is given as argument, and is run here, on the right Node.
//
// It does nothing, in a few milliseconds, when everything is in place.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const REQUIRED_NODE_MAJOR = 24;
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const modules = join(root, "node_modules");
const runtimeDir = join(root, "scripts", "node-runtime");

installDependencies();
const node = linkNode();
const [script, ...scriptArguments] = process.argv.slice(2);
if (script !== undefined) run(script, scriptArguments);

function installDependencies() {
  const marker = join(modules, ".bifrost-lock-sha256");
  const wanted = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
  if (existsSync(marker) && readFileSync(marker, "utf8") === wanted) return;
  say("installing dependencies from package-lock.json …");
  npmCi(root);
  writeFileSync(marker, wanted);
}

/** @returns {string} the Node that runs Bifrost */
function linkNode() {
  // Inside an npm script `node` may already be our own link, which a fresh `npm ci` has just removed: only a
  // Node from elsewhere makes the link unnecessary.
  const major = Number(process.versions.node.split(".")[0]);
  const isOurs = realpathSync(process.execPath).startsWith(runtimeDir);
  if (major >= REQUIRED_NODE_MAJOR && !isOurs) return process.execPath;

  const platformPackage = `node-${process.platform}-${process.arch}`;
  const binary = join(runtimeDir, "node_modules", platformPackage, "bin", "node");
  if (!existsSync(binary)) {
    say(`Node ${process.versions.node} is too old to run Bifrost; installing Node ${REQUIRED_NODE_MAJOR} beside it …`);
    npmCi(runtimeDir);
  }
  if (!existsSync(binary)) {
    fail(
      `No packaged Node ${REQUIRED_NODE_MAJOR} for ${process.platform} ${process.arch}. ` +
        `Install Node ${REQUIRED_NODE_MAJOR} or newer yourself, put it first on PATH, and run the command again.`,
    );
  }
  const link = join(modules, ".bin", "node");
  mkdirSync(dirname(link), { recursive: true });
  if (lstatSync(link, { throwIfNoEntry: false })) rmSync(link);
  symlinkSync(binary, link);
  return binary;
}

/** @param {string} script @param {string[]} args */
function run(script, args) {
  const child = spawn(node, [script, ...args], { stdio: "inherit" });
  // A terminal sends Ctrl-C to both of us: passed on as well, it would count as the impatient second one.
  process.on("SIGINT", () => process.stdin.isTTY || child.kill("SIGINT"));
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("exit", (code, signal) => {
    process.exitCode = signal ? 1 : (code ?? 1);
  });
}

/** @param {string} cwd */
function npmCi(cwd) {
  // Inside an npm script npm_execpath is the running npm; outside, the one on PATH.
  const npmScript = process.env.npm_execpath;
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  const viaScript = npmScript !== undefined && /npm-cli\.c?js$/.test(npmScript);
  const result = viaScript
    ? spawnSync(process.execPath, [npmScript, ...args], { cwd, stdio: ["ignore", 2, 2], env: npmEnvironment() })
    : spawnSync("npm", args, {
        cwd,
        stdio: ["ignore", 2, 2],
        env: npmEnvironment(),
        shell: process.platform === "win32",
      });
  if (result.status !== 0) fail(`"npm ci" failed in ${cwd}; its message is above.`);
}

/** The variables a running npm script sets describe that script's package, not the one being installed. */
function npmEnvironment() {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_(package|lifecycle|config_local_prefix)/.test(name)),
  );
}

/** @param {string} text */
function say(text) {
  process.stderr.write(`bifrost: ${text}\n`);
}

/** @param {string} text @returns {never} */
function fail(text) {
  say(text);
  process.exit(1);
}
