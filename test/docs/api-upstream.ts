import type { ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import { startUpstream, type Upstream } from "../support/upstream.ts";

/** What the model says, in the shapes of both APIs. */
export const ANSWER = "Hello from the upstream.";

/** An upstream that answers as the APIs of OpenAI and Anthropic do, and any other path by echoing the request. */
export function startApiUpstream(): Promise<Upstream> {
  return startUpstream({
    "/v1/chat/completions": (req, res) => {
      void text(req).then((order) => (/"stream": ?true/.test(order) ? streamChat(res) : json(res, chat())));
    },
    "/v1/messages": (_req, res) => json(res, message()),
  });
}

function json(res: ServerResponse, value: unknown): void {
  res.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
}

const facts = { id: "chatcmpl-1", created: 1, model: "gpt-5" };

function chat() {
  return {
    ...facts,
    object: "chat.completion",
    choices: [{ index: 0, finish_reason: "stop", message: { role: "assistant", content: ANSWER } }],
  };
}

function streamChat(res: ServerResponse): void {
  res.writeHead(200, { "content-type": "text/event-stream" });
  for (const content of ANSWER.split(/(?<= )/)) {
    const choices = [{ index: 0, delta: { content }, finish_reason: null }];
    res.write(`data: ${JSON.stringify({ ...facts, object: "chat.completion.chunk", choices })}\n\n`);
  }
  res.end("data: [DONE]\n\n");
}

function message() {
  return {
    id: "msg_1",
    type: "message",
    role: "assistant",
    model: "claude-sonnet-4-5",
    content: [{ type: "text", text: ANSWER }],
    stop_reason: "end_turn",
    stop_sequence: null,
    usage: { input_tokens: 1, output_tokens: 1 },
  };
}
