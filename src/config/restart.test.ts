import { expect, it } from "vitest";
import { loadConfig } from "./load.ts";
import { changesNeedingRestart } from "./restart.ts";

const load = (text: string) => loadConfig({ file: "a.toml", env: { K: "secret" }, readFile: () => text });
const base = '[services.a]\nendpoint = "https://a.b"';

it("lets services and credentials change while the gateway runs", () => {
  const next = load(
    '[services.a]\nendpoint = "https://c.d"\ncredential = { env = "K" }\n[services.e]\nendpoint = "https://e.f"',
  );
  expect(changesNeedingRestart(load(base), next)).toEqual([]);
});

it("names every setting that only a restart can apply", () => {
  const next = load('[server]\nport = 1\nshutdown_timeout = "1s"\n[database]\nurl = "postgres://u:secret@h/d"');
  const problems = changesNeedingRestart(load(base), next);
  expect(problems.map((problem) => problem.place).sort()).toEqual([
    "database.dialect",
    "database.path",
    "database.pool_size",
    "database.url",
    "server.port",
    "server.shutdown_timeout",
  ]);
  expect(JSON.stringify(problems)).not.toContain("secret");
});

it("lets MCP servers be added, taken away and changed, but not the settings of the gateway", () => {
  const server = (name: string, key: string) => `[servers.${name}]\ncommand = "x"\nenv = { KEY = "${key}" }\n`;
  const current = load(server("same", "secret-a") + server("changed", "secret-a") + server("gone", "secret-a"));
  const next = load(
    `[gateway]\nagent_id = "secret-b"\n${server("changed", "secret-b")}${server("same", "secret-a")}${server("new", "x")}`,
  );
  const problems = changesNeedingRestart(current, next);
  expect(problems.map((problem) => problem.place)).toEqual(["gateway.agents"]);
  expect(JSON.stringify(problems)).not.toContain("secret-");
});
