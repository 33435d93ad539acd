import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createEchoMask } from "./echo-mask.ts";

const SECRET = "sk-real-4711-secret";

function maskInChunks(body: Buffer, cuts: readonly number[], secrets: readonly string[]): Buffer {
  const mask = createEchoMask(secrets)?.stream();
  if (!mask) throw new Error("no mask");
  const out: Buffer[] = [];
  let from = 0;
  for (const to of [...cuts.map((cut) => cut % (body.length + 1)).sort((a, b) => a - b), body.length]) {
    const passed = mask.push(body.subarray(from, to));
    if (passed) out.push(Buffer.from(passed));
    from = to;
  }
  const rest = mask.end();
  if (rest) out.push(rest);
  return Buffer.concat(out);
}

describe("masking an echoed credential", () => {
  it("finds it wherever the body is cut, and changes no length", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.constant(SECRET), fc.constant(SECRET.slice(0, 7)), fc.string({ maxLength: 20 })), {
          maxLength: 8,
        }),
        fc.array(fc.nat(), { maxLength: 12 }),
        (parts, cuts) => {
          const body = Buffer.from(parts.join(""));
          const masked = maskInChunks(body, cuts, [SECRET]);
          expect(masked.length).toBe(body.length);
          expect(masked.toString("latin1")).toBe(body.toString("latin1").replaceAll(SECRET, "*".repeat(SECRET.length)));
        },
      ),
    );
  });

  it("passes an event on at once when it does not end in the beginning of the secret", () => {
    const mask = createEchoMask([SECRET])?.stream();
    expect(mask?.push(Buffer.from("data: hello\n\n"))?.toString()).toBe("data: hello\n\n");
    expect(mask?.push(Buffer.from("data: sk-real"))?.toString()).toBe("data: ");
    expect(mask?.push(Buffer.from("\n\n"))?.toString()).toBe("sk-real\n\n");
  });

  it("masks header values and every form it was given", () => {
    const mask = createEchoMask([SECRET, "dXNlcjpwYXNzd29yZA=="]);
    expect(mask?.text(`Bearer ${SECRET}; Basic dXNlcjpwYXNzd29yZA==`)).toBe(
      `Bearer ${"*".repeat(19)}; Basic ${"*".repeat(20)}`,
    );
  });

  it("does not change the chunk that the parser owns", () => {
    const chunk = Buffer.from(`x ${SECRET} y`);
    createEchoMask([SECRET])?.stream().push(chunk);
    expect(chunk.toString()).toContain(SECRET);
  });

  it("leaves short secrets alone: they would match by chance", () => {
    expect(createEchoMask(["short"])).toBeNull();
  });
});
