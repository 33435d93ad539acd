import { z } from "zod";
import { ConfigSchema } from "./schema.ts";
import { factsOf } from "./setting.ts";

type JsonSchema = Record<string, unknown>;

/** docs/config.schema.json: JSON Schema of the file, for editors. Checks less than the gateway does. */
export function configJsonSchema(): JsonSchema {
  const schema = toJsonSchema();
  const properties = tableAt(schema, "properties");
  const gateway = renamed(properties["gateway"], (name) => [name, camel(name)]);
  const servers = renamed(properties["servers"], (name) => [name, camel(name)]);
  return {
    ...schema,
    properties: {
      ...properties,
      gateway,
      servers: { $ref: "#/$defs/servers" },
      mcpServers: { $ref: "#/$defs/servers" },
    },
    $defs: { ...tableAt(schema, "$defs"), servers },
    title: "Bifrost configuration",
  };
}

/** docs/stdin.schema.json: JSON Schema of the document that `serve --config-stdin` reads. */
export function stdinJsonSchema(): JsonSchema {
  const schema = toJsonSchema();
  const properties = tableAt(schema, "properties");
  // Both spellings of these two are in use in documents that exist.
  const both = ["tool_timeout", "connect_timeout"];
  const gateway = renamed(properties["gateway"], (name) => [camel(name)]) as JsonSchema;
  const identities = [
    { required: ["agentId"], properties: { agentId: NOT_EMPTY } },
    { required: ["agentIds"] },
    { required: ["apiKey"], properties: { apiKey: NOT_EMPTY } },
    { required: ["auth"], properties: { auth: { const: "none" } } },
  ];
  return {
    $schema: schema["$schema"],
    title: "Bifrost configuration on standard input",
    type: "object",
    required: ["mcpServers", "gateway"],
    additionalProperties: false,
    properties: {
      mcpServers: renamed(properties["servers"], (name) => (both.includes(name) ? [camel(name), name] : [camel(name)])),
      gateway: {
        ...gateway,
        anyOf: identities,
        allOf: [{ not: { required: ["agentIds", "agentId"] } }, { not: { required: ["agentIds", "apiKey"] } }],
      },
      customSchemas: {
        description: "Accepted for compatibility: servers of custom types cannot be started.",
        type: "object",
        additionalProperties: { type: "string", pattern: "^(https://.*)?$" },
      },
    },
  };
}

const NOT_EMPTY = { not: { const: "" } };

function toJsonSchema(): JsonSchema {
  return z.toJSONSchema(ConfigSchema, {
    target: "draft-2020-12",
    io: "input",
    unrepresentable: "any",
    override: ({ zodSchema, jsonSchema }) => {
      // Zod adds these bounds to every safe integer; they say nothing.
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
      if (zodSchema instanceof z.ZodType && factsOf(zodSchema)?.deprecated) jsonSchema.deprecated = true;
    },
  });
}

/** The schema with each field under other names. What was required under a name that has several is left to the gateway. */
function renamed(schema: unknown, names: (name: string) => readonly string[]): unknown {
  if (Array.isArray(schema)) return schema.map((part: unknown) => renamed(part, names));
  if (typeof schema !== "object" || schema === null) return schema;
  const entries = Object.entries(schema).map(([key, value]: [string, unknown]) => {
    if (key === "properties" && typeof value === "object" && value !== null) {
      const fields = Object.entries(value).flatMap(([name, field]: [string, unknown]) =>
        [...new Set(names(name))].map((other) => [other, renamed(field, names)] as const),
      );
      return [key, Object.fromEntries(fields)] as const;
    }
    if (key === "required" && Array.isArray(value)) {
      const single = (value as string[]).map((name) => [...new Set(names(name))]).filter((all) => all.length === 1);
      return [key, single.flat()] as const;
    }
    return [key, key === "default" || key === "const" ? value : renamed(value, names)] as const;
  });
  return Object.fromEntries(entries);
}

function camel(name: string): string {
  return name.replace(/_([a-z])/g, (_all, letter: string) => letter.toUpperCase());
}

function tableAt(schema: JsonSchema, key: string): JsonSchema {
  return (schema[key] ?? {}) as JsonSchema;
}
