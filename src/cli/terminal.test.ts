import { PassThrough } from "node:stream";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createOutput, plain, type Terminal } from "./terminal.ts";

function fakeTerminal({
  isTTY = false,
  columns = 80,
  env = {},
}: { isTTY?: boolean; columns?: number; env?: Record<string, string> } = {}) {
  const open = () => Object.assign(new PassThrough(), { isTTY, columns });
  const [stdout, stderr] = [open(), open()];
  const terminal = { env, stdin: open(), stdout, stderr } as unknown as Terminal;
  return { terminal, out: () => String(stdout.read() ?? ""), err: () => String(stderr.read() ?? "") };
}

const COLUMNS = [
  { title: "id", value: "id" },
  { title: "note", value: "note" },
];

describe("results of commands", () => {
  it("are one JSON document on stdout with --json, and nothing else is written", () => {
    const { terminal, out, err } = fakeTerminal();
    const output = createOutput(terminal, true);
    output.list([{ id: "a", note: null }], COLUMNS, "None.");
    output.note("by the way");
    expect(JSON.parse(out())).toEqual([{ id: "a", note: null }]);
    expect(err()).toBe("");
  });

  it("are an empty list, not a sentence, with --json", () => {
    const { terminal, out } = fakeTerminal();
    createOutput(terminal, true).list([], COLUMNS, "None.");
    expect(JSON.parse(out())).toEqual([]);
  });

  it("are plain columns without colours in a pipe", () => {
    const { terminal, out } = fakeTerminal();
    createOutput(terminal, false).list(
      [
        { id: "a", note: ["x", "y"] },
        { id: "bcd", note: true },
      ],
      COLUMNS,
      "None.",
    );
    expect(out()).toBe("ID   NOTE\na    x, y\nbcd  yes\n");
  });

  it("have no colours where NO_COLOR is set", () => {
    const { terminal, out } = fakeTerminal({ isTTY: true, env: { NO_COLOR: "1" } });
    createOutput(terminal, false).item({ id: "a" });
    expect(out()).toBe("id  a\n");
  });

  it("never are wider than the terminal", () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ maxLength: 200 }), { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 40, max: 200 }),
        (notes, columns) => {
          const { terminal, out } = fakeTerminal({ isTTY: true, columns, env: { NO_COLOR: "1" } });
          createOutput(terminal, false).list(
            notes.map((note, i) => ({ id: `id-${i}`, note })),
            COLUMNS,
            "None.",
          );
          const widest = Math.max(
            ...out()
              .split("\n")
              .map((line) => line.length),
          );
          expect(widest).toBeLessThanOrEqual(columns);
        },
      ),
    );
  });

  it("cannot steer the terminal, whatever the gateway sends", () => {
    const { terminal, out } = fakeTerminal();
    createOutput(terminal, false).list([{ id: "\u001b]0;owned\u0007\u001b[2J", note: "a\nb\u202e" }], COLUMNS, "None.");
    expect(out()).not.toMatch(/[\u001b\u0007\u202e]/);
    expect(plain("a\r\nb")).toBe("a\uFFFD\uFFFDb");
  });
});
