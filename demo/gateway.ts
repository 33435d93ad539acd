import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { withoutSettings } from "../scripts/without-settings.ts";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

export interface RunningGateway {
  readonly url: string;
  readonly setupToken: string;
  /** Ends it as an operator would, with SIGTERM, and resolves with its exit code. */
  stop(): Promise<number | null>;
}

/** Starts the gateway as its own process, as `npm start` does, on SQLite in `dataDir` and a free port, with the file `config`. */
export async function startGateway(dataDir: string, config: string): Promise<RunningGateway> {
  const child = spawn(process.execPath, [join(root, "bin", "bifrost.mjs"), "serve", "--json", "--config", config], {
    cwd: root,
    env: { ...withoutSettings(process.env), BIFROST_DATA_DIR: dataDir, BIFROST_PORT: "0", BIFROST_LOG_LEVEL: "warn" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const { url, setup_token: setupToken } = await firstLine(child);
  return {
    url,
    setupToken,
    async stop() {
      const exited = once(child, "exit");
      child.kill("SIGTERM");
      const [code] = (await exited) as [number | null];
      return code;
    },
  };
}

async function firstLine(child: ChildProcess): Promise<{ url: string; setup_token: string }> {
  if (!child.stdout) throw new Error("the gateway has no standard output");
  const lines = createInterface({ input: child.stdout });
  const exited = once(child, "exit").then(([code]) => {
    throw new Error(`the gateway ended with code ${String(code)} before it listened`);
  });
  const line = once(lines, "line").then(([text]) => JSON.parse(String(text)) as { url: string; setup_token: string });
  return Promise.race([line, exited]);
}
