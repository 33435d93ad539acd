import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type App, createApp, type Replace } from "../../src/app.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { Config } from "../../src/config/model.ts";
import { createLogger } from "../../src/core/log.ts";
import { type Caller, createCaller, setUp, type TestUser } from "./management.ts";

export interface TestGateway {
  readonly app: App;
  readonly url: string;
  /** The first user, owner of the org `default`. */
  readonly owner: TestUser;
  readonly dataDir: string;
  readonly call: Caller;
  close(): Promise<void>;
}

/**
 * The real gateway, as `bifrost serve` builds it, on SQLite in a folder of its own and a free port, set up
 * with one owner.
 *
 * @param env configuration by environment variables, on top of these
 * @param change the last word on the configuration, for what has no variable
 */
export async function startGateway(
  env: Record<string, string> = {},
  replace: Replace = {},
  change: (config: Config) => Config = (config) => config,
): Promise<TestGateway> {
  const dataDir = await mkdtemp(join(tmpdir(), "bifrost-gateway-"));
  const config = loadConfig({
    env: { BIFROST_DATA_DIR: dataDir, BIFROST_PORT: "0", BIFROST_SHUTDOWN_TIMEOUT: "1s", ...env },
    readFile: (path) => readFileSync(path, "utf8"),
  });
  const app = await createApp(change(config), { log: createLogger("silent"), ...replace });
  const { url } = await app.listen();
  const call = createCaller(url);
  return {
    app,
    url,
    owner: await setUp(call, app.setupToken ?? ""),
    dataDir,
    call,
    async close() {
      await app.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
