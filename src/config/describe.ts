import { z } from "zod";
import { ConfigSchema } from "./schema.ts";
import { type Leaf, leavesOf } from "./walk.ts";

const INTRODUCTION = `# Configuration

<!-- Generated from src/config/schema.ts by \`npm run docs\`. Do not edit. -->

Settings come from a file (\`bifrost serve --config bifrost.toml\`, or \`BIFROST_CONFIG\`), in TOML or JSON, and from the
environment; a variable wins over the file. Every setting has a default, so that a gateway starts without any.
\`bifrost config check\` reports every problem at once, with its place and remedy; the gateway makes the same check before
it listens. Unknown settings and unknown \`BIFROST_*\` variables are problems too.

- Lists are separated by commas in variables. An empty variable counts as not set.
- Secrets can be given as \`<VARIABLE>_FILE\`, the path of a file that holds the secret, and in the file as
  \`{ env = "NAME" }\` or \`{ file = "/path" }\`.
- Relative paths start at the working directory of the gateway.
- \`bifrost reload\` (or \`SIGHUP\`) applies a changed file to the running gateway, or refuses it whole and changes nothing.
- Editors check the file against [config.schema.json](config.schema.json).

\`\`\`toml
mode = "production"

[server]
host = "0.0.0.0"
public_url = "https://bifrost.example.com"

[database]
url = { env = "DATABASE_DSN" }

[services.openai]
description = "OpenAI API"
endpoint = "https://api.openai.com/v1"
credential = { env = "OPENAI_API_KEY" }
injection = { type = "bearer" }
methods = ["GET", "POST"]
\`\`\`

What is declared here (\`[credentials.NAME]\`, \`[services.NAME]\`) is read-only over the API and marked \`managed_by: config\`.
`;

/** docs/config.md: every setting with type, default, variables, meaning and risk. */
export function describeConfig(): string {
  const sections = new Map<string, Leaf[]>();
  for (const leaf of leavesOf(ConfigSchema)) {
    const section = leaf.path.slice(0, -1).join(".");
    sections.set(section, [...(sections.get(section) ?? []), leaf]);
  }
  const parts = [...sections].map(([section, leaves]) => {
    const title = section === "" ? "Top level" : `\`[${section}]\``;
    return `## ${title}\n\n${leaves.map(entry).join("\n")}`;
  });
  return `${INTRODUCTION}\n${parts.join("\n")}`;
}

function entry({ path, schema, facts }: Leaf): string {
  const name = path.at(-1) ?? "";
  const lines = [
    `- **\`${name}\`**: ${facts.description}`,
    `  Takes ${facts.takes.replaceAll("*", "\\*")}.`,
    `  Default: ${facts.otherwise ?? defaultOf(schema)}.`,
    ...(facts.env ? [`  Variable: ${facts.env.map((variable) => `\`${variable}\``).join(", also ")}.`] : []),
    ...(facts.risk ? [`  **Risk:** ${facts.risk}`] : []),
  ];
  return `${lines.join("\n")}\n`;
}

function defaultOf(schema: z.ZodType): string {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) {
    const value: unknown = schema.def.defaultValue;
    return Array.isArray(value) && value.length === 0 ? "none" : `\`${JSON.stringify(value)}\``;
  }
  return schema instanceof z.ZodOptional ? "none" : "none, required";
}

/** docs/config.schema.json: JSON Schema of the file, for editors. Checks less than the gateway does. */
export function configJsonSchema(): Record<string, unknown> {
  return {
    ...z.toJSONSchema(ConfigSchema, {
      target: "draft-2020-12",
      io: "input",
      unrepresentable: "any",
      override: ({ jsonSchema }) => {
        // Zod adds these bounds to every safe integer; they say nothing.
        if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
        if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
      },
    }),
    title: "Bifrost configuration",
  };
}
