import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { startGateway, type TestGateway } from "../support/gateway.ts";

const METHODS = ["get", "post", "put", "delete"] as const;

const Parameter = z.strictObject({
  name: z.string().min(1),
  in: z.enum(["path", "query", "header"]),
  required: z.boolean(),
  description: z.string().optional(),
  schema: z.record(z.string(), z.unknown()),
});
const Content = z.record(z.string(), z.strictObject({ schema: z.record(z.string(), z.unknown()) }));
const Header = z.strictObject({ description: z.string().min(1), schema: z.record(z.string(), z.unknown()) });
const Response = z.strictObject({
  description: z.string().min(1),
  headers: z.record(z.string(), Header).optional(),
  content: Content.optional(),
});
const Operation = z.strictObject({
  operationId: z.string().regex(/^[a-z][A-Za-z0-9]+$/),
  tags: z.array(z.string()).length(1),
  summary: z.string().min(5),
  description: z.string().min(1),
  security: z.array(z.record(z.string(), z.array(z.string()))),
  parameters: z.array(Parameter).optional(),
  requestBody: z.strictObject({ required: z.boolean(), content: Content }).optional(),
  responses: z.record(z.string().regex(/^[1-5]\d\d$/), Response),
});
/** The part of OpenAPI 3.1 that we use, and nothing else: an unknown field of any object is a mistake. */
const Document = z.strictObject({
  openapi: z.literal("3.1.0"),
  info: z.strictObject({ title: z.string(), version: z.string(), description: z.string() }),
  servers: z.array(z.strictObject({ url: z.string() })),
  tags: z.array(z.strictObject({ name: z.string() })),
  paths: z.record(z.string().startsWith("/"), z.partialRecord(z.enum(METHODS), Operation)),
  components: z.strictObject({
    schemas: z.record(z.string().regex(/^[A-Za-z0-9._-]+$/), z.record(z.string(), z.unknown())),
    securitySchemes: z.record(z.string(), z.record(z.string(), z.string())),
  }),
});

interface Described extends z.infer<typeof Operation> {
  readonly method: (typeof METHODS)[number];
  readonly path: string;
}

describe("the OpenAPI document of the running gateway", () => {
  let gateway: TestGateway;
  let document: z.infer<typeof Document>;
  let operations: Described[];

  beforeAll(async () => {
    gateway = await startGateway();
    document = Document.parse((await gateway.call("GET", "/docs/openapi.json")).body);
    operations = Object.entries(document.paths).flatMap(([path, item]) =>
      METHODS.flatMap((method) => (item[method] ? [{ method, path, ...item[method] }] : [])),
    );
  });
  afterAll(() => gateway.close());

  /** Calls `look` for every object in the document with its place. */
  function everyNode(look: (node: Record<string, unknown>, place: string) => void): void {
    const visit = (node: unknown, place: string) => {
      if (Array.isArray(node)) node.forEach((child, at) => visit(child, `${place}/${at}`));
      else if (typeof node === "object" && node !== null) {
        look(node as Record<string, unknown>, place);
        for (const [name, child] of Object.entries(node)) visit(child, `${place}/${name}`);
      }
    };
    visit(document, "#");
  }

  it("is the same as YAML, and every $ref leads to a component", async () => {
    const { body, headers } = await gateway.call("GET", "/docs/openapi.yaml");
    expect(headers.get("content-type")).toBe("application/yaml; charset=utf-8");
    const { parse } = await import("yaml");
    expect(parse(body)).toEqual(document);
    everyNode((node, place) => {
      if (typeof node["$ref"] !== "string") return;
      const name = /^#\/components\/schemas\/([^/]+)$/.exec(node["$ref"])?.[1] ?? "";
      expect(Object.keys(document.components.schemas), place).toContain(name);
    });
  });

  it("describes every route that is served, and nothing that is not", () => {
    const described = operations.map(({ method, path }) => `${method.toUpperCase()} ${path}`);
    expect(described.sort()).toEqual(gateway.app.routes.map((route) => `${route.method} ${route.path}`).sort());
    expect(new Set(operations.map((operation) => operation.operationId)).size).toBe(operations.length);
    const tags = document.tags.map((tag) => tag.name);
    for (const operation of operations) expect(tags).toContain(operation.tags[0]);
  });

  it("names the type of every JSON body and reply", () => {
    for (const { operationId, requestBody, responses } of operations) {
      const contents = [requestBody?.content, ...Object.values(responses).map((response) => response.content)];
      for (const content of contents) {
        for (const [type, { schema }] of Object.entries(content ?? {})) {
          if (type === "text/plain") expect(schema, operationId).toMatchObject({ type: "string" });
          else expect(schema, `${operationId} ${type}`).toEqual({ $ref: expect.stringMatching(/^#\/components\//) });
        }
      }
    }
  });

  it("has no untyped schema: not `{}`, and no object without its fields", () => {
    const says = ["$ref", "type", "enum", "const", "anyOf", "oneOf", "allOf"];
    const schemas: [Record<string, unknown>, string][] = [];
    const collect = (schema: unknown, place: string): void => {
      if (typeof schema !== "object" || schema === null) return;
      const node = schema as Record<string, unknown>;
      schemas.push([node, place]);
      for (const [name, field] of Object.entries(node["properties"] ?? {})) collect(field, `${place}.${name}`);
      for (const part of ["items", "additionalProperties", "propertyNames"]) collect(node[part], `${place}.${part}`);
      for (const part of ["anyOf", "oneOf", "allOf", "prefixItems"]) {
        for (const child of (node[part] as unknown[] | undefined) ?? []) collect(child, `${place}.${part}`);
      }
    };
    for (const [name, schema] of Object.entries(document.components.schemas)) collect(schema, name);
    everyNode((node, place) => "schema" in node && collect(node["schema"], place));
    expect(schemas.length).toBeGreaterThan(200);
    for (const [schema, place] of schemas) {
      expect(
        says.some((word) => word in schema),
        `${place}: ${JSON.stringify(schema)}`,
      ).toBe(true);
      if (schema["type"] !== "object") continue;
      const more = schema["additionalProperties"];
      const typed = "properties" in schema || (typeof more === "object" && more !== null);
      expect(typed, `${place}: ${JSON.stringify(schema)}`).toBe(true);
      for (const name of (schema["required"] as string[] | undefined) ?? []) {
        expect(Object.keys(schema["properties"] ?? {}), place).toContain(name);
      }
    }
  });

  it("says of each operation how it is secured, and of each refusal that it is an Error", () => {
    const schemes = Object.keys(document.components.securitySchemes);
    for (const { operationId, security, responses } of operations) {
      const route = gateway.app.routes.find((candidate) => candidate.operationId === operationId);
      const isPublic = route?.access.kind === "public";
      expect(
        security.flatMap((one) => Object.keys(one)),
        operationId,
      ).toEqual(isPublic ? [] : schemes);
      const statuses = Object.keys(responses);
      expect(statuses, operationId).toEqual(expect.arrayContaining(isPublic ? ["500"] : ["401", "403", "500"]));
      expect(
        statuses.some((status) => status.startsWith("2")),
        operationId,
      ).toBe(true);
      for (const [status, { content }] of Object.entries(responses)) {
        if (Number(status) < 400) continue;
        expect(content?.["application/json"], `${operationId} ${status}`).toEqual({
          schema: { $ref: "#/components/schemas/Error" },
        });
      }
    }
  });

  it("declares exactly the parameters that a path has", () => {
    for (const { operationId, path, parameters = [] } of operations) {
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => name);
      const declared = parameters.filter((one) => one.in === "path");
      expect(declared.map((one) => one.name).sort(), operationId).toEqual(inPath.sort());
      expect(
        declared.every((one) => one.required),
        operationId,
      ).toBe(true);
      expect(new Set(parameters.map((one) => `${one.in} ${one.name.toLowerCase()}`)).size).toBe(parameters.length);
    }
  });

  it("lets every list be paged: limit, cursor, X-Next-Cursor and Link", () => {
    const isArray = (ref: unknown) =>
      typeof ref === "string" && document.components.schemas[ref.split("/").at(-1) ?? ""]?.["type"] === "array";
    const lists = operations.filter(({ responses }) =>
      isArray(responses["200"]?.content?.["application/json"]?.schema["$ref"]),
    );
    expect(lists.length).toBeGreaterThanOrEqual(8);
    for (const { operationId, parameters = [], responses } of lists) {
      const names = parameters.filter((one) => one.in === "query").map((one) => one.name);
      expect(names, operationId).toEqual(expect.arrayContaining(["limit", "cursor"]));
      expect(Object.keys(responses["200"]?.headers ?? {}), operationId).toEqual(["X-Next-Cursor", "Link"]);
    }
  });

  it("is kept: a list's Link leads through all of its pages, filters included", async () => {
    const as = gateway.owner.apiKey;
    for (const name of ["a", "b", "c"]) {
      const body = { id: `agents-${name}`, name: "twin", allowed_services: ["*"] };
      expect((await gateway.call("POST", "/v1/serviceaccounts", { as, body })).status).toBe(201);
    }
    const seen: string[] = [];
    let next: string | undefined = "/v1/serviceaccounts?limit=2&name=twin";
    while (next !== undefined) {
      const page = await gateway.call("GET", next, { as });
      expect(page.status).toBe(200);
      seen.push(...page.body.map((account: { id: string }) => account.id));
      next = /^<([^>]+)>; rel="next"$/.exec(page.headers.get("link") ?? "")?.[1];
      expect(next !== undefined).toBe(page.headers.has("x-next-cursor"));
    }
    expect(seen.sort()).toEqual(["agents-a", "agents-b", "agents-c"]);
  });

  it("is kept: every operation answers with a status that is described, and an Error in the described form", async () => {
    const Refusal = z.strictObject({
      error: z.string().min(1),
      code: z.string().min(1),
      request_id: z.string().min(1),
      fields: z.array(z.strictObject({ path: z.string(), message: z.string() })).optional(),
    });
    for (const { operationId, method, path, requestBody, responses } of operations) {
      for (const as of [undefined, gateway.owner.apiKey]) {
        const answer = await gateway.call(method.toUpperCase(), path.replaceAll(/\{\w+\}/g, "no-such-thing"), {
          as,
          // Not what any operation wants: nothing is written, and the refusal says why.
          ...(requestBody ? { body: { "no such field": 1 } } : {}),
        });
        const what = `${operationId} ${as === undefined ? "without" : "with"} a credential: ${JSON.stringify(answer.body)}`;
        expect(Object.keys(responses), what).toContain(String(answer.status));
        expect(answer.status, what).not.toBe(500);
        expect(answer.body.code, what).not.toBe("request.not_found");
        if (answer.status >= 400) Refusal.parse(answer.body);
      }
    }
  });
});
