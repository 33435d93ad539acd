import Table from "cli-table3";
import { createColors } from "picocolors";

/** Where a command reads and writes. Given by main, so that nothing else touches the process. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
}

export type Item = Readonly<Record<string, unknown>>;

export interface Column {
  readonly title: string;
  /** A field of the item, or a function of it. */
  readonly value: string | ((item: Item) => unknown);
}

/** Writes results: one JSON document on stdout with `--json`, else text for people. Notes always go to stderr. */
export interface Output {
  readonly json: boolean;
  list(items: readonly Item[], columns: readonly Column[], empty: string): void;
  /** All fields of one thing. */
  item(item: Item): void;
  /** A result that is only said: `data` with `--json`, else the text. */
  done(text: string, data: Item): void;
  /** Something to know that is not the result; left out with `--json`. */
  note(text: string): void;
}

export function createOutput(terminal: Terminal, json: boolean): Output {
  const { stdout, stderr } = terminal;
  const paint = createColors(hasColor(terminal, stdout));
  const paintNote = createColors(hasColor(terminal, stderr));
  const printJson = (data: unknown) => stdout.write(`${JSON.stringify(data, null, stdout.isTTY ? 2 : 0)}\n`);

  return {
    json,
    list(items, columns, empty) {
      if (json) printJson(items);
      else if (items.length === 0) stderr.write(`${paintNote.dim(empty)}\n`);
      else stdout.write(`${tableOf(items, columns, paint, widthOf(stdout))}\n`);
    },
    item(item) {
      if (json) printJson(item);
      else stdout.write(`${detailsOf(item, paint)}\n`);
    },
    done(text, data) {
      if (json) printJson(data);
      else stdout.write(`${text}\n`);
    },
    note(text) {
      if (!json) stderr.write(`${text}\n`);
    },
  };
}

/** https://no-color.org: any non-empty NO_COLOR means none; a pipe never gets any. */
export function hasColor({ env }: Terminal, stream: NodeJS.WriteStream): boolean {
  return stream.isTTY === true && !env["NO_COLOR"] && env["TERM"] !== "dumb";
}

function widthOf(stream: NodeJS.WriteStream): number {
  return stream.isTTY ? (stream.columns ?? 80) : Number.POSITIVE_INFINITY;
}

type Paint = ReturnType<typeof createColors>;

/** Below this a cell says nothing. */
const MIN_WIDTH = 8;

/** No lines but spaces: easy on the eye, and `awk` can read it. */
const BARE = {
  top: "",
  "top-mid": "",
  "top-left": "",
  "top-right": "",
  bottom: "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
  left: "",
  "left-mid": "",
  mid: "",
  "mid-mid": "",
  right: "",
  "right-mid": "",
  middle: "  ",
};

function tableOf(items: readonly Item[], columns: readonly Column[], paint: Paint, width: number): string {
  const rows = items.map((item) => columns.map((column) => cell(item, column)));
  const widths = fit(
    columns.map((column, i) => Math.max(column.title.length, ...rows.map((row) => (row[i] ?? "").length))),
    columns,
    width,
  );
  const table = new Table({
    head: columns.map((column) => paint.bold(column.title.toUpperCase())),
    chars: BARE,
    colWidths: widths,
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0, compact: true },
  });
  table.push(...rows);
  return table
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}

/** Narrows columns, the widest first, until the table fits; ids only when nothing else is left, as people copy them. */
function fit(widths: readonly number[], columns: readonly Column[], total: number): number[] {
  const fitted = [...widths];
  const available = total - 2 * (widths.length - 1);
  const isId = columns.map((column) => column.title === "id");
  while (fitted.reduce((sum, width) => sum + width, 0) > available) {
    const loose = fitted.map((width, i) => (isId[i] || width <= MIN_WIDTH ? 0 : width));
    const candidates = loose.some((width) => width > 0) ? loose : fitted;
    const widest = candidates.indexOf(Math.max(...candidates));
    if ((fitted[widest] ?? 0) <= MIN_WIDTH) break;
    fitted[widest] = (fitted[widest] ?? 0) - 1;
  }
  return fitted;
}

function cell(item: Item, { value }: Column): string {
  const shown = typeof value === "string" ? item[value] : value(item);
  // To the minute is enough in a table; all is in --json and show.
  const [, date, time] = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d):\d\d(?:\.\d+)?Z$/.exec(String(shown as string)) ?? [];
  return date === undefined ? display(shown) : `${date} ${time}Z`;
}

function detailsOf(item: Item, paint: Paint): string {
  const entries = Object.entries(item);
  const width = Math.max(...entries.map(([name]) => name.length));
  return entries
    .map(([name, value]) => `${paint.bold(name.padEnd(width))}  ${linesOf(value).join(`\n${" ".repeat(width + 2)}`)}`)
    .join("\n");
}

/** An object is a line for each field, a list of objects a line for each object. */
function linesOf(value: unknown): string[] {
  if (Array.isArray(value) && value.some(isObject)) return value.map(display);
  if (!isObject(value)) return [display(value)];
  const fields = Object.entries(value);
  return fields.length === 0 ? ["-"] : fields.map(([name, field]) => `${plain(name)} = ${display(field)}`);
}

function isObject(value: unknown): value is Item {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value as one line. What the gateway sends may come from others: control characters never reach the terminal. */
export function display(value: unknown): string {
  if (value === null || value === undefined || value === "") return "-";
  if (value === true) return "yes";
  if (value === false) return "no";
  if (Array.isArray(value)) return value.length === 0 ? "-" : value.map(display).join(", ");
  if (isObject(value)) {
    const fields = Object.entries(value).filter(([, field]) => field !== null);
    return fields.map(([name, field]) => `${plain(name)} = ${display(field)}`).join("; ");
  }
  return plain(String(value as string | number));
}

/** Text without what could steer a terminal: control characters and direction overrides (Trojan Source). */
export function plain(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, "\uFFFD");
}
