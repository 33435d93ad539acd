import { describe, expect, it } from "vitest";
import { type McpGrantFlags, parseMcp, parseMcpArgument, parseMcpName, toMcpGrants } from "./mcp-grants.ts";

function flags(given: { mcp?: string[]; prompt?: string[]; resource?: string[]; arg?: string[] }): McpGrantFlags {
  const { mcp = [], prompt = [], resource = [], arg = [] } = given;
  return {
    mcp: mcp.map(parseMcp),
    mcpPrompt: prompt.map(parseMcpName),
    mcpResource: resource.map(parseMcpName),
    mcpArg: arg.map(parseMcpArgument),
  };
}

describe("the options for MCP grants", () => {
  it("say together what the API takes, one grant for each server", () => {
    const given = flags({
      mcp: ["github:get_*,create_issue", "files", "github:list_*"],
      prompt: ["github:review"],
      resource: ["files:file:///docs/*"],
      arg: [
        "github:create_*:owner=octo",
        "github:create_*:owner=acme=x",
        "github:create_*:draft:=true",
        "files:*:n:=-1.5",
      ],
    });
    expect(toMcpGrants(given)).toEqual([
      {
        mcp_server: "github",
        tools: ["get_*", "create_issue", "list_*"],
        prompts: ["review"],
        arguments: [
          { tool: "create_*", argument: "owner", allow: ["octo", "acme=x"] },
          { tool: "create_*", argument: "draft", allow: [true] },
        ],
      },
      { mcp_server: "files", resources: ["file:///docs/*"], arguments: [{ tool: "*", argument: "n", allow: [-1.5] }] },
    ]);
  });

  it("allow all tools of a server that is named once without tools", () => {
    expect(toMcpGrants(flags({ mcp: ["a:x", "a"] }))).toEqual([{ mcp_server: "a" }]);
  });

  it("never silently drop a limit of a server that is not granted", () => {
    expect(() => toMcpGrants(flags({ mcp: ["a"], arg: ["b:t:x=1"] }))).toThrow("--mcp b");
    expect(() => toMcpGrants(flags({ mcp: ["a"], prompt: ["b:p"] }))).toThrow("--mcp b");
    expect(() => toMcpGrants(flags({ mcp: ["a"], resource: ["b:r"] }))).toThrow("--mcp b");
  });

  it.each(["", ":x", "a:"])("refuse %j as a server", (text) => {
    expect(() => parseMcp(text)).toThrow("Write");
  });

  it.each(["", "a", "a:t", "a:t:x", "a:t:=1", "a:t:x:=yes", "a::x=1", ":t:x=1"])("refuse %j as an argument", (text) => {
    expect(() => parseMcpArgument(text)).toThrow("Write");
  });
});
