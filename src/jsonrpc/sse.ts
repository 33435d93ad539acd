import { ByteCollector } from "../core/byte-collector.ts";

/** One event of an event stream (WHATWG HTML §9.2). */
export interface ServerSentEvent {
  /** `message` where the stream did not say. */
  readonly type: string;
  readonly data: string;
}

/** An event is larger than the decoder was told to hold. Nothing more can be read from its stream. */
export class EventTooLarge extends Error {
  override readonly name = "EventTooLarge";
}

const LF = 0x0a;
const CR = 0x0d;
const COLON = 0x3a;
const SPACE = 0x20;

const LONGEST_NAME = "event".length;

/** Ids beyond this are ignored: they are kept for the length of the stream and sent back in a header. */
const MAX_ID_LENGTH = 1_024;

/**
 * Reads an event stream (WHATWG HTML §9.2.6) from pieces cut anywhere, also within a character or a line end. Lines end with
 * LF, CR or CRLF; a byte order mark at the start is dropped; comments and unknown fields cost nothing, however long the
 * comment; an event that the stream's end cuts off is never given. An id with a NUL, or of more than 1,024 characters, is
 * ignored.
 */
export class EventDecoder {
  /** Of the last complete event that had one; sent as `Last-Event-ID` when the stream is resumed. "" before the first. */
  lastEventId = "";
  /** The reconnection time that the stream asked for last. */
  retryMs: number | null = null;

  readonly #maxBytes: number;
  readonly #onEvent: (event: ServerSentEvent) => void;
  readonly #line = new ByteCollector();
  #inComment = false;
  #skipLf = false;
  #firstLine = true;
  /** Bytes of the event so far, whole lines only. */
  #size = 0;
  #data: string | null = null;
  #moreData: string[] | null = null;
  #type = "";
  #id: string | null = null;

  /** @param maxBytes of one event, its field names included */
  constructor(maxBytes: number, onEvent: (event: ServerSentEvent) => void) {
    this.#maxBytes = maxBytes;
    this.#onEvent = onEvent;
  }

  /** @throws EventTooLarge, and whatever the receiver of the events throws */
  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    let at = this.#skipLf && chunk[0] === LF ? 1 : 0;
    this.#skipLf = false;
    let lf = chunk.indexOf(LF, at);
    let cr = chunk.indexOf(CR, at);
    while (at < chunk.length) {
      if (lf !== -1 && lf < at) lf = chunk.indexOf(LF, at);
      if (cr !== -1 && cr < at) cr = chunk.indexOf(CR, at);
      const end = lf === -1 ? cr : cr === -1 ? lf : Math.min(lf, cr);
      if (end === -1) {
        this.#keep(chunk, at);
        return;
      }
      this.#endLine(chunk, at, end);
      at = end + 1;
      if (end === cr) {
        if (at === chunk.length) this.#skipLf = true;
        else if (chunk[at] === LF) at++;
      }
    }
  }

  /** The beginning of a line whose end has not come. */
  #keep(chunk: Buffer, at: number): void {
    if (this.#line.length === 0 && chunk[at] === COLON) this.#inComment = true;
    if (this.#inComment) return;
    this.#line.add(chunk.subarray(at));
    this.#assertSize(this.#line.length);
  }

  #endLine(chunk: Buffer, start: number, end: number): void {
    if (this.#inComment) {
      this.#inComment = false;
      this.#firstLine = false;
    } else if (this.#line.length === 0) {
      this.#readLine(chunk, start, end);
    } else {
      this.#line.add(chunk.subarray(start, end));
      const whole = this.#line.take();
      this.#readLine(whole, 0, whole.length);
    }
  }

  #readLine(bytes: Buffer, from: number, end: number): void {
    let start = from;
    if (this.#firstLine) {
      this.#firstLine = false;
      if (bytes[start] === 0xef && bytes[start + 1] === 0xbb && bytes[start + 2] === 0xbf) start += 3;
    }
    if (start >= end) {
      this.#dispatch();
      return;
    }
    if (bytes[start] === COLON) return;
    // No known name is longer. Looking further would let many lines without a colon cost the square of their number.
    const limit = Math.min(end, start + LONGEST_NAME + 1);
    let nameEnd = start;
    while (nameEnd < limit && bytes[nameEnd] !== COLON) nameEnd++;
    if (nameEnd - start > LONGEST_NAME) return;
    const valueStart = nameEnd + (bytes[nameEnd + 1] === SPACE ? 2 : 1);
    this.#field(bytes.toString("latin1", start, nameEnd), bytes, Math.min(valueStart, end), end);
  }

  #field(name: string, bytes: Buffer, start: number, end: number): void {
    if (name === "data") {
      this.#size += end - start + 6;
      this.#assertSize(0);
      const value = bytes.toString("utf8", start, end);
      if (this.#data === null) this.#data = value;
      else (this.#moreData ??= []).push(value);
    } else if (name === "event") {
      this.#assertSize(end - start);
      this.#type = bytes.toString("utf8", start, end);
    } else if (name === "id") {
      if (end - start > MAX_ID_LENGTH) return;
      const id = bytes.toString("utf8", start, end);
      if (!id.includes("\0")) this.#id = id;
    } else if (name === "retry" && end - start <= 15) {
      const text = bytes.toString("latin1", start, end);
      if (/^\d+$/.test(text)) this.retryMs = Number(text);
    }
  }

  #dispatch(): void {
    if (this.#id !== null) this.lastEventId = this.#id;
    const first = this.#data;
    const type = this.#type === "" ? "message" : this.#type;
    const more = this.#moreData;
    this.#id = null;
    this.#data = null;
    this.#moreData = null;
    this.#type = "";
    this.#size = 0;
    if (first !== null) this.#onEvent({ type, data: more === null ? first : `${first}\n${more.join("\n")}` });
  }

  #assertSize(more: number): void {
    if (this.#size + more > this.#maxBytes) throw new EventTooLarge(`an event of more than ${this.#maxBytes} bytes`);
  }
}

/** What an event may say beside its data. */
export interface EventFields {
  /** Without line breaks and NUL. */
  readonly id?: string;
  /** Without line breaks. */
  readonly type?: string;
  readonly retryMs?: number;
}

/** The text of one event. Line breaks in the data (also CR, which then reads as LF) stay line breaks of the data. */
export function encodeEvent(data: string, fields: EventFields = {}): string {
  let head = "";
  if (fields.type !== undefined) head += `event: ${oneLine(fields.type)}\n`;
  if (fields.id !== undefined) head += `id: ${oneLine(fields.id)}\n`;
  if (fields.retryMs !== undefined) head += `retry: ${Math.round(fields.retryMs)}\n`;
  const lines = data.includes("\n") || data.includes("\r") ? data.replaceAll(/\r\n|\r|\n/g, "\ndata: ") : data;
  return `${head}data: ${lines}\n\n`;
}

/** A comment: keeps a connection alive, and says nothing. */
export const EVENT_STREAM_PING = ":\n\n";

function oneLine(text: string): string {
  if (/[\r\n\0]/.test(text)) throw new TypeError("an event's id and type are single lines");
  return text;
}
