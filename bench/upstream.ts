// The upstream of the POST and SSE measurements, on Node: a chat-completions look-alike, so that the peer, which
// understands only such, can take part. GET answers like the cheap upstream, for machines without nginx.
import { createServer, type ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { CHEAP_BODY, COMPLETION, sseEvent } from "./wire.ts";

const completion = Buffer.from(COMPLETION);
const cheap = Buffer.from(CHEAP_BODY);

createServer({ keepAliveTimeout: 300_000 }, function answer(request, response) {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    if (request.method !== "POST") return sendJson(response, cheap);
    const body = chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks);
    // Only the short bodies of the SSE test are parsed; the load must cost the upstream little.
    if (body.length > 400) return sendJson(response, completion);
    void sendEvents(response, body);
  });
}).listen(Number(process.argv[2]), "127.0.0.1");

function sendJson(response: ServerResponse, body: Buffer): void {
  response.writeHead(200, { "content-type": "application/json", "content-length": body.length });
  response.end(body);
}

/** `max_tokens` is the number of events, `seed` the milliseconds between them: fields every gateway passes on. */
async function sendEvents(response: ServerResponse, body: Buffer): Promise<void> {
  const { max_tokens: count = 1, seed: pauseMs = 0 }: { max_tokens?: number; seed?: number } = JSON.parse(
    body.toString(),
  );
  // nginx collects a response in buffers unless the upstream says otherwise.
  response.writeHead(200, { "content-type": "text/event-stream", "x-accel-buffering": "no" });
  for (let i = 0; i < count && !response.destroyed; i++) {
    if (i > 0) await sleep(pauseMs);
    response.write(sseEvent(i));
  }
  response.end("data: [DONE]\n\n");
}
