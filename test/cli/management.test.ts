import { readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createSandbox } from "./support.ts";

const SECRET = "sk-upstream-7Qz9mP3xW5nB1vT4";

describe("the bifrost command against a gateway", () => {
  const sandbox = createSandbox();
  let gateway: Awaited<ReturnType<typeof sandbox.serve>>;
  let apiKey: string;
  let upstreamUrl: string;
  const upstream = createServer((req, res) =>
    res.end(JSON.stringify({ path: req.url, authorization: req.headers.authorization ?? null })),
  );
  const run = (...args: string[]) => sandbox.run([...args, "--url", gateway.url]);

  beforeAll(async () => {
    await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
    upstreamUrl = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
    gateway = await sandbox.serve();
    const setup = await run(
      "setup",
      "--token",
      gateway.setup_token ?? "",
      "--name",
      "Ada",
      "--email",
      "ada@example.com",
      "--json",
    );
    expect(setup.stderr).toBe("");
    apiKey = setup.json.api_key;
  });
  afterAll(async () => {
    await sandbox.remove();
    upstream.close();
  });

  it("keeps the login in a file that only its user can read, without the API key", () => {
    const path = join(sandbox.env.XDG_CONFIG_HOME, "bifrost", "credentials.json");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readFileSync(path, "utf8")).not.toContain(apiKey);
  });

  it("refuses a second set-up as a conflict", async () => {
    const again = await run(
      "setup",
      "--token",
      gateway.setup_token ?? "",
      "--name",
      "Eve",
      "--email",
      "eve@example.com",
      "--json",
    );
    expect(again.code).toBe(6);
    expect(JSON.parse(again.stderr)).toMatchObject({ code: "setup.done" });
    expect(again.stdout).toBe("");
  });

  it("issues a key for MCP servers down to arguments, and refuses one that would reach nothing", async () => {
    const options = ["--mcp", "github:get_*,create_issue", "--mcp-arg", "github:create_issue:owner=octo"];
    const made = await run("key", "issue", "--id", "for-mcp", ...options, "--json");
    expect(made.code, made.stderr).toBe(0);
    expect(made.json).toMatchObject({
      target: null,
      grants: [
        {
          mcp_server: "github",
          tools: ["get_*", "create_issue"],
          arguments: [{ tool: "create_issue", argument: "owner", allow: ["octo"] }],
        },
      ],
    });
    expect((await run("key", "list")).stdout).toContain("mcp:github");
    for (const wrong of [[], ["--mcp", "a", "--mcp-arg", "b:t:x=1"], ["--mcp", ":"]]) {
      expect((await run("key", "issue", ...wrong)).code).toBe(2);
    }
    expect((await run("key", "revoke", "for-mcp")).code).toBe(0);
  });

  it("leads from a real key to an agent's first call", async () => {
    const rootkey = await sandbox.run(["rootkey", "add", "up", "--api-key-stdin", "--json", "--url", gateway.url], {
      input: `${SECRET}\n`,
    });
    expect(rootkey.code, rootkey.stderr).toBe(0);
    expect(rootkey.stdout).not.toContain(SECRET);
    const service = await run(
      "service",
      "add",
      "up",
      "--endpoint",
      upstreamUrl,
      "--rootkey",
      "up",
      "--bearer",
      "--allow-address",
      "loopback",
      "--json",
    );
    expect(service.code, service.stderr).toBe(0);
    const issued = await run("key", "issue", "--service", "up", "--scope", "write", "--ttl", "10m", "--json");
    expect(issued.code, issued.stderr).toBe(0);
    const reply = await fetch(`${gateway.url}/v1/proxy/hello`, {
      headers: { authorization: `Bearer ${issued.json.virtual_key}` },
    });
    expect(reply.status).toBe(200);
    expect(await reply.text()).toContain("/hello");
    const revoked = await run("key", "revoke", issued.json.id);
    expect(revoked).toMatchObject({ code: 0, stdout: `Revoked ${issued.json.id}.\n` });
    const shown = await run("key", "show", issued.json.id, "--json");
    expect(shown.json.status).toBe("revoked");
  });

  it("changes one setting of a service and keeps the others", async () => {
    await run(
      "service",
      "add",
      "partly",
      "--endpoint",
      `${upstreamUrl}/v1`,
      "--method",
      "GET",
      "--timeout",
      "headers=20s",
      "--allow-address",
      "loopback",
    );
    const updated = await run(
      "service",
      "update",
      "partly",
      "--description",
      "New words",
      "--timeout",
      "total=1m",
      "--json",
    );
    expect(updated.code, updated.stderr).toBe(0);
    expect(updated.json).toMatchObject({
      description: "New words",
      endpoint: `${upstreamUrl}/v1`,
      methods: ["GET"],
      timeouts: { headers_ms: 20_000, total_ms: 60_000 },
    });
    expect((await run("service", "delete", "partly")).code).toBe(0);
    expect((await run("service", "show", "partly")).code).toBe(5);
  });

  it("manages users, organizations, members and service accounts", async () => {
    const user = await run("user", "add", "--name", "Grace", "--email", "grace@example.com", "--json");
    expect(user.code, user.stderr).toBe(0);
    expect((await run("user", "update", "grace@example.com", "--role", "admin", "--json")).json.role).toBe("admin");
    expect((await run("user", "show", "grace@example.com", "--json")).json).toMatchObject({
      name: "Grace",
      role: "admin",
    });
    expect((await run("org", "list", "--json")).json).toHaveLength(1);
    expect((await run("org", "member", "list", "--json")).json).toHaveLength(2);
    const account = await run(
      "serviceaccount",
      "add",
      "builder",
      "--id",
      "builder",
      "--all-services",
      "--max-ttl",
      "1h",
      "--json",
    );
    expect(account.json).toMatchObject({ id: "builder", allowed_services: ["*"], max_ttl_seconds: 3600 });
    expect((await run("serviceaccount", "update", "builder", "--max-scope", "write", "--json")).json.max_scope).toBe(
      "write",
    );
    expect((await run("serviceaccount", "delete", "builder")).code).toBe(0);
    expect((await run("user", "delete", "grace@example.com")).code).toBe(0);
    expect((await run("user", "show", "grace@example.com")).code).toBe(5);
  });

  it("follows the pages of a list", async () => {
    for (let i = 0; i < 5; i++) await run("org", "add", `Org ${i}`, "--id", `page-${i}`);
    expect((await run("org", "list", "--limit", "2", "--json")).json).toHaveLength(2);
    expect((await run("org", "list", "--all", "--json")).json).toHaveLength(6);
  });

  it("tells by its exit code what went wrong", async () => {
    const outcomes = await Promise.all([
      run("key", "issue"),
      run("kye", "list"),
      run("service", "show", "unknown", "--org", "default"),
      run("rootkey", "add", "up2"),
      sandbox.run(["key", "list", "--url", gateway.url], { env: { BIFROST_API_KEY: "bfu_wrong" } }),
      sandbox.run(["key", "list", "--url", "http://127.0.0.1:1"], { env: { BIFROST_API_KEY: "bfu_wrong" } }),
      sandbox.run(["key", "list", "--url", gateway.url], { env: { XDG_CONFIG_HOME: join(sandbox.dir, "other") } }),
    ]);
    expect(outcomes.map((outcome) => outcome.code)).toEqual([2, 2, 5, 2, 3, 7, 3]);
    expect(outcomes[1]?.stderr).toContain("Did you mean key?");
  });

  it("writes failures as JSON, with the gateway's code and request id", async () => {
    const outcome = await run("service", "show", "unknown", "--org", "default", "--json");
    expect(outcome.stdout).toBe("");
    expect(JSON.parse(outcome.stderr)).toMatchObject({
      code: "resource.not_found",
      request_id: expect.stringMatching(/^req_/),
    });
  });

  it("logs in with an API key from standard input, and out again", async () => {
    const other = { XDG_CONFIG_HOME: join(sandbox.dir, "second") };
    const login = await sandbox.run(["login", "--api-key-stdin", "--org", "default", "--url", gateway.url], {
      input: `${apiKey}\n`,
      env: other,
    });
    expect(login).toMatchObject({ code: 0, stderr: "" });
    expect(login.stdout).toContain("as ada@example.com");
    expect((await sandbox.run(["whoami", "--json"], { env: other })).json).toMatchObject({
      email: "ada@example.com",
      url: gateway.url,
    });
    expect((await sandbox.run(["logout"], { env: other })).code).toBe(0);
    expect((await sandbox.run(["whoami", "--url", gateway.url], { env: other })).code).toBe(3);
  });

  it("lists the audit trail, finds it intact, and finds the gateway well", async () => {
    const entries = await run("audit", "list", "--action", "key.issue", "--json");
    expect(entries.json.length).toBeGreaterThan(0);
    const verified = await run("audit", "verify", "--json");
    expect(verified.json.every((chain: { intact: boolean }) => chain.intact)).toBe(true);
    const check = await run("check", "--json");
    expect(check.code, check.stdout).toBe(0);
  });

  it("never writes a stored secret anywhere", async () => {
    const outputs = await Promise.all([
      run("rootkey", "list"),
      run("rootkey", "show", "up", "--json"),
      run("service", "list"),
    ]);
    for (const { stdout, stderr } of outputs) expect(stdout + stderr).not.toContain(SECRET);
    expect(gateway.logs()).not.toContain(SECRET);
    expect(gateway.logs()).not.toContain(apiKey);
  });
});
