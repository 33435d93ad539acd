import { expect, it } from "vitest";
import { load } from "../../test/support/load-config.ts";
import { clientConfiguration } from "./serve-gateway.ts";

const URL_IN_USE = "http://127.0.0.1:4567";
const document = (gateway: object, env: Record<string, string> = {}) =>
  load({
    stdin: JSON.stringify({
      mcpServers: {
        notes: { command: "a", tools: ["read_*"] },
        web: { url: "https://a.b" },
        off: { command: "c", disabled: true },
      },
      gateway,
    }),
    env,
  });

it("is the first agent's where there are several: its value, the servers of its policy, the tools of both", () => {
  const config = document({
    agentIds: ["agent-one", "agent-two"],
    agentPolicies: { "agent-two": { servers: ["notes"] }, "agent-one": { servers: ["web"], tools: { web: ["find"] } } },
  });
  expect(clientConfiguration(config, URL_IN_USE, "routed")).toEqual({
    mcpServers: {
      web: { type: "http", url: `${URL_IN_USE}/mcp/web`, headers: { Authorization: "agent-one" }, tools: ["find"] },
    },
  });
});

it("has no headers where nobody is asked, and leaves disabled servers out", () => {
  expect(clientConfiguration(document({ auth: "none" }), URL_IN_USE, "routed")).toEqual({
    mcpServers: {
      notes: { type: "http", url: `${URL_IN_USE}/mcp/notes`, tools: ["read_*"] },
      web: { type: "http", url: `${URL_IN_USE}/mcp/web` },
    },
  });
});

it.each([
  [{}, {}, "http://127.0.0.1:4567/mcp"],
  [{ domain: "host.docker.internal", port: 3000 }, {}, "http://host.docker.internal:4567/mcp"],
  [{ domain: "::1" }, {}, "http://[::1]:4567/mcp"],
  [{ domain: "localhost" }, { BIFROST_PUBLIC_URL: "https://mcp.example.com" }, "https://mcp.example.com/mcp"],
])("names the address that reaches the gateway: %j %j is %s", (gateway, env, url) => {
  const config = document({ agentId: "agent", ...gateway }, env);
  expect(clientConfiguration(config, URL_IN_USE, "unified")).toEqual({
    mcpServers: { bifrost: { type: "http", url, headers: { Authorization: "agent" } } },
  });
});
