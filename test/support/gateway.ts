import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type App, createApp, type Replace } from "../../src/app.ts";
import { loadConfig } from "../../src/config/load.ts";
import { createLogger } from "../../src/core/log.ts";

export interface TestGateway {
  readonly app: App;
  readonly url: string;
  /** Of the first user, owner of the org `default`. */
  readonly owner: { readonly id: string; readonly apiKey: string; readonly token: string };
  readonly dataDir: string;
  call(
    method: string,
    path: string,
    options?: { as?: string; headers?: Record<string, string>; body?: unknown },
  ): Promise<Answer>;
  close(): Promise<void>;
}

export interface Answer {
  readonly status: number;
  // oxlint-disable-next-line typescript/no-explicit-any -- a test reads the fields that it expects
  readonly body: any;
  readonly headers: Headers;
}

/**
 * The real gateway, as `bifrost serve` builds it, on SQLite in a folder of its own and a free port, set up
 * with one owner.
 *
 * @param env configuration by environment variables, on top of these
 */
export async function startGateway(env: Record<string, string> = {}, replace: Replace = {}): Promise<TestGateway> {
  const dataDir = await mkdtemp(join(tmpdir(), "bifrost-gateway-"));
  const config = loadConfig({
    readFile: (path) => readFileSync(path, "utf8"),
    env: { BIFROST_DATA_DIR: dataDir, BIFROST_PORT: "0", BIFROST_SHUTDOWN_TIMEOUT: "1s", ...env },
  });
  const app = await createApp(config, { log: createLogger("silent"), ...replace });
  const { url } = await app.listen();

  const call: TestGateway["call"] = async (method, path, { as, headers = {}, body } = {}) => {
    const response = await fetch(url + path, {
      method,
      headers: {
        ...(as === undefined ? {} : { authorization: `Bearer ${as}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = response.headers.get("content-type")?.includes("json") ?? false;
    return { status: response.status, body: isJson ? JSON.parse(text) : text, headers: response.headers };
  };

  const setup = await call("POST", "/v1/setup", {
    headers: { "x-setup-token": app.setupToken ?? "" },
    body: { name: "Olga", email: "olga@example.com" },
  });
  if (setup.status !== 201) throw new Error(`set-up answered ${setup.status}: ${JSON.stringify(setup.body)}`);
  return {
    app,
    url,
    owner: { id: setup.body.id, apiKey: setup.body.api_key, token: setup.body.token },
    dataDir,
    call,
    async close() {
      await app.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
