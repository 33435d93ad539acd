import { existsSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createSandbox } from "./support.ts";

describe("bifrost serve", () => {
  let sandbox: ReturnType<typeof createSandbox>;
  beforeEach(() => {
    sandbox = createSandbox();
  });
  afterEach(() => sandbox.remove());

  const writeConfig = (text: string) => {
    const path = join(sandbox.dir, "bifrost.toml");
    writeFileSync(path, text);
    return path;
  };

  it("makes what it needs at the first start, and says what to type next", async () => {
    const gateway = await sandbox.serve();
    expect(gateway.setup_token).toMatch(/^bfx_/);
    expect(gateway.generated_key_file).toBe(join(sandbox.dir, "data", "encryption.key"));
    expect((await fetch(`${gateway.url}/healthz`)).status).toBe(200);
    expect(await gateway.stop()).toBe(0);
    expect(existsSync(join(sandbox.dir, "data", "gateway.json"))).toBe(false);
    const second = await sandbox.serve();
    expect(second.generated_key_file).toBeNull();
    expect(await second.stop("SIGINT")).toBe(0);
  });

  it("starts nothing with a wrong configuration, and names every problem at once", async () => {
    const file = writeConfig('[server]\nprot = 1\n[auth]\ntoken_ttl = "soon"\n');
    const outcome = await sandbox.run(["serve", "--config", file]);
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toContain("Did you mean port?");
    expect(outcome.stderr).toContain("auth.token_ttl");
    expect(outcome.stderr).not.toContain("    at ");
    expect(existsSync(join(sandbox.dir, "data"))).toBe(false);
  });

  it("says in one line that the port is taken", async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    const { port } = other.address() as AddressInfo;
    const outcome = await sandbox.run(["serve"], { env: { BIFROST_PORT: String(port) } });
    other.close();
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toContain(`Cannot listen on 127.0.0.1 port ${port}: the port is taken.`);
    expect(outcome.stderr).not.toContain("    at ");
  });

  it("says in one line that the database cannot be reached, without its password", async () => {
    const outcome = await sandbox.run(["serve"], { env: { DATABASE_DSN: "postgres://u:hidden-pw@127.0.0.1:1/db" } });
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toContain("The database cannot be used: PostgreSQL at 127.0.0.1:1: nothing listens there.");
    expect(outcome.stderr).not.toMatch(/hidden-pw| {4}at /);
  });

  it("refuses to run twice on one database", async () => {
    const gateway = await sandbox.serve();
    const outcome = await sandbox.run(["serve"]);
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toContain("Another instance uses the database");
    expect(await gateway.stop()).toBe(0);
  });

  it("reloads a changed file, and refuses a wrong one whole", async () => {
    const service = (name: string) => `[services.${name}]\nendpoint = "https://${name}.example"\n`;
    const file = writeConfig(service("one"));
    const gateway = await sandbox.serve(["--config", file]);
    const key = await setUp(gateway);
    const ids = async () => {
      const reply = await fetch(`${gateway.url}/v1/services`, { headers: { "x-api-key": key } });
      const services = (await reply.json()) as { id: string; disabled: boolean; managed_by: string }[];
      return services
        .filter((s) => !s.disabled)
        .map((s) => `${s.id}:${s.managed_by}`)
        .sort((a, b) => (a < b ? -1 : 1));
    };
    expect(await ids()).toEqual(["one:config"]);

    writeConfig(service("one") + service("two"));
    expect(await sandbox.run(["reload"])).toMatchObject({ code: 0, stderr: "" });
    expect(await ids()).toEqual(["one:config", "two:config"]);

    writeConfig(`${service("three")}[services.four]\nendpoint = "ftp://x"\n`);
    const refused = await sandbox.run(["reload", "--json"]);
    expect(refused.code).toBe(1);
    expect(JSON.parse(refused.stderr).fields).toMatchObject([{ path: "services.four.endpoint" }]);
    expect(await ids()).toEqual(["one:config", "two:config"]);

    writeConfig(`${service("one")}[keys]\nmax_ttl = "29d"\n`);
    const restart = await sandbox.run(["reload", "--json"]);
    expect(JSON.parse(restart.stderr).fields).toMatchObject([{ path: "keys.max_ttl" }]);
    expect(await gateway.stop()).toBe(0);
  });

  it("tells that no gateway runs where one is to be reloaded", async () => {
    expect((await sandbox.run(["reload"])).code).toBe(7);
  });

  it("moves stored secrets to a new encryption key", async () => {
    const [oldKey, newKey] = [key(1), key(2)];
    const first = await sandbox.serve([], { BIFROST_ENCRYPTION_KEY: oldKey });
    const apiKey = await setUp(first);
    const add = ["rootkey", "add", "a", "--api-key-env", "SECRET", "--url", first.url];
    expect(
      (await sandbox.run(add, { env: { BIFROST_API_KEY: apiKey, SECRET: "sk-something-long-enough" } })).code,
    ).toBe(0);
    await first.stop();

    const wrong = await sandbox.run(["check", "--json"], { env: { BIFROST_ENCRYPTION_KEY: newKey } });
    expect(wrong.code).toBe(1);
    expect(wrong.stdout).toContain("cannot be opened");
    const both = { BIFROST_ENCRYPTION_KEY: newKey, BIFROST_PREVIOUS_ENCRYPTION_KEYS: oldKey };
    expect((await sandbox.run(["reencrypt", "--json"], { env: both })).json).toMatchObject({ root_keys: 1 });
    expect((await sandbox.run(["reencrypt", "--json"], { env: both })).json).toMatchObject({ root_keys: 0 });
    expect((await sandbox.run(["check", "--json"], { env: { BIFROST_ENCRYPTION_KEY: newKey } })).code).toBe(0);
  });
});

/** A fixed key with enough variety to be accepted. */
function key(seed: number): string {
  return Buffer.from(Array.from({ length: 32 }, (_, i) => (i * i * 7 + i * 31 * seed + 13 * seed) % 251)).toString(
    "hex",
  );
}

async function setUp(gateway: { url: string; setup_token: string | null }): Promise<string> {
  const reply = await fetch(`${gateway.url}/v1/setup`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-setup-token": gateway.setup_token ?? "" },
    body: JSON.stringify({ name: "Ada", email: "ada@example.com" }),
  });
  return ((await reply.json()) as { api_key: string }).api_key;
}
