import { randomBytes } from "node:crypto";
import type { ServerResponse } from "node:http";
import { encodeEvent, EVENT_STREAM_PING } from "../../jsonrpc/sse.ts";

/** What a broken-off stream keeps for the client that comes back; older events are dropped first. */
const MAX_KEPT_EVENTS = 256;
const MAX_KEPT_LENGTH = 256 * 1024;
/** Calls of `keepAlive` without a connection, after which nobody is expected back. */
const MAX_ABSENT_INTERVALS = 12;
/** A client that reads so slowly that this much waits is cut off; it may come back with the id of its last event. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;
/** After how long a client whose stream broke may come back, in milliseconds. */
const RETRY_MS = 1_000;

/**
 * Server-sent events to one client that can be taken up again where the connection broke, with `Last-Event-ID`
 * (2025-11-25, Streamable HTTP, Resumability and Redelivery). Delivery goes on into the buffer while nobody is connected.
 */
export interface EventStream {
  /** First part of the ids of its events; unguessable, unique in the session. */
  readonly id: string;
  /** Writes to this response from now on; after `lastEventNumber` when it continues a broken stream. */
  attach(response: ServerResponse, lastEventNumber?: number): void;
  isAttached(): boolean;
  send(message: string): void;
  /** To be called at intervals: a comment, so that intermediaries see life. */
  keepAlive(): void;
  /** Nothing more will come: the connection ends once all is written. */
  finish(): void;
  /** Whether there is nothing left that a client could come back for. */
  isSpent(): boolean;
}

interface KeptEvent {
  readonly number: number;
  readonly text: string;
}

export function createEventStream(): EventStream {
  const id = randomBytes(9).toString("base64url");
  let kept: KeptEvent[] = [];
  let keptLength = 0;
  let lastNumber = 0;
  let response: ServerResponse | null = null;
  let isFinished = false;
  let isSpent = false;
  let absentIntervals = 0;

  function keep(event: KeptEvent): void {
    kept.push(event);
    keptLength += event.text.length;
    while (kept.length > MAX_KEPT_EVENTS || (keptLength > MAX_KEPT_LENGTH && kept.length > 1))
      keptLength -= kept.shift()?.text.length ?? 0;
  }

  function write(text: string): void {
    if (!response) return;
    response.write(text);
    if (response.writableLength > MAX_WAITING_BYTES) response.destroy();
  }

  function end(to: ServerResponse): void {
    to.end(() => {
      isSpent = true;
      kept = [];
    });
  }

  return {
    id,
    attach(to, lastEventNumber) {
      response?.end();
      response = to;
      absentIntervals = 0;
      to.once("close", () => {
        if (response === to) response = null;
      });
      to.writeHead(200, { "content-type": "text/event-stream", "x-accel-buffering": "no" });
      if (lastEventNumber === undefined) {
        // Tells the client an id to come back with before anything has happened (2025-11-25, Sending Messages, 6).
        lastNumber += 1;
        write(encodeEvent("", { id: `${id}-${lastNumber}`, retryMs: RETRY_MS }));
      } else for (const { number, text } of kept) if (number > lastEventNumber) write(text);
      if (isFinished) end(to);
      else to.flushHeaders();
    },
    isAttached: () => response !== null,
    send(message) {
      if (isFinished) return;
      lastNumber += 1;
      const text = encodeEvent(message, { id: `${id}-${lastNumber}` });
      keep({ number: lastNumber, text });
      write(text);
    },
    keepAlive() {
      if (response) write(EVENT_STREAM_PING);
      else absentIntervals += 1;
    },
    finish() {
      if (isFinished) return;
      isFinished = true;
      if (response) end(response);
    },
    isSpent: () => isSpent || absentIntervals > MAX_ABSENT_INTERVALS,
  };
}

/** The parts of a `Last-Event-ID` of ours, or null. */
export function readEventId(header: string | undefined): { streamId: string; number: number } | null {
  const match = /^([A-Za-z0-9_-]{12})-(\d{1,9})$/.exec(header ?? "");
  return match ? { streamId: match[1] ?? "", number: Number(match[2]) } : null;
}
