import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Target } from "./load.ts";
import { freePort, start, type Running } from "./processes.ts";
import { CHEAP_BODY, COMPLETION, PATH, REQUEST_BODY } from "./wire.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const SETUP_TOKEN = "bench-setup-token-0123456789abcdefghij";
/** A key may do at most a million requests a minute, which one core comes near: several keys share the load. */
const KEYS = 4;
export const RATE_LIMIT = 1_000_000;

export interface Gateway extends Running {
  readonly post: Target;
  readonly get: Target;
}

/**
 * The gateway as its users run it: SQLite, a credential that is injected, virtual keys with a rate limit and a
 * concurrency limit, identity headers. Set up over its REST API.
 */
export async function startGateway(
  folder: string,
  core: number | undefined,
  upstreams: { readonly post: number; readonly get: number },
  nodeOptions: readonly string[] = [],
): Promise<Gateway> {
  const configured = await startConfigured(join(folder, "gateway"), core, keysSection(), nodeOptions);
  const { origin, headers } = configured;
  try {
    await addServices(origin, headers, upstreams);
    const url = `${origin}/v1/proxy`;
    return {
      ...configured,
      post: {
        url: url + PATH.replace("/v1", ""),
        method: "POST",
        body: REQUEST_BODY,
        headerSets: (await issueKeys(origin, headers, "chat")).map((key) => ({
          "content-type": "application/json",
          authorization: `Bearer ${key}`,
        })),
        expectedBody: COMPLETION,
      },
      get: {
        url: `${url}/models`,
        method: "GET",
        body: null,
        headerSets: (await issueKeys(origin, headers, "cheap")).map((key) => ({ authorization: `Bearer ${key}` })),
        expectedBody: CHEAP_BODY,
      },
    };
  } catch (error) {
    await configured.stop();
    throw error;
  }
}

/** `headers` authenticate its first administrator. */
export interface Configured extends Running {
  readonly origin: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** `bifrost serve` with SQLite in this folder, set up; `more` is added to the configuration file. */
export async function startConfigured(
  home: string,
  core: number | undefined,
  more: string,
  nodeOptions: readonly string[] = [],
): Promise<Configured> {
  const port = await freePort();
  mkdirSync(home, { recursive: true });
  const config = join(home, "bifrost.toml");
  writeFileSync(config, configuration(home, port) + more);
  const command = [process.execPath, ...nodeOptions, join(root, "bin", "bifrost.mjs"), "serve", "--config", config];
  const running = await start(command, { core, port, cwd: home });
  try {
    const origin = `http://127.0.0.1:${port}`;
    const person = { name: "Bench", email: "bench@example.com" };
    const admin = await post(origin, "/v1/setup", { "x-setup-token": SETUP_TOKEN }, person);
    return { ...running, origin, headers: { authorization: `Bearer ${String(admin["token"])}` } };
  } catch (error) {
    await running.stop();
    throw error;
  }
}

function configuration(home: string, port: number): string {
  return `data_dir = ${JSON.stringify(join(home, "data"))}

[server]
host = "127.0.0.1"
port = ${port}

[auth]
setup_token = "${SETUP_TOKEN}"
`;
}

/** Every key of a bench may do as much as a key ever may. */
export function keysSection(): string {
  return `\n[keys]\nmax_rate_limit = ${RATE_LIMIT}\n`;
}

async function addServices(
  origin: string,
  headers: Record<string, string>,
  upstreams: { readonly post: number; readonly get: number },
): Promise<void> {
  const endpoints = { chat: `http://127.0.0.1:${upstreams.post}/v1`, cheap: `http://127.0.0.1:${upstreams.get}/v1` };
  const origins = Object.values(endpoints).map((endpoint) => new URL(endpoint).origin);
  await post(origin, "/v1/rootkeys", headers, { id: "upstream", api_key: "bench-upstream-credential", origins });
  for (const [id, endpoint] of Object.entries(endpoints)) {
    await post(origin, "/v1/services", headers, {
      id,
      endpoint,
      root_key_id: "upstream",
      credential_header: "Authorization",
      allow_addresses: ["loopback"],
    });
  }
}

async function issueKeys(origin: string, headers: Record<string, string>, service: string): Promise<string[]> {
  const keys: string[] = [];
  for (let i = 1; i <= KEYS; i++) {
    const issued = await post(origin, "/v1/keys", headers, {
      id: `bench-${service}-${i}`,
      target: service,
      scope: "write",
      rate_limit: RATE_LIMIT,
      max_concurrency: 1000,
      ttl: "1h",
      agent_id: "bench",
    });
    const secret = issued["virtual_key"];
    if (typeof secret !== "string") throw new Error(`POST /v1/keys returned no secret: ${Object.keys(issued).join()}`);
    keys.push(secret);
  }
  return keys;
}

/** Asks the management API. Rejects with its answer when it refuses. */
export async function post(
  origin: string,
  path: string,
  headers: Record<string, string>,
  body: object,
): Promise<Record<string, unknown>> {
  const response = await fetch(origin + path, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`POST ${path} answered ${response.status}: ${text}`);
  const parsed: Record<string, unknown> = JSON.parse(text);
  return parsed;
}
