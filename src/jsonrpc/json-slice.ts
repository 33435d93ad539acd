/**
 * Reads and edits JSON text in place. A relay that parses and prints again loses what it does not model: long numbers,
 * the order of members, escapes. What is not edited here stays as it was sent, byte for byte.
 *
 * Every function takes text that JSON.parse accepts, or a range of it; anything else gives a meaningless answer, but never
 * an endless loop.
 */

/** JSON as text, unparsed. */
export type JsonText = string;

/** Where a value is: the index of its first character, and the index after its last. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** One member of an object. */
export interface Member extends Span {
  readonly name: string;
  /** Index of the quote that opens its name. */
  readonly nameStart: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/** The members of the object that begins at or after `at`, in order; none for any other value. */
export function members(text: JsonText, at = 0): Member[] {
  const found: Member[] = [];
  eachMember(text, at, (member) => void found.push(member));
  return found;
}

/**
 * Visits the members of the object that begins at or after `at`, in order, until `visit` returns true. Keeps none of them: a
 * peer may send millions.
 */
export function eachMember(text: JsonText, at: number, visit: (member: Member) => boolean | void): void {
  let next = skipSpace(text, at);
  if (text.charCodeAt(next) !== OPEN_BRACE) return;
  next = skipSpace(text, next + 1);
  while (text.charCodeAt(next) === QUOTE) {
    const nameStart = next;
    const nameEnd = endOfString(text, nameStart);
    const token = text.slice(nameStart, nameEnd);
    const name = token.includes("\\") ? String(JSON.parse(token)) : token.slice(1, -1);
    const start = skipSpace(text, skipSpace(text, nameEnd) + 1);
    const end = endOfValue(text, start);
    if (visit({ name, nameStart, start, end }) === true) return;
    next = skipSpace(text, end);
    if (text.charCodeAt(next) !== COMMA) break;
    next = skipSpace(text, next + 1);
  }
}

/** The elements of the array that begins at or after `at`, in order; none for any other value. */
export function elements(text: JsonText, at = 0): Span[] {
  const found: Span[] = [];
  let next = skipSpace(text, at);
  if (text.charCodeAt(next) !== OPEN_BRACKET) return found;
  next = skipSpace(text, next + 1);
  while (next < text.length && text.charCodeAt(next) !== CLOSE_BRACKET) {
    const end = endOfValue(text, next);
    found.push({ start: next, end });
    next = skipSpace(text, end);
    if (text.charCodeAt(next) !== COMMA) break;
    next = skipSpace(text, next + 1);
  }
  return found;
}

/** The text of one member of the object, or undefined. */
export function memberText(text: JsonText, name: string, at = 0): JsonText | undefined {
  let found: JsonText | undefined;
  eachMember(text, at, (member) => {
    if (member.name !== name) return false;
    found = text.slice(member.start, member.end);
    return true;
  });
  return found;
}

/** The object with these members set: in place where they are there, at the end where not; undefined removes. */
export function withMembers(text: JsonText, changes: Readonly<Record<string, JsonText | undefined>>): JsonText {
  const kept: string[] = [];
  const open = new Map(Object.entries(changes));
  for (const { name, nameStart, start, end } of members(text)) {
    if (!open.has(name)) kept.push(text.slice(nameStart, end));
    else {
      const value = open.get(name);
      open.delete(name);
      if (value !== undefined) kept.push(text.slice(nameStart, start) + value);
    }
  }
  for (const [name, value] of open) if (value !== undefined) kept.push(`${JSON.stringify(name)}:${value}`);
  return `{${kept.join(",")}}`;
}

/** `withMembers` one level down: the object `name` of the object, made where it is missing. */
export function withMembersIn(
  text: JsonText,
  name: string,
  changes: Readonly<Record<string, JsonText | undefined>>,
): JsonText {
  return withMembers(text, { [name]: withMembers(memberText(text, name) ?? "{}", changes) });
}

/** The value of a JSON string, or undefined for any other value. */
export function stringValue(token: JsonText | undefined): string | undefined {
  if (token === undefined || token.charCodeAt(0) !== QUOTE) return undefined;
  return token.includes("\\") ? String(JSON.parse(token)) : token.slice(1, -1);
}

/** Index after the value that begins at `start`. */
export function endOfValue(text: JsonText, start: number): number {
  const first = text.charCodeAt(start);
  if (first === QUOTE) return endOfString(text, start);
  if (first !== OPEN_BRACE && first !== OPEN_BRACKET) return endOfScalar(text, start);
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at) - 1;
    else if (code === OPEN_BRACE || code === OPEN_BRACKET) depth++;
    else if ((code === CLOSE_BRACE || code === CLOSE_BRACKET) && --depth === 0) return at + 1;
  }
  return text.length;
}

/** Index after the closing quote. Jumps from quote to quote: most strings have no escape. */
export function endOfString(text: JsonText, start: number): number {
  let quote = text.indexOf('"', start + 1);
  while (quote !== -1) {
    let backslashes = 0;
    while (text.charCodeAt(quote - 1 - backslashes) === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return quote + 1;
    quote = text.indexOf('"', quote + 1);
  }
  return text.length;
}

function endOfScalar(text: JsonText, start: number): number {
  let at = start;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === COMMA || code === CLOSE_BRACE || code === CLOSE_BRACKET || code <= 0x20) break;
    at++;
  }
  return Math.max(at, start + 1);
}

function skipSpace(text: JsonText, start: number): number {
  let at = start;
  while (at < text.length && text.charCodeAt(at) <= 0x20) at++;
  return at;
}
