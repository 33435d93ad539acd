import fc from "fast-check";
import { expect, it } from "vitest";
import { GatewayError } from "../core/errors.ts";
import { decodeCursor, encodeCursor, toPage } from "./page.ts";

const uid = fc.stringMatching(/^[A-Za-z0-9_.-]{1,80}$/);

it("reads back every cursor it writes", () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), uid, (createdAtMs, id) => {
      expect(decodeCursor(encodeCursor({ createdAtMs, uid: id }))).toEqual({ createdAtMs, uid: id });
    }),
  );
});

it("refuses every other text with the same stable error", () => {
  const nearly = fc.tuple(fc.string(), uid).map(([a, b]) => Buffer.from(`${a}.${b}`).toString("base64url"));
  const damaged = fc
    .tuple(fc.maxSafeNat(), uid, fc.string({ minLength: 1 }), fc.nat())
    .map(([createdAtMs, id, extra, at]) => {
      const text = encodeCursor({ createdAtMs, uid: id });
      return text.slice(0, at % text.length) + extra + text.slice(at % text.length);
    });
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.base64String(), nearly, damaged), (text) => {
      let cursor;
      try {
        cursor = decodeCursor(text);
      } catch (error) {
        expect(error).toBeInstanceOf(GatewayError);
        expect(error).toMatchObject({ code: "request.invalid", fields: [{ path: "cursor" }] });
        return;
      }
      expect(encodeCursor(cursor)).toBe(text);
    }),
    { numRuns: 2_000 },
  );
});

it.each(["MDEuYQ", Buffer.from("9999999999999999.a").toString("base64url"), "", "a".repeat(10_000)])(
  "refuses %s",
  (text) => {
    expect(() => decodeCursor(text)).toThrow(GatewayError);
  },
);

it("continues after the last item while there is more, and ends otherwise", () => {
  const rows = [3, 2, 1].map((createdAtMs) => ({ createdAtMs, uid: `u${createdAtMs}` }));
  expect(toPage(rows, 2)).toEqual({ items: rows.slice(0, 2), next: { createdAtMs: 2, uid: "u2" } });
  expect(toPage(rows, 3)).toEqual({ items: rows, next: null });
  expect(toPage([], 3)).toEqual({ items: [], next: null });
});
