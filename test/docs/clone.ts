import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { z } from "zod";

const ROOT = process.cwd();
const Announcement = z.object({ url: z.string(), setup_token: z.string() });

export interface Clone {
  /** Of the running gateway. */
  readonly url: string;
  readonly setupToken: string;
  /** Runs a script with bash in the clone, as its reader would: a fresh home, and the gateway's URL. @throws when it fails */
  sh(script: string, env?: Readonly<Record<string, string>>): Promise<string>;
  /** Runs an ES module that may import what the clone has installed. @throws when it fails */
  js(code: string): Promise<string>;
  close(): Promise<void>;
}

/** `bifrost serve` from this clone as a process of its own, with an empty home and data folder and a free port. */
export async function startClone(settings: Readonly<Record<string, string>> = {}): Promise<Clone> {
  const home = await mkdtemp(join(tmpdir(), "bifrost-docs-"));
  // Inside node_modules, where bare imports are resolved from.
  const modules = await mkdtemp(join(ROOT, "node_modules", ".bifrost-docs-"));
  const env = {
    HOME: home,
    PATH: [join(home, ".local", "bin"), dirname(process.execPath), process.env["PATH"]].join(":"),
  };
  const serving = spawn(process.execPath, ["bin/bifrost.mjs", "serve", "--json"], {
    cwd: ROOT,
    env: { ...env, BIFROST_DATA_DIR: join(home, "data"), BIFROST_PORT: "0", BIFROST_LOG_LEVEL: "error", ...settings },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await Promise.race([once(createInterface(serving.stdout), "line"), once(serving, "exit")])) as [
    unknown,
  ];
  if (typeof line !== "string") throw new Error(`the gateway ended with ${String(line)} before it listened`);
  const { url, setup_token: setupToken } = Announcement.parse(JSON.parse(line));

  return {
    url,
    setupToken,
    sh: (script, more = {}) =>
      output("bash", ["-euo", "pipefail", "-c", script], { ...env, BIFROST_URL: url, ...more }),
    async js(code) {
      const file = join(modules, "snippet.mjs");
      await writeFile(file, code);
      return output(process.execPath, [file], env);
    },
    async close() {
      serving.kill("SIGTERM");
      if (serving.exitCode === null) await once(serving, "exit");
      await rm(home, { recursive: true, force: true });
      await rm(modules, { recursive: true, force: true });
    },
  };
}

async function output(program: string, args: readonly string[], env: Record<string, string>): Promise<string> {
  const child = spawn(program, args, { cwd: ROOT, env, stdio: ["ignore", "pipe", "pipe"] });
  const parts = { out: "", err: "" };
  child.stdout.on("data", (chunk: Buffer) => (parts.out += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (parts.err += chunk.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`${args.at(-1)}\nended with ${code}:\n${parts.out}${parts.err}`);
  return parts.out;
}
