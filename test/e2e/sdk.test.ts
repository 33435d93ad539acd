import type { ServerResponse } from "node:http";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { startUpstream, type Upstream } from "../support/upstream.ts";

const OPENAI_KEY = "sk-the-real-openai-credential-02";
const ANTHROPIC_KEY = "sk-ant-the-real-credential-0002";
const WORDS = ["Streams ", "arrive ", "word ", "by ", "word."];

/** Upstreams that send the next event only when the test says that the one before has arrived. */
describe("the official SDKs against the gateway, with nothing changed but base URL and key", () => {
  let gateway: TestGateway;
  let upstream: Upstream;
  let proceed: () => void = () => undefined;
  const keys: Record<string, { id: string; secret: string }> = {};

  beforeAll(async () => {
    const paced = async (res: ServerResponse, events: readonly string[]) => {
      res.writeHead(200, { "content-type": "text/event-stream" });
      for (const [at, event] of events.entries()) {
        // Only the first is sent unasked.
        if (at > 0) await new Promise<void>((resolve) => (proceed = resolve));
        res.write(event);
      }
      res.end();
    };
    upstream = await startUpstream({
      "/v1/chat/completions": (req, res) => void (req.resume(), paced(res, chatEvents())),
      "/v1/messages": (req, res) => void (req.resume(), paced(res, messageEvents())),
      "/v1/models": (_req, res) => {
        res.writeHead(429, { "content-type": "application/json", "retry-after": "7" });
        res.end('{"error":{"type":"rate_limit","message":"the upstream is busy"}}');
      },
    });
    gateway = await startGateway();
    keys["openai"] = await keyFor("openai", `${upstream.origin}/v1`, OPENAI_KEY, { type: "bearer" });
    const header = { type: "header", name: "x-api-key" };
    keys["anthropic"] = await keyFor("anthropic", upstream.origin, ANTHROPIC_KEY, header);
  });
  afterAll(async () => {
    await gateway.close();
    await upstream.close();
  });

  async function keyFor(id: string, endpoint: string, secret: string, injection: unknown) {
    const as = gateway.owner.apiKey;
    const rootKey = await gateway.call("POST", "/v1/rootkeys", { as, body: { id: `${id}-key`, api_key: secret } });
    const body = { id, endpoint, root_key_id: `${id}-key`, injection, allow_addresses: ["loopback"] };
    const service = await gateway.call("POST", "/v1/services", { as, body });
    const key = await gateway.call("POST", "/v1/keys", { as, body: { target: id, scope: "write", ttl: "1h" } });
    expect([rootKey.status, service.status, key.status], JSON.stringify(service.body)).toEqual([201, 201, 201]);
    return { id: key.body.id, secret: key.body.virtual_key };
  }

  const secretOf = (service: string) => keys[service]?.secret ?? "";
  const openai = (apiKey = secretOf("openai")) =>
    new OpenAI({ baseURL: `${gateway.url}/v1/proxy`, apiKey, maxRetries: 0 });
  const anthropic = (apiKey = secretOf("anthropic")) =>
    new Anthropic({ baseURL: `${gateway.url}/v1/proxy`, apiKey, maxRetries: 0 });
  const messages = [{ role: "user" as const, content: "Say something." }];

  it("OpenAI: a streamed chat completion arrives event by event", async () => {
    const stream = await openai().chat.completions.create({ model: "gpt-5", messages, stream: true });
    const words: string[] = [];
    for await (const chunk of stream) {
      words.push(chunk.choices[0]?.delta.content ?? "");
      proceed();
    }
    expect(words).toEqual(WORDS);
    expect(upstream.received.at(-1)?.headers).toMatchObject({
      authorization: `Bearer ${OPENAI_KEY}`,
      "x-bifrost-key-id": keys["openai"]?.id,
    });
  });

  it("Anthropic: a streamed message arrives event by event, and is put together", async () => {
    const stream = anthropic().messages.stream({ model: "claude-sonnet-5-5", max_tokens: 100, messages });
    stream.on("streamEvent", () => proceed());
    const words: string[] = [];
    stream.on("text", (word) => words.push(word));
    const message = await stream.finalMessage();
    expect(words).toEqual(WORDS);
    expect(message.content).toMatchObject([{ type: "text", text: WORDS.join("") }]);
    expect(upstream.received.at(-1)?.headers).toMatchObject({
      "x-api-key": ANTHROPIC_KEY,
      "anthropic-version": expect.any(String),
      "x-bifrost-key-id": keys["anthropic"]?.id,
    });
    expect(JSON.stringify(upstream.received.at(-1)?.headers)).not.toContain("bfk_");
  });

  it("an upstream's own error reaches the SDK as it is, with what it says about waiting", async () => {
    const failure = await openai()
      .models.list()
      .then(
        () => null,
        (error: unknown) => error,
      );
    expect(failure).toBeInstanceOf(OpenAI.RateLimitError);
    expect(failure).toMatchObject({ status: 429, message: expect.stringContaining("the upstream is busy") });
    expect((failure as InstanceType<typeof OpenAI.RateLimitError>).headers?.get("retry-after")).toBe("7");
  });

  it.each(["openai", "anthropic"])("%s: a wrong or revoked key is the SDK's AuthenticationError", async (service) => {
    const attempt = (apiKey: string) =>
      service === "openai"
        ? openai(apiKey).chat.completions.create({ model: "gpt-5", messages })
        : anthropic(apiKey).messages.create({ model: "claude-sonnet-5-5", max_tokens: 100, messages });
    const expected = service === "openai" ? OpenAI.AuthenticationError : Anthropic.AuthenticationError;
    const before = upstream.received.length;
    await expect(attempt("sk-from-an-old-environment")).rejects.toThrow(expected);
    const revoked = await gateway.call("DELETE", `/v1/keys/${keys[service]?.id}`, { as: gateway.owner.apiKey });
    expect(revoked.status).toBe(204);
    await expect(attempt(secretOf(service))).rejects.toThrow(expected);
    await expect(attempt(secretOf(service))).rejects.toThrow("key revoked");
    expect(upstream.received.length).toBe(before);
  });
});

function chatEvents(): string[] {
  const chunks = WORDS.map((content) => ({
    id: "chatcmpl-1",
    object: "chat.completion.chunk",
    created: 1,
    model: "gpt-5",
    choices: [{ index: 0, delta: { content }, finish_reason: null }],
  }));
  return [...chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`), "data: [DONE]\n\n"];
}

function messageEvents(): string[] {
  const message = {
    id: "msg_1",
    type: "message",
    role: "assistant",
    model: "claude-sonnet-5-5",
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: { input_tokens: 1, output_tokens: 1 },
  };
  const events = [
    { type: "message_start", message },
    { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
    ...WORDS.map((text) => ({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } })),
    { type: "content_block_stop", index: 0 },
    { type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: 5 } },
    { type: "message_stop" },
  ];
  return events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
}
