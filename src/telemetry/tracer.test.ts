import { expect, it } from "vitest";
import type { EndedSpan } from "./otlp.ts";
import { createTracer, type TracerOptions } from "./tracer.ts";

const PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const NOT_SAMPLED = PARENT.replace(/01$/, "00");
const TRACE_ID = PARENT.slice(3, 35);

function start(options: Partial<TracerOptions> = {}) {
  const ended: EndedSpan[] = [];
  const tracer = createTracer({
    sampleRate: 1,
    traceId: null,
    spanId: null,
    random: () => 0.5,
    onEnded: (span) => ended.push(span),
    ...options,
  });
  return { tracer, ended };
}

it("spans belong to the one under way where they begin, across awaits", async () => {
  const { tracer, ended } = start();
  await Promise.all(
    ["a", "b"].map((name) => {
      const root = tracer.root(name, undefined, {});
      return tracer.run(root, async () => {
        await new Promise((resolve) => setImmediate(resolve));
        tracer.child(`within ${name}`, "client", {})?.end(null);
        root.end(null);
      });
    }),
  );
  for (const name of ["a", "b"]) {
    const root = ended.find((span) => span.name === name);
    const child = ended.find((span) => span.name === `within ${name}`);
    expect(child).toMatchObject({ traceId: root?.traceId, parentSpanId: root?.spanId });
  }
  expect(ended[0]?.traceId).not.toBe(ended[2]?.traceId);
});

it("a caller's place in a trace is gone on from, whether a header or the message tells it, and the header counts", () => {
  const { tracer, ended } = start({ sampleRate: 0 });
  const other = PARENT.replaceAll("b", "c");
  tracer.root("by header", PARENT, {}).end(null);
  const late = tracer.root("by message", undefined, {});
  late.adopt(PARENT);
  late.adopt(other);
  late.end(null);
  const both = tracer.root("by both", PARENT, {});
  both.adopt(other);
  both.end(null);
  expect(ended.map(({ traceId, parentSpanId }) => [traceId, parentSpanId])).toEqual(
    Array.from({ length: 3 }, () => [TRACE_ID, "b7ad6b7169203331"]),
  );
});

it("a caller that does not sample its trace is not sampled here", () => {
  const { tracer, ended } = start();
  const root = tracer.root("x", NOT_SAMPLED, {});
  expect(root.traceparent).toBeNull();
  tracer.run(root, () => expect(tracer.child("y", "internal", {})).toBeNull());
  root.end(null);
  expect(ended).toEqual([]);
});

it("of what no caller samples the configured share is, in the configured trace", () => {
  let drawn = 0;
  const { tracer, ended } = start({ sampleRate: 0.25, traceId: TRACE_ID, random: () => (drawn++ % 100) / 100 });
  for (let i = 0; i < 100; i++) tracer.root("x", undefined, {}).end(null);
  expect(ended).toHaveLength(25);
  expect(new Set(ended.map(({ traceId }) => traceId))).toEqual(new Set([TRACE_ID]));
  expect(new Set(ended.map(({ parentSpanId }) => parentSpanId)).size).toBe(1);
});

it("what goes on after its request is answered is no part of it, and a span ends once", () => {
  const { tracer, ended } = start();
  const root = tracer.root("x", undefined, { long: "y".repeat(1_000) });
  root.end(null);
  root.end("again");
  expect(ended).toHaveLength(1);
  expect(String(ended[0]?.attributes["long"]).length).toBe(256);
  tracer.run(root, () => expect(tracer.child("z", "internal", {})).toBeNull());
});
