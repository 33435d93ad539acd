import { expect, it } from "vitest";
import { describeConfig } from "./describe.ts";
import { loadConfig } from "./load.ts";

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
