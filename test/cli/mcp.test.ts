import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createSandbox } from "./support.ts";

describe("bifrost mcp against a gateway", () => {
  const sandbox = createSandbox();
  let gateway: Awaited<ReturnType<typeof sandbox.serve>>;
  const run = (...args: string[]) => sandbox.run([...args, "--url", gateway.url]);

  beforeAll(async () => {
    const everything = join(
      import.meta.dirname,
      "../../node_modules/@modelcontextprotocol/server-everything/dist/index.js",
    );
    const servers = {
      remote: { url: "http://127.0.0.1:9/mcp" },
      everything: { command: process.execPath, args: [everything] },
    };
    writeFileSync(join(sandbox.dir, "gateway.json"), JSON.stringify({ mcpServers: servers }));
    gateway = await sandbox.serve(["-c", "gateway.json"]);
    const person = ["--name", "Ada", "--email", "ada@example.com"];
    const setup = await run("setup", "--token", gateway.setup_token ?? "", ...person);
    expect(setup.code, setup.stderr).toBe(0);
  });
  afterAll(() => sandbox.remove());

  it("lists the configured servers", async () => {
    expect((await run("mcp", "list", "--json")).json).toMatchObject([
      { name: "everything", transport: "stdio" },
      { name: "remote", transport: "http" },
    ]);
    const shown = await run("mcp", "list");
    expect(shown.stdout).toMatch(/remote +│? *http/);
  });

  it("lists the tools of the gateway itself, with the login of the command line", async () => {
    const listed = await run("mcp", "tools", "bifrost", "--json");
    expect(listed.code, listed.stderr).toBe(0);
    expect(listed.json.map((tool: { name: string }) => tool.name)).toContain("request_key");
    const shown = await run("mcp", "tools", "bifrost");
    expect(shown.stdout).toMatch(/list_services/);
    expect(shown.stdout).toMatch(/service_name, \[ttl_seconds\]/);
  });

  it("calls a tool, for people and for programs", async () => {
    const json = await run("mcp", "call", "bifrost", "list_services", "--json");
    expect(json.json.structuredContent).toEqual({ services: [] });
    const text = await run("mcp", "call", "bifrost", "list_services");
    expect(JSON.parse(text.stdout)).toEqual({ services: [] });
  });

  it("exits with 2 for arguments that the tool does not take, and says which", async () => {
    const wrong = await run("mcp", "call", "bifrost", "request_key", "ttl_seconds:=0", "--json");
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain("service_name");
    expect((await run("mcp", "call", "bifrost", "no_such_tool")).code).toBe(2);
  });

  it("exits with 1 where the tool reports an error, and prints it", async () => {
    const refused = await run("mcp", "call", "bifrost", "revoke_key", "key_id=vk_none", "--json");
    expect(refused.code).not.toBe(0);
    const issued = await run("mcp", "call", "bifrost", "request_key", "service_name=none");
    expect(issued.code).not.toBe(0);
    expect(issued.stdout + issued.stderr).toMatch(/no such service/i);
  });

  it("says how numbers are written where a tool refuses one that was sent as text", async () => {
    const refused = await run("mcp", "call", "everything", "get-sum", "a=1", "b:=2");
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("write name:=json");
    const right = await run("mcp", "call", "everything", "get-sum", "a:=1", "b:=2");
    expect(right).toMatchObject({ code: 0, stderr: "" });
    expect(right.stdout).toContain("is 3");
  });

  it("says who it is not, with the code of the gateway", async () => {
    const denied = await sandbox.run(["mcp", "tools", "bifrost", "--url", gateway.url, "--json"], {
      env: { BIFROST_API_KEY: "bfk_nonsense" },
    });
    expect(denied.code).toBe(3);
    expect(JSON.parse(denied.stderr)).toMatchObject({ code: "key.invalid" });
    expect(denied.stderr).not.toContain("nonsense");
  });
});

describe("a key's MCP servers", () => {
  const sandbox = createSandbox();
  let gateway: Awaited<ReturnType<typeof sandbox.serve>>;
  const run = (...args: string[]) => sandbox.run([...args, "--url", gateway.url, "--json"]);

  beforeAll(async () => {
    writeFileSync(join(sandbox.dir, "gateway.toml"), '[servers.remote]\nurl = "http://127.0.0.1:9/mcp"\n');
    gateway = await sandbox.serve(["-c", "gateway.toml"]);
    const person = ["--name", "Ada", "--email", "ada@example.com"];
    await run("setup", "--token", gateway.setup_token ?? "", ...person);
  });
  afterAll(() => sandbox.remove());

  it("are replaced by an update that names some, and stay with one that names none", async () => {
    const issued = await run("key", "issue", "--mcp", "remote:get_*", "--mcp-arg", "remote:get_a:owner=octo");
    expect(issued.code, issued.stderr).toBe(0);
    const { id } = issued.json;
    const renamed = await run("key", "update", id, "--name", "n");
    expect(renamed.json.grants).toMatchObject([{ tools: ["get_*"], arguments: [{ allow: ["octo"] }] }]);
    const changed = await run("key", "update", id, "--mcp", "remote:list_*", "--mcp-prompt", "remote:p*");
    expect(changed.code, changed.stderr).toBe(0);
    expect(changed.json.grants).toMatchObject([{ mcp_server: "remote", tools: ["list_*"], prompts: ["p*"] }]);
    expect(changed.json.grants[0].arguments).toEqual([]);
    expect((await run("key", "update", id, "--path", "/x")).code).toBe(2);
  });
});

describe("bifrost config check", () => {
  const sandbox = createSandbox();
  afterAll(() => sandbox.remove());

  it("warns of programs that are not there, and shows paths as they were written", async () => {
    const servers = {
      gone: { command: "no-such-program" },
      words: { command: "node server.js" },
      good: { command: process.execPath, args: [join(sandbox.dir, "a.js")] },
      contained: { container: "example.com/image:1" },
    };
    writeFileSync(join(sandbox.dir, "c.json"), JSON.stringify({ mcpServers: servers }));
    const path = { PATH: process.env["PATH"] ?? "", PWD: sandbox.dir };
    const { json } = await sandbox.run(["config", "check", "-c", "c.json", "--json"], { env: path });
    const mine = json.warnings.filter((warning: string) => !warning.startsWith("servers.contained"));
    expect(mine).toEqual([
      "servers.gone.command: no program no-such-program was found: install it, or give its full path; as it is, this server cannot start.",
      "servers.words.command: no program node server.js was found: what follows a space belongs into args.",
    ]);
    expect(json.mcp_servers[2].runs).toBe(`${process.execPath} ${join(sandbox.dir, "a.js")}`);
  });
});

describe("bifrost mcp add", () => {
  const sandbox = createSandbox();
  afterAll(() => sandbox.remove());
  const file = (name: string) => join(sandbox.dir, name);

  it("adds a server that the check then shows, and keeps the file's mode and text", async () => {
    writeFileSync(file("a.toml"), "# my gateway\n", { mode: 0o640 });
    const command = ["npx", "-y", "@modelcontextprotocol/server-everything"];
    const added = await sandbox.run(["mcp", "add", "everything", "-c", "a.toml", "--env", "X=1", "--", ...command]);
    expect(added.code, added.stderr).toBe(0);
    expect(added.stdout).toContain("bifrost reload");
    expect(readFileSync(file("a.toml"), "utf8")).toMatch(/^# my gateway\n/);
    expect(statSync(file("a.toml")).mode & 0o777).toBe(0o640);
    const checked = await sandbox.run(["config", "check", "-c", "a.toml", "--json"]);
    expect(checked.json.mcp_servers).toMatchObject([{ name: "everything", runs: command.join(" ") }]);
  });

  it("makes a file that only its owner can read", async () => {
    const added = await sandbox.run([
      "mcp",
      "add",
      "docs",
      "-c",
      "new.json",
      "--server-url",
      "https://mcp.example.com/mcp",
    ]);
    expect(added.code, added.stderr).toBe(0);
    expect(statSync(file("new.json")).mode & 0o777).toBe(0o600);
    expect(JSON.parse(readFileSync(file("new.json"), "utf8"))).toEqual({
      mcpServers: { docs: { url: "https://mcp.example.com/mcp" } },
    });
  });

  it.each([
    ["a name that is taken", 6, ["everything", "--", "x"]],
    ["a name that no URL can have", 1, ["../x", "--", "x"]],
    ["an address that is none", 1, ["bad", "--server-url", "ftp://x"]],
    ["nothing to run", 2, ["empty"]],
    ["two things to run", 2, ["two", "--server-url", "https://x.example", "--", "x"]],
  ])("changes nothing for %s", async (_what, code, args) => {
    const before = '[servers.everything]\ncommand = "npx"\n';
    writeFileSync(file("b.toml"), before);
    const refused = await sandbox.run(["mcp", "add", "-c", "b.toml", ...args]);
    expect(refused.code, refused.stderr).toBe(code);
    expect(readFileSync(file("b.toml"), "utf8")).toBe(before);
  });
});
