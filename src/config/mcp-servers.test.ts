import { describe, expect, it } from "vitest";
import { load, problemsOf } from "../../test/support/load-config.ts";

describe("declared MCP servers", () => {
  it("take a desktop client's mcpServers block as it is, on stdin and in a JSON file", () => {
    const mcpServers = {
      everything: { command: "npx", args: ["-y", "@modelcontextprotocol/server-everything"], env: { LEVEL: "1" } },
      remote: { type: "http", url: "https://mcp.example.com/mcp", headers: { Authorization: "Bearer abc" } },
      off: { command: "x", disabled: true },
    };
    const fromFile = load({ file: JSON.stringify({ mcpServers }) });
    const fromStdin = load({ stdin: JSON.stringify({ mcpServers, gateway: { agentId: "a-secret" } }) });
    expect(fromStdin.mcpServers).toEqual(fromFile.mcpServers);
    expect(fromFile.mcpServers.map((server) => server.name)).toEqual(["everything", "remote"]);
    expect(fromFile.mcpServers[0]?.transport).toEqual({
      kind: "stdio",
      command: "npx",
      args: ["-y", "@modelcontextprotocol/server-everything"],
      env: { LEVEL: "1" },
      cwd: null,
      container: null,
      maxProcesses: 100,
      idleTimeoutMs: 21_600_000,
    });
    expect(fromFile.mcpServers[1]?.transport).toEqual({
      kind: "http",
      url: "https://mcp.example.com/mcp",
      protocol: "auto",
      headers: { Authorization: "Bearer abc" },
      connectTimeoutMs: 30_000,
      allowAddresses: [],
      auth: { kind: "none" },
    });
  });

  it("are the same in TOML with snake_case names", () => {
    const { mcpServers, gateway } = load({
      file: `[gateway]
        startup_timeout = 5
        tool_timeout = 20
        [servers.db]
        command = "db-mcp"
        tools = ["read_*"]
        tool_timeout = "90s"
        tool_timeouts = { slow = "none" }
        tool_call_limits = { read_row = 3 }
        tool_response_filters = { read_row = ".rows | {n: length}" }
        rate_limit_threshold = 5
        rate_limit_cooldown = 10
        idle_timeout = "none"`,
    });
    expect(gateway.toolTimeoutMs).toBe(20_000);
    expect(mcpServers[0]).toMatchObject({
      name: "db",
      org: null,
      tools: ["read_*"],
      startupTimeoutMs: 5_000,
      toolTimeoutMs: 90_000,
      toolTimeoutsMs: { slow: 0 },
      responseFilters: { read_row: ".rows | {n: length}" },
      toolCallLimits: { read_row: 3 },
      breaker: { threshold: 5, cooldownMs: 10_000 },
      transport: { idleTimeoutMs: 0 },
    });
  });

  it.each(["a b", "a___b", "a_", "bifrost", "-a", "../x", ""])("refuse the name %j", (name) => {
    const file = JSON.stringify({ mcpServers: { [name]: { command: "x" } } });
    const told = Object.values(problemsOf({ file })).join();
    expect(told).toContain("not a usable name");
    expect(told).toContain("not bifrost, which is the gateway itself");
  });
});
