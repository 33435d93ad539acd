import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createApp } from "../../src/app.ts";
import { loadConfig } from "../../src/config/load.ts";
import { createLogger } from "../../src/core/log.ts";
import { createCaller, setUp } from "./management.ts";

/** The whole gateway as `bifrost serve` builds it, on SQLite in a folder of its own, set up. @param env settings */
export async function startApp(env: Record<string, string> = {}) {
  const dataDir = mkdtempSync(join(tmpdir(), "bf-app-"));
  const config = loadConfig({
    env: { BIFROST_DATA_DIR: dataDir, BIFROST_PORT: "0", ...env },
    readFile: (path) => readFileSync(path, "utf8"),
  });
  const app = await createApp(config, { log: createLogger("silent") });
  const { url } = await app.listen();
  const call = createCaller(url);
  const owner = await setUp(call, app.setupToken ?? "");
  return {
    url,
    call,
    owner,
    routes: app.routes,
    openapi: app.openapi,
    async close() {
      await app.close();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

export type TestApp = Awaited<ReturnType<typeof startApp>>;
