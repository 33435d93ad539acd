import { z } from "zod";
import { ERRORS, type ErrorCode } from "../core/errors.ts";
import type { Route } from "./route.ts";

/** The body of every error reply. */
export const ErrorBody = z
  .object({
    error: z.string().describe("What went wrong, for people."),
    code: z.string().describe("Stable code; docs/errors.md lists them all."),
    request_id: z.string().describe("Find this request in the log by it."),
    fields: z
      .array(z.object({ path: z.string(), message: z.string() }).meta({ id: "FieldProblem" }))
      .optional()
      .describe("For invalid input: each offending field by its path."),
  })
  .meta({ id: "Error" });

/** Codes that every operation can answer with, on top of its own. */
const COMMON: readonly ErrorCode[] = ["internal", "gateway.draining"];
const PROTECTED: readonly ErrorCode[] = [
  "auth.required",
  "auth.conflict",
  "auth.throttled",
  "auth.forbidden",
  "request.org_required",
];
const WITH_INPUT: readonly ErrorCode[] = ["request.invalid", "request.too_large"];
const IDEMPOTENT: readonly ErrorCode[] = ["idempotency.mismatch", "idempotency.in_progress"];

type Json = Record<string, unknown>;

/** OpenAPI 3.1 of the routes, from the same schemas that validate. Types with a `meta({ id })` become named components. */
export function describeRoutes(routes: readonly Route[], version: string): Json {
  const components: Json = {};
  const schemaOf = (schema: z.ZodType, io: "input" | "output"): Json => collect(schema, io, components);
  schemaOf(ErrorBody, "output");

  const paths: Record<string, Json> = {};
  for (const route of routes) {
    const operations = (paths[route.path] ??= {});
    operations[route.method.toLowerCase()] = operation(route, schemaOf);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Bifrost management API",
      version,
      description:
        "Credentials, services, virtual keys and the people who manage them. The proxy and MCP planes are described in the README.",
    },
    servers: [{ url: "/" }],
    tags: [...new Set(routes.map((route) => route.tag))].map((name) => ({ name })),
    paths,
    components: {
      schemas: Object.fromEntries(Object.entries(components).sort(([a], [b]) => (a < b ? -1 : 1))),
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer", description: "A session token or an API key." },
        apiKey: { type: "apiKey", in: "header", name: "X-API-Key" },
      },
    },
  };
}

function operation(route: Route, schemaOf: (schema: z.ZodType, io: "input" | "output") => Json): Json {
  const isProtected = route.access.kind === "permission";
  const parameters = [
    ...fieldsOf(route.params).map(([name, schema]) => ({
      name,
      in: "path",
      required: true,
      schema: schemaOf(schema, "input"),
    })),
    ...fieldsOf(route.query).map(([name, schema]) => ({
      name,
      in: "query",
      required: !schema.safeParse(undefined).success,
      schema: schemaOf(schema, "input"),
    })),
    ...(isProtected
      ? [
          {
            name: "X-Org-ID",
            in: "header",
            required: false,
            schema: { type: "string" },
            description: "For callers in several organizations.",
          },
        ]
      : []),
    ...(route.idempotent
      ? [
          {
            name: "Idempotency-Key",
            in: "header",
            required: false,
            schema: { type: "string", maxLength: 255 },
            description: "A repeated request with the same key gets the first one's reply for 24 hours.",
          },
        ]
      : []),
  ];
  const codes = new Set<ErrorCode>([
    ...route.errors,
    ...(isProtected ? PROTECTED : []),
    ...(route.body || route.query || route.params ? WITH_INPUT : []),
    ...(route.idempotent ? IDEMPOTENT : []),
    ...COMMON,
  ]);
  return {
    operationId: route.operationId,
    tags: [route.tag],
    summary: route.summary,
    description: [
      route.description,
      route.access.kind === "permission"
        ? `Needs the permission \`${route.access.permission}\`.`
        : "Needs no credential.",
      route.method === "GET" ? "Writes nothing." : "Is recorded in the audit trail.",
    ]
      .filter(Boolean)
      .join(" "),
    security: isProtected ? [{ bearer: [] }, { apiKey: [] }] : [],
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(route.body
      ? {
          requestBody: {
            required: !route.bodyOptional,
            content: { "application/json": { schema: schemaOf(route.body, "input") } },
          },
        }
      : {}),
    responses: responses(route, codes, schemaOf),
  };
}

function responses(
  route: Route,
  codes: ReadonlySet<ErrorCode>,
  schemaOf: (schema: z.ZodType, io: "input" | "output") => Json,
): Json {
  const found: Record<string, Json> = failures(codes);
  for (const [status, schema] of Object.entries(route.replies)) {
    const isError = Number(status) >= 400;
    // A status can be both a route's own reply and an error, as 503 of a readiness check.
    const other = found[status];
    const own = isError ? "" : schema === null ? "Done; no body." : "Success.";
    found[status] = {
      description: other === undefined ? own : `${own} ${String(other["description"])}`.trim(),
      ...(isList(route) && !isError ? { headers: PAGE_HEADERS } : {}),
      ...(schema === null ? {} : { content: { ...contentOf(schema, schemaOf), ...(other?.["content"] as Json) } }),
    };
  }
  return found;
}

function contentOf(schema: z.ZodType, schemaOf: (schema: z.ZodType, io: "input" | "output") => Json): Json {
  // http/server.ts sends a string as it is.
  const type = schema instanceof z.ZodString ? "text/plain" : "application/json";
  return { [type]: { schema: schemaOf(schema, "output") } };
}

/** Every list pages the same way: http/list.ts. */
function isList(route: Route): boolean {
  return route.query !== null && "cursor" in route.query.shape;
}

const PAGE_HEADERS: Json = {
  "X-Next-Cursor": {
    description: "What to pass as `cursor` for the next page. Absent on the last one.",
    schema: { type: "string" },
  },
  Link: {
    description: 'The next page as `rel="next"` (RFC 8288). Absent on the last one.',
    schema: { type: "string" },
  },
};

const RETRY_AFTER: Json = {
  "Retry-After": { description: "Seconds to wait before the request is repeated.", schema: { type: "integer" } },
};

function failures(codes: ReadonlySet<ErrorCode>): Record<string, Json> {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of codes) {
    const { status } = ERRORS[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus.entries()]
      .sort(([a], [b]) => a - b)
      .map(([status, list]) => [
        String(status),
        {
          description: list.map((code) => `\`${code}\``).join(", "),
          ...(status === 429 ? { headers: RETRY_AFTER } : {}),
          content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } },
        },
      ]),
  );
}

function fieldsOf(schema: z.ZodObject | null): [string, z.ZodType][] {
  return Object.entries(schema?.shape ?? {}) as [string, z.ZodType][];
}

/** JSON Schema of one type, with its named parts moved to `components`. */
function collect(schema: z.ZodType, io: "input" | "output", components: Json): Json {
  const {
    $schema: _dialect,
    $defs,
    ...root
  } = z.toJSONSchema(schema, {
    target: "draft-2020-12",
    io,
    unrepresentable: "any",
    override: ({ jsonSchema }) => {
      // Zod adds these bounds to every safe integer; they say nothing.
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
    },
  }) as Json & { $defs?: Record<string, Json> };
  for (const [name, definition] of Object.entries($defs ?? {})) components[name] = relocate(definition);
  const relocated = relocate(root);
  if (typeof relocated.id === "string" && schema.meta()?.id === relocated.id) {
    const { id, ...definition } = relocated;
    components[id as string] = definition;
    return { $ref: `#/components/schemas/${String(id)}` };
  }
  return relocated;
}

function relocate(node: Json): Json {
  const text = JSON.stringify(node).replaceAll('"#/$defs/', '"#/components/schemas/');
  const copy = JSON.parse(text) as Json;
  return copy;
}
