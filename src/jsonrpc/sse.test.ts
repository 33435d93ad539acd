import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeEvent, EventDecoder, EventTooLarge, type ServerSentEvent } from "./sse.ts";

function decode(bytes: Buffer, cuts: readonly number[] = [], maxBytes = 1_000_000) {
  const events: ServerSentEvent[] = [];
  const decoder = new EventDecoder(maxBytes, (event) => events.push(event));
  const edges = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length];
  for (let i = 1; i < edges.length; i++) decoder.push(bytes.subarray(edges[i - 1], edges[i]));
  return { events, lastEventId: decoder.lastEventId, retryMs: decoder.retryMs };
}

const read = (text: string) => decode(Buffer.from(text));
const data = (text: string) => read(text).events.map((event) => event.data);

describe("an event stream", () => {
  it("has lines that end with LF, CR or CRLF, in one stream too", () => {
    expect(data("data: a\n\ndata: b\r\rdata: c\r\n\r\ndata: d\r\n\n")).toEqual(["a", "b", "c", "d"]);
  });

  it("joins the data lines of an event with LF, and drops one space after the colon only", () => {
    expect(data("data: a\ndata:  b\ndata:c\ndata\n\n")).toEqual(["a\n b\nc\n"]);
  });

  it("drops a byte order mark at its start, and nowhere else", () => {
    expect(data("\uFEFFdata: \uFEFFa\n\n\uFEFFdata: b\n\n")).toEqual(["\uFEFFa"]);
  });

  it("gives no event for comments, unknown fields and empty ones, and none that its end cuts off", () => {
    expect(data(": ping\n\nfoo: bar\n\n\n\nevent: x\n\ndata: cut\n")).toEqual([]);
  });

  it("tells the id of the last complete event, also of one without data, and ignores one with NUL", () => {
    expect(read("id: 1\ndata: \n\n").lastEventId).toBe("1");
    expect(read("id: 1\n\nid: 2\n").lastEventId).toBe("1");
    expect(read("id: 1\n\nid: a\0b\n\n").lastEventId).toBe("1");
    expect(read("id: 1\n\ndata: x\n\n").lastEventId).toBe("1");
    expect(read("id: 1\n\nid\n\n").lastEventId).toBe("");
  });

  it("tells the reconnection time, of digits only", () => {
    expect(read("retry: 1500\n\n").retryMs).toBe(1_500);
    expect(read("retry: 1.5\nretry: -1\nretry:\n\n").retryMs).toBeNull();
  });

  it("names the type of each event, for that event only", () => {
    expect(read("event: endpoint\ndata: /x\n\ndata: y\n\n").events).toEqual([
      { type: "endpoint", data: "/x" },
      { type: "message", data: "y" },
    ]);
  });

  it("reads the same however it is cut", () => {
    const line = fc.oneof(
      fc.string({ unit: "grapheme", maxLength: 12 }).map((text) => `data: ${text}`),
      fc.string({ unit: "binary", maxLength: 6 }),
      fc.constantFrom("", "data", "data:", ":", ": ping", "id: 7", "id", "retry: 10", "event: ping", "data: {}"),
    );
    const ending = fc.constantFrom("\n", "\r", "\r\n");
    const stream = fc
      .tuple(fc.constantFrom("", "\uFEFF"), fc.array(fc.tuple(line, ending).map((parts) => parts.join(""))))
      .map(([start, lines]) => Buffer.from(start + lines.join("")));
    fc.assert(
      fc.property(stream, fc.array(fc.nat(), { maxLength: 40 }), (bytes, cuts) => {
        const whole = decode(bytes);
        expect(decode(bytes, cuts)).toEqual(whole);
        expect(decode(bytes, [...bytes.keys()])).toEqual(whole);
      }),
    );
  });

  it("of encoded events gives those events back", () => {
    const text = fc.string({ unit: "grapheme" });
    const oneLine = text.map((value) => value.replaceAll(/[\r\n\0]/g, "-"));
    const event = fc.record({ data: text, id: oneLine.filter((id) => id.length < 300), type: oneLine });
    fc.assert(
      fc.property(fc.array(event), fc.array(fc.nat(), { maxLength: 20 }), (events, cuts) => {
        const bytes = Buffer.from(events.map(({ data: value, ...fields }) => encodeEvent(value, fields)).join(""));
        expect(decode(bytes, cuts).events).toEqual(
          events.map(({ type, data: value }) => ({
            type: type === "" ? "message" : type,
            data: value.replaceAll(/\r\n|\r/g, "\n"),
          })),
        );
      }),
    );
  });

  it("refuses an event larger than the limit, as one line, as many, or as one that never ends", () => {
    const limit = { cuts: [], max: 1_000 };
    const refuses = (text: string) =>
      expect(() => decode(Buffer.from(text), limit.cuts, limit.max)).toThrow(EventTooLarge);
    refuses(`data: ${"x".repeat(1_001)}\n\n`);
    refuses(`data: ${"x".repeat(1_001)}`);
    refuses("data:\n".repeat(1_001));
    refuses(`foo${"x".repeat(1_001)}`);
  });

  it("holds nothing of a comment that never ends", () => {
    const decoder = new EventDecoder(1_000, () => expect.fail("no event"));
    for (let i = 0; i < 10_000; i++) decoder.push(Buffer.from(i === 0 ? ": x" : "x".repeat(1_000)));
    expect(decoder.lastEventId).toBe("");
  });
});

describe("an encoded event", () => {
  it("refuses ids and types that would be more than one line", () => {
    expect(() => encodeEvent("x", { id: "a\nb" })).toThrow(TypeError);
    expect(() => encodeEvent("x", { type: "a\rb" })).toThrow(TypeError);
  });

  it("says id, type and reconnection time", () => {
    expect(encodeEvent("x", { id: "1", type: "t", retryMs: 5 })).toBe("event: t\nid: 1\nretry: 5\ndata: x\n\n");
  });
});
