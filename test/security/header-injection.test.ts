/**
 * Header injection (CWE-113): a value with a line break that gets into a header becomes more headers, or a second
 * request. Values reach headers from credentials, agent ids and request ids.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { parseAnswer, type Stage, startStage } from "../support/stage.ts";

let stage: Stage;
beforeAll(async () => void (stage = await startStage()));
afterAll(() => stage[Symbol.asyncDispose]());
beforeEach(() => void (stage.upstream.received.length = 0));

describe("a credential", () => {
  it.each(["sk-a\r\nX-Injected: 1", "sk-a\nX-Injected: 1", "sk-a\0b", "sk-ключ-0123456789"])(
    "%j is never sent in a header: the service is unusable, and its text stays inside",
    async (secret) => {
      const key = await stage.key({}, {}, { secret });
      const { status, body } = parseAnswer(await stage.raw("GET /v1/proxy/x", [`Authorization: Bearer ${key.secret}`]));
      expect(status).toBe(502);
      expect(JSON.parse(body)).toMatchObject({ code: "service.unusable" });
      expect(body).not.toContain("sk-");
      expect(stage.upstream.received).toEqual([]);
    },
  );

  it("with a line break is encoded where it goes into the query or into Basic credentials", async () => {
    const secret = "sk-a\r\nX-Injected: 1";
    for (const injection of [{ kind: "query", name: "k" } as const, { kind: "basic", username: "bob" } as const]) {
      const key = await stage.key({ injection }, {}, { secret });
      await stage.echo(key, "GET /v1/proxy/x");
      expect(stage.upstream.received.at(-1)?.headers).not.toHaveProperty("x-injected");
    }
  });

  it("in a template cannot pull in other text", async () => {
    const injection = { kind: "header", name: "X-Token", prefix: "", template: "a {secret} b {secret}" } as const;
    const key = await stage.key({ injection, credentialEcho: "off" }, {}, { secret: "$& $1 $$ {secret}" });
    expect((await stage.echo(key, "GET /v1/proxy/x")).headers["x-token"]).toBe(
      "a $& $1 $$ {secret} b $& $1 $$ {secret}",
    );
  });
});

it.each([
  "a b",
  "short",
  "x".repeat(200),
  "ünïcode-id",
  "id\tid-0000",
  'quote"quote',
  "<script>1234",
  "%0d%0aX-Injected:1",
])("the request id %j is replaced, on the answer and towards the upstream", async (id) => {
  const key = await stage.key();
  const answer = await stage.raw("GET /v1/proxy/x", [`Authorization: Bearer ${key.secret}`, `X-Request-ID: ${id}`]);
  const seen = stage.upstream.received.at(-1)?.headers["x-request-id"];
  expect(seen).toMatch(/^req_[0-9a-f]{32}$/);
  expect(parseAnswer(answer).headers["x-request-id"]).toBe(seen);
});

it.each(["agent 7", "..", "a/b", "ü", "x".repeat(129)])(
  "the agent id %j names nobody: it never reaches the upstream",
  async (id) => {
    const key = await stage.key({}, { source: "mcp", agentId: "genuine" });
    const { headers } = await stage.echo(key, "GET /v1/proxy/x", [`X-Agent-ID: ${id}`]);
    expect(headers["x-bifrost-agent-id"]).toBe("genuine");
    expect(headers).not.toHaveProperty("x-agent-id");
  },
);
