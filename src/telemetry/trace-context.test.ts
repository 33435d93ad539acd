import { expect, it } from "vitest";
import { createTraceIds, formatTraceparent, parseTraceparent } from "./trace-context.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const SPAN = "b7ad6b7169203331";

it.each([
  [`00-${TRACE}-${SPAN}-01`, true],
  [`00-${TRACE}-${SPAN}-00`, false],
  [`00-${TRACE}-${SPAN}-03`, true],
  [`01-${TRACE}-${SPAN}-01-of-a-later-version`, true],
])("%s names a place in a trace", (text, isSampled) => {
  expect(parseTraceparent(text)).toEqual({ traceId: TRACE, spanId: SPAN, isSampled });
});

it.each([
  undefined,
  "",
  `00-${TRACE}-${SPAN}`,
  `00-${TRACE}-${SPAN}-01-more`,
  `ff-${TRACE}-${SPAN}-01`,
  `00-${"0".repeat(32)}-${SPAN}-01`,
  `00-${TRACE}-${"0".repeat(16)}-01`,
  `00-${TRACE.toUpperCase()}-${SPAN}-01`,
  ` 00-${TRACE}-${SPAN}-01`,
  `01-${TRACE}-${SPAN}-01-${"x".repeat(300)}`,
])("%s names none", (text) => {
  expect(parseTraceparent(text)).toBeNull();
});

it("what is written is read back", () => {
  const context = { traceId: TRACE, spanId: SPAN, isSampled: true };
  expect(parseTraceparent(formatTraceparent(context))).toEqual(context);
});

it("ids have their length and do not repeat", () => {
  const ids = createTraceIds();
  const all = new Set(Array.from({ length: 5_000 }, () => `${ids.traceId()} ${ids.spanId()}`));
  expect(all.size).toBe(5_000);
  for (const id of all) expect(id).toMatch(/^[0-9a-f]{32} [0-9a-f]{16}$/);
});
