import { request } from "undici";
import { type Attributes, type EndedSpan, toOtlp } from "./otlp.ts";

/** Sends spans to a collector over OTLP/HTTP. Never throws and never holds up whoever ends a span. */
export interface SpanExporter {
  add(span: EndedSpan): void;
  /** Spans that no collector got: too many at a time, or refused. */
  dropped(): number;
  /** Sends what is left, and gives up with the first export that fails. Idempotent. */
  close(): Promise<void>;
}

export interface ExporterOptions {
  /** With the signal's path. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly resource: Attributes;
  readonly version: string;
  /** Takes secrets out of what is about to be sent. */
  redact(text: string): string;
  /** The collector does not take them. Once, until it does again. Holds no secret. */
  onProblem(problem: string, error: unknown): void;
}

/** Those of the reference: a batch, and how long its first span waits. */
const BATCH = 256;
const DELAY_MS = 2_000;
/** What waits while an export is under way. */
const QUEUE_MAX = 2_048;

export function createSpanExporter(options: ExporterOptions): SpanExporter {
  let queue: EndedSpan[] = [];
  let timer: NodeJS.Timeout | null = null;
  let sending: Promise<void> | null = null;
  let dropped = 0;
  let isTroubled = false;
  let closed = false;

  async function send(batch: readonly EndedSpan[]): Promise<void> {
    try {
      const { statusCode, body } = await request(options.url, {
        method: "POST",
        headers: { ...options.headers, "content-type": "application/json" },
        body: options.redact(toOtlp(batch, options.resource, options.version)),
        signal: AbortSignal.timeout(options.timeoutMs),
      });
      await body.dump();
      if (statusCode >= 300) throw new Error(`the collector answered ${statusCode}`);
      isTroubled = false;
    } catch (error) {
      dropped += batch.length;
      if (!isTroubled) options.onProblem("traces cannot be sent; the gateway goes on without them", error);
      isTroubled = true;
    }
  }

  async function sendAll(): Promise<void> {
    do await send(queue.splice(0, BATCH));
    while (queue.length >= (closed ? 1 : BATCH) && !isGivenUp());
  }

  /** A gateway that stops does not wait for a collector again and again. */
  function isGivenUp(): boolean {
    return closed && isTroubled;
  }

  function flush(): void {
    if (timer) clearTimeout(timer);
    timer = null;
    if (sending || queue.length === 0) return;
    sending = sendAll().finally(() => {
      sending = null;
      if (queue.length > 0 && !isGivenUp()) schedule();
    });
  }

  function schedule(): void {
    if (closed) flush();
    else timer ??= setTimeout(flush, DELAY_MS).unref();
  }

  return {
    add(span) {
      if (closed || queue.length >= QUEUE_MAX) return void dropped++;
      queue.push(span);
      if (queue.length >= BATCH) flush();
      else schedule();
    },
    dropped: () => dropped,
    async close() {
      closed = true;
      flush();
      // What came while the last batch was under way is sent by a further one.
      while (sending) await sending;
      dropped += queue.length;
      queue = [];
    },
  };
}
