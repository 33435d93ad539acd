import { expect, it } from "vitest";
import { load } from "../../../test/support/load-config.ts";
import { secretsOf } from "./known-secrets.ts";

function secretsIn(file: string) {
  return secretsOf(load({ file }), [Buffer.alloc(32, 7)]);
}

it("values of env, headers, arguments, queries and credentials are secrets, in whole and without their scheme", () => {
  const secrets = secretsIn(`
    [gateway]
    agent_id = "agent-secret"
    [servers.a]
    command = "node"
    args = ["--api-key=in-the-argument", "--token", "after-the-argument", "--verbose", "not-one"]
    env = { API_TOKEN = "in-the-env", DEBUG_LEVEL = "production", RETRIES = "12345678", HOME_DIR = "/home/ada/.config" }
    [servers.b]
    url = "https://mcp.example.com/mcp?key=in-the-query"
    headers = { authorization = "Bearer in-the-header", x-basic = "Basic ${btoa("ada:in-basic-auth")}" }
  `);
  for (const secret of [
    "agent-secret",
    "in-the-argument",
    "after-the-argument",
    "in-the-env",
    "in-the-query",
    "Bearer in-the-header",
    "in-the-header",
    "in-basic-auth",
    Buffer.alloc(32, 7).toString("hex"),
  ]) {
    expect(secrets).toContain(secret);
  }
  for (const text of ["not-one", "production", "12345678", "/home/ada/.config"]) expect(secrets).not.toContain(text);
});

it("a key that begins like a path is a secret", () => {
  const secrets = secretsIn(
    '[servers.a]\ncommand = "node"\nenv = { KEY = "/aBcD/eFgH0123456789+abcdefGHIJKLMNOPQRS" }\n',
  );
  expect(secrets).toContain("/aBcD/eFgH0123456789+abcdefGHIJKLMNOPQRS");
});
