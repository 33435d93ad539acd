import fc from "fast-check";
import { expect, it } from "vitest";
import { ByteCollector } from "./byte-collector.ts";

it("gives back what was added, whatever the pieces, and begins anew after that", () => {
  const piece = fc.uint8Array({ maxLength: 50 }).map((bytes) => Buffer.from(bytes));
  fc.assert(
    fc.property(fc.array(piece), fc.array(piece), (first, second) => {
      const collector = new ByteCollector();
      for (const pieces of [first, second]) {
        for (const bytes of pieces) collector.add(bytes);
        expect(collector.length).toBe(Buffer.concat(pieces).length);
        expect(collector.take()).toEqual(Buffer.concat(pieces));
      }
    }),
  );
});

it("does not copy a single piece, and never writes into one", () => {
  const collector = new ByteCollector();
  const piece = Buffer.from("abc");
  collector.add(piece);
  expect(collector.take().buffer).toBe(piece.buffer);
  collector.add(piece);
  collector.add(Buffer.from("d"));
  expect(collector.take().toString()).toBe("abcd");
  expect(piece.toString()).toBe("abc");
});
