const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/** Up to here JSON.parse is the faster check, and what it builds is small enough. In UTF-16 units. */
const PARSED_UP_TO = 128 * 1024;
/** Deeper nesting than any message has; it is refused in long texts. */
const MAX_DEPTH = 1_000;

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})/y;

/**
 * Whether a text is one JSON value (RFC 8259), as JSON.parse has it. A long text is only looked at, not built: of 16 MiB of
 * empty objects JSON.parse makes 400 MiB of memory and takes seconds, so that one answer of a hostile server could end the
 * process. Long texts that nest deeper than 1,000 levels count as none.
 *
 * @param parsedUpTo length up to which the text is parsed instead
 */
export function isJson(text: string, parsedUpTo = PARSED_UP_TO): boolean {
  if (text.length > parsedUpTo) return isOneValue(text);
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function isOneValue(text: string): boolean {
  /** 1 for each open object, 0 for each open array. */
  const open = new Uint8Array(MAX_DEPTH);
  let depth = 0;
  let at = skipSpace(text, 0);
  while (true) {
    const first = text.charCodeAt(at);
    if (first === OPEN_BRACE || first === OPEN_BRACKET) {
      const isObject = first === OPEN_BRACE;
      at = skipSpace(text, at + 1);
      if (text.charCodeAt(at) !== (isObject ? CLOSE_BRACE : CLOSE_BRACKET)) {
        if (depth === MAX_DEPTH) return false;
        open[depth++] = isObject ? 1 : 0;
        if (isObject) at = afterName(text, at);
        if (at === -1) return false;
        continue;
      }
      at++;
    } else {
      at = afterScalar(text, at, first);
      if (at === -1) return false;
    }
    // A value has ended: close what ends with it, up to the next value.
    while (true) {
      at = skipSpace(text, at);
      if (depth === 0) return at === text.length;
      const isObject = open[depth - 1] === 1;
      const next = text.charCodeAt(at);
      if (next === COMMA) {
        at = skipSpace(text, at + 1);
        if (isObject) at = afterName(text, at);
        if (at === -1) return false;
        break;
      }
      if (next !== (isObject ? CLOSE_BRACE : CLOSE_BRACKET)) return false;
      depth--;
      at++;
    }
  }
}

/** Index of the value after a name and its colon, or -1. */
function afterName(text: string, start: number): number {
  if (text.charCodeAt(start) !== QUOTE) return -1;
  const end = afterString(text, start);
  if (end === -1) return -1;
  const colon = skipSpace(text, end);
  return text.charCodeAt(colon) === COLON ? skipSpace(text, colon + 1) : -1;
}

/** Index after a string, number, `true`, `false` or `null`, or -1. */
function afterScalar(text: string, start: number, first: number): number {
  if (first === QUOTE) return afterString(text, start);
  for (const word of ["true", "false", "null"]) if (text.startsWith(word, start)) return start + word.length;
  NUMBER.lastIndex = start;
  return NUMBER.test(text) ? NUMBER.lastIndex : -1;
}

function afterString(text: string, start: number): number {
  for (let at = start + 1; at < text.length;) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) return at + 1;
    if (code < 0x20) return -1;
    if (code === BACKSLASH) {
      ESCAPE.lastIndex = at;
      if (!ESCAPE.test(text)) return -1;
      at = ESCAPE.lastIndex;
    } else at++;
  }
  return -1;
}

function skipSpace(text: string, start: number): number {
  let at = start;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) break;
    at++;
  }
  return at;
}
