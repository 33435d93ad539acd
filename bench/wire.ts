/** What the load sends and what it must get back; a difference in one byte fails the run. */

export const PATH = "/v1/chat/completions";

/** About 1 KB, as a short chat request is. */
export const REQUEST_BODY = JSON.stringify({
  model: "bench-model",
  messages: [{ role: "user", content: "a".repeat(950) }],
});

export const COMPLETION = JSON.stringify({
  id: "chatcmpl-bench",
  object: "chat.completion",
  created: 1_700_000_000,
  model: "bench-model",
  choices: [{ index: 0, message: { role: "assistant", content: "b".repeat(300) }, finish_reason: "stop" }],
  usage: { prompt_tokens: 238, completion_tokens: 75, total_tokens: 313 },
});

/** Body of nginx's `return 200`; also written into its configuration, so no quotes of the single kind. */
export const CHEAP_BODY = JSON.stringify({ ok: true });

export function streamRequestBody(events: number, pauseMs: number): string {
  return JSON.stringify({ model: "bench-model", stream: true, messages: [], max_tokens: events, seed: pauseMs });
}

export function sseEvent(index: number): string {
  const delta = { index: 0, delta: { content: `event ${index}` } };
  return `data: ${JSON.stringify({ id: "chatcmpl-bench", object: "chat.completion.chunk", choices: [delta] })}\n\n`;
}

/** The event numbers in a stream, in the order in which they came. */
export function eventNumbers(stream: string): number[] {
  return [...stream.matchAll(/"content":"event (\d+)"/g)].map((match) => Number(match[1]));
}
