import { Ajv2020 } from "ajv/dist/2020.js";
import { expect, it } from "vitest";
import { problemsOf } from "../../test/support/load-config.ts";
import { configJsonSchema, stdinJsonSchema } from "./json-schema.ts";

const validator = (schema: object) => new Ajv2020({ strictTypes: false }).compile(schema);
const stdin = validator(stdinJsonSchema());
const file = validator(configJsonSchema());

const SERVERS = {
  notes: { command: "npx", args: ["x"], env: { A: "" }, tools: ["*"], toolTimeout: 30 },
  image: { type: "local", container: "a/b:1", entrypointArgs: ["x"], mounts: ["/a:/b:ro"] },
  web: { type: "http", url: "https://a.b/mcp", headers: { "X-Key": "${KEY:-k}" }, connectTimeout: 5 },
};

it.each([
  ["an agent id", { gateway: { port: 3000, domain: "localhost", agentId: "a" } }, true],
  ["a port from a variable", { gateway: { port: "${PORT:-3000}", agentId: "a" } }, true],
  ["the older name of the agent id", { gateway: { apiKey: "a" } }, true],
  ["several agents", { gateway: { agentIds: ["a"] } }, true],
  ["open access on loopback", { gateway: { auth: "none" } }, true],
  ["no identity", { gateway: {} }, false],
  ["an empty agent id", { gateway: { agentId: "" } }, false],
  ["agentIds beside agentId", { gateway: { agentIds: ["a"], agentId: "a" } }, false],
  ["an unknown field", { gateway: { agentId: "a", agent: 1 } }, false],
  ["a tool timeout below the minimum", { gateway: { agentId: "a", toolTimeout: 9 } }, false],
  ["no gateway", {}, false],
  ["another part", { gateway: { agentId: "a" }, extra: {} }, false],
])("the published schema and the gateway agree on a document with %s", (_what, rest, isValid) => {
  const document = structuredClone({ mcpServers: { web: SERVERS.web }, ...rest });
  expect(stdin(document)).toBe(isValid);
  expect(Object.keys(problemsOf({ stdin: JSON.stringify(document) })).length === 0).toBe(isValid);
});

it("takes each kind of server, in a document and under both names in a file", () => {
  expect(stdin({ mcpServers: SERVERS, gateway: { agentId: "a" } })).toBe(true);
  expect(file({ mcpServers: SERVERS, gateway: { agent_id: "a", toolTimeout: 10 } })).toBe(true);
  expect(file({ servers: SERVERS, mode: "production" })).toBe(true);
  expect(file({ mcpServers: { a: { comand: "x" } } })).toBe(false);
});

it("marks the older name of the agent id as deprecated, and the new one not", () => {
  const fields = JSON.stringify(stdinJsonSchema());
  expect(/"apiKey":\{[^]*?"deprecated":true/.test(fields)).toBe(true);
  expect(/"agentId":\{[^}]*"deprecated"/.test(fields)).toBe(false);
});
