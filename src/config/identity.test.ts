import { describe, expect, it } from "vitest";
import { load, problemsOf } from "../../test/support/load-config.ts";

/** What one source says of a name: nothing, the value A, the value B, or nothing in so many words. */
type Said = "-" | "A" | "B" | "''";

interface Case {
  readonly file: { readonly agent_id: Said; readonly api_key: Said };
  readonly env: { readonly agent_id: Said; readonly api_key: Said };
}

const VALUE: Readonly<Record<Said, string | undefined>> = { "-": undefined, A: "value-a", B: "value-b", "''": "" };
const SAID: readonly Said[] = ["-", "A", "B", "''"];

const CASES: readonly Case[] = SAID.flatMap((fileNew) =>
  SAID.flatMap((fileOld) =>
    SAID.flatMap((envNew) =>
      // An empty variable of the old name is like none: compose files cannot leave one out.
      (["-", "A", "B"] as const).map((envOld) => ({
        file: { agent_id: fileNew, api_key: fileOld },
        env: { agent_id: envNew, api_key: envOld },
      })),
    ),
  ),
);

/** The rule, told once more: any new name before any old one, the environment before the file; empty is a value. */
function expected({ file, env }: Case) {
  const newName = env.agent_id === "-" ? file.agent_id : env.agent_id;
  const oldName = env.api_key === "-" ? file.api_key : env.api_key;
  const winner = newName === "-" ? oldName : newName;
  const aliases = [env.api_key, file.api_key].filter((said) => said !== "-");
  return {
    secrets: winner === "A" || winner === "B" ? [VALUE[winner]] : [],
    warnings: aliases.length,
    ignored: newName === "-" ? 0 : aliases.filter((said) => said !== newName).length,
  };
}

const table = (said: Case["file"], names: readonly [string, string]) =>
  Object.fromEntries(
    [
      [names[0], VALUE[said.agent_id]],
      [names[1], VALUE[said.api_key]],
    ].filter(([, value]) => value !== undefined),
  ) as Record<string, string>;

describe("the agent id and its older name", () => {
  it.each(["toml", "json"] as const)(
    "have one precedence in every combination of file and environment (%s)",
    (format) => {
      for (const given of CASES) {
        const names = format === "toml" ? (["agent_id", "api_key"] as const) : (["agentId", "apiKey"] as const);
        const gateway = table(given.file, names);
        const file =
          format === "toml"
            ? `[gateway]\n${Object.entries(gateway)
                .map(([key, value]) => `${key} = "${value}"\n`)
                .join("")}`
            : JSON.stringify({ gateway });
        const config = load({ file, env: table(given.env, ["MCP_GATEWAY_AGENT_ID", "MCP_GATEWAY_API_KEY"]) });
        const deprecated = config.warnings.filter((warning) => warning.includes("deprecated"));
        const seen = {
          secrets: config.gateway.agents.map((agent) => agent.secret),
          warnings: deprecated.length,
          ignored: deprecated.filter((warning) => warning.includes("ignored")).length,
        };
        expect(seen, JSON.stringify(given)).toEqual(expected(given));
        expect(config.warnings.join(), JSON.stringify(given)).not.toMatch(/value-[ab]/);
      }
    },
  );

  it("are said by the names that were used", () => {
    expect(load({ file: '{"gateway":{"apiKey":"x"}}' }).warnings).toEqual([
      "gateway.apiKey is deprecated: its name is now gateway.agentId.",
    ]);
    expect(load({ env: { MCP_GATEWAY_API_KEY: "x" } }).warnings).toEqual([
      "MCP_GATEWAY_API_KEY is deprecated: its name is now MCP_GATEWAY_AGENT_ID.",
    ]);
  });

  it("can be kept in a file or another variable", () => {
    const file = '[gateway]\nagent_id = { file = "/run/agent" }';
    expect(load({ file, files: { "/run/agent": "from-file\n" } }).gateway.agents[0]?.secret).toBe("from-file");
    const env = { MCP_GATEWAY_AGENT_ID_FILE: "/run/agent" };
    expect(load({ env, files: { "/run/agent": "from-file\n" } }).gateway.agents[0]?.secret).toBe("from-file");
  });

  it.each([[" "], [" a"], ["a\n"], ["ключ"], ["a".repeat(5_000)]])(
    "are refused where no header could carry them: %j",
    (value) => {
      expect(problemsOf({ file: JSON.stringify({ gateway: { agentId: value } }) })).toHaveProperty("gateway.agentId");
    },
  );
});

describe("a document on standard input", () => {
  const document = (gateway: object) => JSON.stringify({ mcpServers: {}, gateway });

  it.each([
    ["no identity", {}, "gateway.agentId"],
    ["an empty agentId, also beside an apiKey", { agentId: "", apiKey: "x" }, "gateway.agentId"],
    ["an empty apiKey", { apiKey: "" }, "gateway.apiKey"],
    ["agentIds beside an agentId", { agentIds: ["a"], agentId: "b" }, "gateway.agentId"],
    ["agentIds beside an apiKey", { agentIds: ["a"], apiKey: "b" }, "gateway.apiKey"],
    ["no agentIds", { agentIds: [] }, "gateway.agentIds"],
    ["a blank one of the agentIds", { agentIds: [" "] }, "gateway.agentIds.0"],
  ])("is refused with %s", (_what, gateway, place) => {
    expect(problemsOf({ stdin: document(gateway) })).toHaveProperty([place]);
  });

  it("takes the identity under each of its names, and needs none where nobody is asked", () => {
    for (const gateway of [{ agentId: "a" }, { apiKey: "a" }, { agentIds: ["a"] }]) {
      expect(load({ stdin: document(gateway) }).gateway.agents).toEqual([{ secret: "a", servers: null }]);
    }
    expect(load({ stdin: document({ auth: "none" }) }).gateway).toMatchObject({ auth: "none", agents: [] });
  });

  it("needs both of its parts and has no others", () => {
    const problems = problemsOf({ stdin: '{"services":{},"mcpserver":{}}' });
    expect(Object.keys(problems).sort()).toEqual(["gateway", "mcpServers", "mcpserver", "services"]);
    expect(problems["mcpserver"]).toContain("Did you mean mcpServers?");
  });
});

describe("policies of agents", () => {
  const load2 = (gateway: object) => ({
    file: JSON.stringify({ gateway, mcpServers: { github: { command: "a" }, db: { command: "b" } } }),
  });

  it("say what each agent may use: all tools of a listed server, some, or nothing", () => {
    const agentPolicies = {
      "agent-one": { servers: ["github", "db"], tools: { db: ["read", "list"] } },
      "agent-two": { servers: [] },
      "agent-three": { servers: ["db", "bifrost"], tools: { db: ["*"] } },
    };
    const agentIds = ["agent-one", "agent-two", "agent-three"];
    expect(load(load2({ agentIds, agentPolicies })).gateway.agents).toEqual([
      {
        secret: "agent-one",
        servers: [
          { server: "github", tools: null },
          { server: "db", tools: ["read", "list"] },
        ],
      },
      { secret: "agent-two", servers: [] },
      {
        secret: "agent-three",
        servers: [
          { server: "db", tools: null },
          { server: "bifrost", tools: null },
        ],
      },
    ]);
  });

  it("are for the value of a variable that their key names", () => {
    const given = load2({ agentId: "${AGENT}", agentPolicies: { "${AGENT}": { servers: ["db"] } } });
    expect(load({ ...given, env: { AGENT: "secret" } }).gateway.agents).toEqual([
      { secret: "secret", servers: [{ server: "db", tools: null }] },
    ]);
  });

  it.each([
    ["several agents without policies", { agentIds: ["s3cret-a", "s3cret-b"] }, "gateway.agent_policies"],
    [
      "an agent without one",
      { agentIds: ["s3cret-a", "s3cret-b"], agentPolicies: { "s3cret-a": { servers: [] } } },
      "gateway.agentPolicies",
    ],
    ["no policy where there are policies", { agentId: "s3cret-a", agentPolicies: {} }, "gateway.agentPolicies"],
    [
      "an unknown agent",
      { agentId: "s3cret-a", agentPolicies: { "s3cret-a": { servers: [] }, "s3cret-x": { servers: [] } } },
      "gateway.agentPolicies.2",
    ],
    [
      "an unknown server",
      { agentId: "s3cret-a", agentPolicies: { "s3cret-a": { servers: ["gihub"] } } },
      "gateway.agentPolicies.1.servers",
    ],
    [
      "tools of a server that is not listed",
      { agentId: "s3cret-a", agentPolicies: { "s3cret-a": { servers: ["db"], tools: { github: ["x"] } } } },
      "gateway.agentPolicies.1.tools",
    ],
    [
      "a server twice",
      { agentId: "s3cret-a", agentPolicies: { "s3cret-a": { servers: ["db", "db"] } } },
      "gateway.agentPolicies.1.servers",
    ],
    [
      "a blank tool",
      { agentId: "s3cret-a", agentPolicies: { "s3cret-a": { servers: ["db"], tools: { db: [" "] } } } },
      "gateway.agentPolicies.1.tools",
    ],
    [
      "a guard's policy",
      { agentId: "s3cret-a", agentPolicies: { "s3cret-a": { servers: ["db"], "allow-only": { repos: "public" } } } },
      "gateway.agentPolicies.1.allow-only",
    ],
    [
      "an enclave",
      { agentId: "s3cret-a", agentPolicies: { "s3cret-a": { servers: ["db"], enclave: true } } },
      "gateway.agentPolicies.1.enclave",
    ],
    ["nobody asked who they are", { auth: "none", agentId: "s3cret-a" }, "gateway.auth"],
    [
      "the same agent twice",
      { agentIds: ["s3cret-a", "s3cret-a"], agentPolicies: { "s3cret-a": { servers: [] } } },
      "gateway.agentIds",
    ],
  ])("stop the start with %s, and never tell an id", (_what, gateway, place) => {
    const problems = problemsOf(load2(gateway));
    expect(
      Object.keys(problems).some((at) => at === place || at.startsWith(`${place}.`)),
      JSON.stringify(problems),
    ).toBe(true);
    expect(JSON.stringify(problems)).not.toContain("s3cret");
  });
});
