import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createLineReader } from "./read-lines.ts";

/** Feeds `bytes` in pieces cut at `cuts`; a line that is too long shows as its start and an ellipsis. */
function read(bytes: Buffer, maxBytes: number, cuts: readonly number[] = []): string[] {
  const lines: string[] = [];
  const reader = createLineReader(
    maxBytes,
    (line) => lines.push(line),
    (start) => lines.push(`${start}…`),
  );
  const ends = [...cuts.map((cut) => cut % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length];
  let from = 0;
  for (const end of ends) {
    reader(bytes.subarray(from, end));
    from = end;
  }
  return lines;
}

describe("createLineReader", () => {
  it("gives the same lines however the bytes are cut", () => {
    const text = fc.array(fc.constantFrom("a", "ä", "😀", "\n", "\r\n", "\r", "{}", "0123456789"), { maxLength: 60 });
    fc.assert(
      fc.property(text, fc.array(fc.nat(), { maxLength: 20 }), fc.integer({ min: 1, max: 40 }), (parts, cuts, max) => {
        const bytes = Buffer.from(`${parts.join("")}\n`);
        expect(read(bytes, max, cuts)).toEqual(read(bytes, max));
      }),
    );
  });

  it("gives each line as it was written, without its end and without blank ones", () => {
    const lines = fc.array(fc.string({ unit: "binary" }).map((text) => text.replaceAll(/[\r\n]/g, "")));
    fc.assert(
      fc.property(lines, fc.constantFrom("\n", "\r\n"), (all, newline) => {
        const bytes = Buffer.from(all.map((line) => line + newline).join(""));
        expect(read(bytes, 1_000_000)).toEqual(all.filter((line) => line !== "").map((line) => line.toWellFormed()));
      }),
    );
  });

  it.each([
    [4, ["abcd"]],
    [5, ["abcd"]],
    [3, ["abc…"]],
  ])("with a limit of %d bytes reads abcd as %j, with and without a carriage return", (max, expected) => {
    expect(read(Buffer.from("abcd\n"), max)).toEqual(expected);
    expect(read(Buffer.from("abcd\r\n"), max, [1, 4, 5])).toEqual(expected);
  });

  it("goes on with the line after one that was too long", () => {
    expect(read(Buffer.from("abcdefgh\nok\n"), 3, [2, 4, 6, 8])).toEqual(["abc…", "ok"]);
  });

  it("keeps what has no newline yet to itself", () => {
    expect(read(Buffer.from("a\nb"), 10)).toEqual(["a"]);
  });
});
