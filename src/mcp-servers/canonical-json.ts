import { BoundedMap } from "../core/bounded-map.ts";
import type { JsonText } from "../jsonrpc/json-slice.ts";

/** Longer texts are compared as they are; no client declares so much. */
const MAX_CHARS = 4 * 1024;
const MAX_REMEMBERED = 256;

/**
 * The same text for objects that differ only in spaces and in the order of members; text that is not JSON is itself. What
 * was asked lately is remembered: the same few texts come with every call.
 */
export function createCanonicalJson(): (text: JsonText) => JsonText {
  const remembered = new BoundedMap<JsonText, JsonText>(MAX_REMEMBERED);
  return (text) => {
    if (text === "{}" || text.length > MAX_CHARS) return text;
    const known = remembered.peek(text);
    if (known !== undefined) return known;
    const canonical = canonicalText(text);
    remembered.set(text, canonical);
    return canonical;
  };
}

function canonicalText(text: JsonText): JsonText {
  try {
    return JSON.stringify(sorted(JSON.parse(text)));
  } catch {
    return text;
  }
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([name, member]) => [name, sorted(member)]));
}
