import { expect, it } from "vitest";
import { describeConfig } from "./describe.ts";
import { load } from "../../test/support/load-config.ts";
import { type Config, loadConfig } from "./load.ts";

it("documents an example that loads", () => {
  const example = /```toml\n([^]*?)```/.exec(describeConfig())?.[1] ?? "";
  const config = loadConfig({
    file: "bifrost.toml",
    env: {
      DATABASE_DSN: "postgres://bifrost:pw@db/bifrost",
      OPENAI_API_KEY: "sk-example",
      BIFROST_ENCRYPTION_KEY: "8f3a91c20d7be4565b02f7a9c1de3348906fb7152ec4ad830b6e59f172c8da34",
    },
    readFile: () => example,
  });
  expect(config.services[0]?.origin).toBe("https://api.openai.com");
  expect(config.warnings).toEqual([]);
});

it("documents MCP servers by examples that load, in TOML and in JSON", () => {
  const env = { AGENT_ID: "0f9a8b7c6d5e4f30", SEARCH_TOKEN: "t", GITHUB_PERSONAL_ACCESS_TOKEN: "p" };
  const [, toml = ""] = [...describeConfig().matchAll(/```toml\n([^]*?)```/g)].map(([, text]) => text ?? "");
  const json = /```json\n([^]*?)```/.exec(describeConfig())?.[1] ?? "";
  const names = (config: Config) => config.mcpServers.map((server) => server.name);
  expect(names(load({ file: toml, env }))).toEqual(["github", "files", "search"]);
  expect(names(load({ file: json, env }))).toEqual(["files", "search"]);
  expect(load({ stdin: json, env })).toMatchObject({ warnings: [], gateway: { agents: [{ secret: env.AGENT_ID }] } });
});
