/** How deep the description goes; below it values are named by their type only. */
const MAX_DEPTH = 32;
/** Objects used as maps have a member per entry: a description as long as the payload would defeat its purpose. */
const MAX_MEMBERS = 100;
const PREVIEW_BYTES = 500;

/**
 * The structure of a JSON value without its values: each leaf is the name of its type, and the first element stands for all
 * of an array. An object with very many members shows the first ones, and how many more there are under `...`.
 */
export function describeShape(value: unknown, depth = 0): unknown {
  if (value === null) return "null";
  if (typeof value !== "object") return typeof value;
  if (depth >= MAX_DEPTH) return Array.isArray(value) ? "array" : "object";
  if (Array.isArray(value)) return value.length === 0 ? [] : [describeShape(value[0], depth + 1)];
  const entries = Object.entries(value);
  const shown = entries.slice(0, MAX_MEMBERS).map(([name, member]) => [name, describeShape(member, depth + 1)]);
  if (entries.length > MAX_MEMBERS) shown.push(["...", `${entries.length - MAX_MEMBERS} more`]);
  return Object.fromEntries(shown);
}

/** The first 500 bytes, without half a character at their end, and an ellipsis where there is more. */
export function preview(text: string): string {
  const bytes = Buffer.from(text.slice(0, PREVIEW_BYTES), "utf8");
  if (bytes.length <= PREVIEW_BYTES && text.length <= PREVIEW_BYTES) return text;
  let end = Math.min(bytes.length, PREVIEW_BYTES);
  // A byte 10xxxxxx continues a character (RFC 3629 §3); one that begins at `end` is left out whole.
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return `${bytes.toString("utf8", 0, end)}...`;
}
