import { Agent, request } from "node:http";
import type { Target } from "./load.ts";
import { median } from "./stats.ts";
import { eventNumbers, streamRequestBody } from "./wire.ts";

/** What a number of streams that were open at the same time delivered. */
export interface StreamsResult {
  readonly asked: number;
  /** Streams of which the first event had arrived while none had ended yet. */
  readonly heldAtOnce: number;
  /** Streams that delivered every event, in order, and ended cleanly. */
  readonly complete: number;
}

interface Stream {
  readonly firstByteMs: number;
  readonly numbers: readonly number[];
  readonly clean: boolean;
}

/** Median milliseconds from sending the request to the first byte of the first event, one stream at a time. */
export async function timeToFirstByteMs(target: Target, samples: number): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const times: number[] = [];
  for (let i = 0; i < samples; i++) {
    times.push((await readStream(target, agent, i, 2, 5, noop)).firstByteMs);
  }
  agent.destroy();
  return median(times);
}

/** Opens all streams at once and reads every one to its end. */
export async function holdStreams(
  target: Target,
  count: number,
  events: number,
  pauseMs: number,
): Promise<StreamsResult> {
  const agent = new Agent({ keepAlive: true, maxSockets: count });
  let open = 0;
  let heldAtOnce = 0;
  const one = async (index: number): Promise<Stream | null> => {
    let counted = false;
    const opened = (): void => {
      counted = true;
      heldAtOnce = Math.max(heldAtOnce, ++open);
    };
    const stream = await readStream(target, agent, index, events, pauseMs, opened).catch(() => null);
    if (counted) open--;
    return stream;
  };
  const streams = await Promise.all(Array.from({ length: count }, (_, index) => one(index)));
  agent.destroy();
  const complete = streams.filter(
    (stream) => stream?.clean && stream.numbers.length === events && stream.numbers.every((n, i) => n === i),
  );
  return { asked: count, heldAtOnce, complete: complete.length };
}

function noop(): void {}

function readStream(
  target: Target,
  agent: Agent,
  index: number,
  events: number,
  pauseMs: number,
  onFirstByte: () => void,
): Promise<Stream> {
  const headers = target.headerSets[index % target.headerSets.length] ?? {};
  const body = streamRequestBody(events, pauseMs);
  return new Promise((resolve, reject) => {
    const sentMs = performance.now();
    const outgoing = request(target.url, {
      method: "POST",
      agent,
      headers: { ...headers, "content-length": Buffer.byteLength(body) },
    });
    outgoing.on("error", reject);
    outgoing.on("response", (response) => {
      let text = "";
      let firstByteMs = 0;
      response.on("error", reject);
      response.on("data", (chunk: Buffer) => {
        if (text === "") {
          firstByteMs = performance.now() - sentMs;
          onFirstByte();
        }
        text += chunk.toString();
      });
      response.on("end", () => {
        if (response.statusCode !== 200) reject(new Error(`a stream was answered ${response.statusCode}: ${text}`));
        else resolve({ firstByteMs, numbers: eventNumbers(text), clean: text.trimEnd().endsWith("data: [DONE]") });
      });
    });
    outgoing.end(body);
  });
}
