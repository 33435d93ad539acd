import { compilePatterns } from "../core/path-pattern.ts";
import { elements, type JsonText, members, stringValue } from "../jsonrpc/json-slice.ts";
import type { ArgumentRule } from "../keys/model.ts";
import { canonicalDecimal } from "./decimal.ts";
import { climbs } from "./dot-segments.ts";

/** One rule, ready to be held against calls. */
export interface CompiledRule {
  /** As the grant names it, for messages. */
  readonly argument: string;
  /** @param argumentsText the `arguments` object of a call as it was sent; undefined where there is none */
  allows(argumentsText: JsonText | undefined): boolean;
}

/** A longer text is allowed by `**` alone, or where it is named literally: what a comparison costs stays bounded. */
const MAX_COMPARED = 2_048;

/**
 * Fails closed: what is missing, named twice, null, an object or an empty array is not allowed, and of an array each element
 * must be. Texts are compared as they are after JSON's escapes, code point by code point: nothing is trimmed, folded or
 * normalised. Numbers are compared as the decimals that were sent, so that no rounding makes two equal.
 */
export function compileRule({ argument, allow }: ArgumentRule): CompiledRule {
  const path = argument.split(".");
  const isAllowed = compileValues(allow);
  return { argument, allows: (text) => text !== undefined && text.startsWith("{") && meets(text, path, 0, isAllowed) };
}

function meets(
  value: JsonText,
  path: readonly string[],
  depth: number,
  isAllowed: (leaf: JsonText) => boolean,
): boolean {
  if (value.startsWith("[")) {
    const items = elements(value);
    return items.length > 0 && items.every(({ start, end }) => meets(value.slice(start, end), path, depth, isAllowed));
  }
  const name = path[depth];
  if (name === undefined) return isAllowed(value);
  const [found, ...others] = members(value).filter((member) => member.name === name);
  return (
    found !== undefined && others.length === 0 && meets(value.slice(found.start, found.end), path, depth + 1, isAllowed)
  );
}

function compileValues(allow: ArgumentRule["allow"]): (leaf: JsonText) => boolean {
  const isText = compileTexts(allow.filter((value) => typeof value === "string"));
  const numbers = new Set(allow.filter((value) => typeof value === "number").map((n) => canonicalDecimal(String(n))));
  const booleans = new Set(allow.filter((value) => typeof value === "boolean").map(String));
  return (leaf) => {
    const text = stringValue(leaf);
    if (text !== undefined) return isText(text);
    if (booleans.has(leaf)) return true;
    const decimal = canonicalDecimal(leaf);
    return decimal !== null && numbers.has(decimal);
  };
}

function compileTexts(patterns: readonly string[]): (text: string) => boolean {
  const anything = patterns.includes("**");
  const exact = new Set(patterns.filter((pattern) => !pattern.includes("*")));
  const globs = patterns.filter((pattern) => pattern.includes("*"));
  const matches = compilePatterns(globs);
  return (text) => {
    if (anything || exact.has(text)) return true;
    return globs.length > 0 && text.length <= MAX_COMPARED && !climbs(text) && matches(text);
  };
}
