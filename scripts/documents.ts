import { format, resolveConfig } from "prettier";
import { configJsonSchema, describeConfig } from "../src/config/describe.ts";
import { ERRORS } from "../src/core/errors.ts";

/** Every generated document of docs/ and how its text is made from the code. */
export const DOCUMENTS: Readonly<Record<string, () => string>> = {
  "config.md": describeConfig,
  "config.schema.json": () => JSON.stringify(configJsonSchema()),
  "errors.md": describeErrors,
};

/** A document's text, laid out as `npm run lint` asks. */
export async function renderDocument(name: string): Promise<string> {
  const make = DOCUMENTS[name];
  if (!make) throw new Error(`no such document: ${name}`);
  const style = await resolveConfig(new URL(`../docs/${name}`, import.meta.url));
  return format(make(), { ...style, parser: name.endsWith(".json") ? "json" : "markdown" });
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
