import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { startGateway, type TestGateway } from "../support/gateway.ts";

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.close());

it("every body and reply of the management API has a name", () => {
  for (const route of gateway.app.routes) {
    for (const schema of [route.body, ...Object.values(route.replies)]) {
      // Plain text has no shape to name.
      if (schema === null || schema instanceof z.ZodString) continue;
      expect(schema.meta()?.id, route.operationId).toBeTypeOf("string");
    }
  }
});

it("no object in the API description is untyped", () => {
  const untyped: string[] = [];
  const visit = (node: unknown, at: string) => {
    if (typeof node !== "object" || node === null) return;
    const typed = ["properties", "additionalProperties", "$ref", "allOf", "anyOf", "oneOf"].some(
      (name) => name in node,
    );
    if ("type" in node && node.type === "object" && !typed) untyped.push(at);
    for (const [name, child] of Object.entries(node)) visit(child, `${at}/${name}`);
  };
  visit(gateway.app.openapi(), "");
  expect(untyped).toEqual([]);
});
