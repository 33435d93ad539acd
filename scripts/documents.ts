import { format, resolveConfig } from "prettier";
import { createApp } from "../src/app.ts";
import { describeConfig } from "../src/config/describe.ts";
import { configJsonSchema, stdinJsonSchema } from "../src/config/json-schema.ts";
import { loadConfig } from "../src/config/load.ts";
import { ERRORS } from "../src/core/errors.ts";
import { createLogger } from "../src/core/log.ts";
import { newMasterKey } from "../src/vault/keyring.ts";
import { describeConformance } from "../test/mcp/conformance/table.ts";

/** Every generated document of docs/ and how its text is made from the code. */
export const DOCUMENTS: Readonly<Record<string, () => string | Promise<string>>> = {
  "config.md": describeConfig,
  "config.schema.json": () => JSON.stringify(configJsonSchema()),
  "stdin.schema.json": () => JSON.stringify(stdinJsonSchema()),
  "errors.md": describeErrors,
  "mcp-conformance.md": describeConformance,
  "openapi.json": describeApi,
};

/** A document's text, laid out as `npm run lint` asks. */
export async function renderDocument(name: string): Promise<string> {
  const make = DOCUMENTS[name];
  if (!make) throw new Error(`no such document: ${name}`);
  const style = await resolveConfig(new URL(`../docs/${name}`, import.meta.url));
  return format(await make(), { ...style, parser: name.endsWith(".json") ? "json" : "markdown" });
}

function describeErrors(): string {
  const entries = Object.entries(ERRORS).map(
    ([code, { status, rpc, title, remedy }]) =>
      `## \`${code}\`\n\nHTTP ${status}, JSON-RPC ${rpc}: ${title}.\n\n${remedy}\n`,
  );
  return `# Errors

<!-- Generated from src/core/errors.ts by \`npm run docs\`. Do not edit. -->

Every error reply has the same body. \`code\` is stable: never renamed, never reused. \`error\` is for people and may say more
than the titles below. Over MCP and JSON-RPC the code is in \`error.data.code\`.

\`\`\`json
{ "error": "invalid key", "code": "key.invalid", "request_id": "req_…" }
\`\`\`

Invalid input also carries \`fields\`, a list of \`{ "path": "grants.0.methods", "message": "…" }\`.

${entries.join("\n")}`;
}

/**
 * The routes of the whole gateway, built as `serve` builds it, on a database in memory and without listening.
 * Metrics are on, since their route exists only then.
 */
async function describeApi(): Promise<string> {
  const config = loadConfig({
    env: { BIFROST_ENCRYPTION_KEY: newMasterKey(), BIFROST_METRICS_ENABLED: "true" },
    readFile: () => "",
  });
  const app = await createApp(
    { ...config, database: { dialect: "sqlite", path: ":memory:" } },
    { log: createLogger("silent") },
  );
  try {
    return JSON.stringify(app.openapi());
  } finally {
    await app.close();
  }
}
