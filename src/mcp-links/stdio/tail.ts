const MAX_LINES = 20;
const MAX_LINE_CHARACTERS = 500;
/** Shorter values (`1`, `true`, `debug`) occur in any text, and are no secrets. */
const MIN_SECRET_LENGTH = 6;

/** The last lines that a process wrote, for the operator who wants to know why it ended. */
export interface Tail {
  add(line: string): void;
  /** "" or the lines, each on its own, after a line break. */
  text(): string;
  /** "" or the last line that is not empty. */
  last(): string;
}

/** @param secrets values that are replaced where they occur: the variables the process was given, say */
export function createTail(secrets: readonly string[]): Tail {
  const hidden = secrets.filter((value) => value.length >= MIN_SECRET_LENGTH).toSorted((a, b) => b.length - a.length);
  const lines: string[] = [];
  return {
    add(line) {
      lines.push(
        hidden.reduce((text, value) => text.replaceAll(value, "[redacted]"), line).slice(0, MAX_LINE_CHARACTERS),
      );
      if (lines.length > MAX_LINES) lines.shift();
    },
    text: () => lines.map((line) => `\n  ${line}`).join(""),
    last: () => lines.findLast((line) => line.trim() !== "")?.trim() ?? "",
  };
}
