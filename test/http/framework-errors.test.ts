import { afterAll, beforeAll, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway();
});
afterAll(() => gateway.close());

it.each([
  ["GET", "/v1/keys/%zz", 400, "request.invalid"],
  ["GET", "/v1/orgs/%ff/memberships", 400, "request.invalid"],
  ["GET", `/v1/keys/${"a".repeat(200)}`, 404, "request.not_found"],
  ["GET", "/v1/nothing", 404, "request.not_found"],
  ["GET", "/docs/nothing", 404, "request.not_found"],
  ["PATCH", "/v1/keys", 405, "request.method_not_allowed"],
])("%s %s is refused in the form of every error, not the framework's", async (method, path, status, code) => {
  const answer = await gateway.call(method, path, { as: gateway.owner.apiKey });
  expect(answer).toMatchObject({ status, body: { error: expect.any(String), code, request_id: expect.any(String) } });
  expect(JSON.stringify(answer.body)).not.toContain("FST_");
  expect(answer.headers.get("x-request-id")).toBe(answer.body.request_id);
});

it.each([
  ["not JSON", { body: "{bad" }, 400, "request.invalid"],
  ["an empty body", { body: "" }, 400, "request.invalid"],
  ["a form", { body: "a=b", headers: { "content-type": "application/x-www-form-urlencoded" } }, 415],
  ["a body over 1 MiB", { body: `"${"a".repeat(1024 * 1024)}"` }, 413, "request.too_large"],
  ["__proto__ in a body", { body: '{"name":"x","__proto__":{"role":"owner"}}' }, 400, "request.invalid"],
])(
  "%s is refused in the form of every error",
  async (_what, request, status, code = "request.unsupported_media_type") => {
    const answer = await gateway.call("POST", "/v1/orgs", { as: gateway.owner.apiKey, ...request });
    expect(answer).toMatchObject({ status, body: { code } });
  },
);

it("the API browser works on a gateway that is reached by name over plain http, and asks nobody else", async () => {
  const { status, headers, body } = await gateway.call("GET", "/docs");
  expect(status).toBe(200);
  const policy = headers.get("content-security-policy") ?? "";
  expect(policy).toContain("default-src 'self'");
  expect(policy).not.toMatch(/upgrade-insecure-requests|https:|swagger\.io/);
  expect(body).not.toMatch(/(?:src|href)="(?!\/docs\/)/);
});
