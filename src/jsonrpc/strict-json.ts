/** Why a text was refused, in words for the client. Never quotes the text: it may hold secrets. */
export class JsonRefused extends Error {
  override readonly name = "JsonRefused";
}

/**
 * JSON as RFC 8259 means it to be exchanged: like JSON.parse, but a name that occurs twice in an object, an invalid UTF-8
 * sequence and nesting deeper than `maxDepth` are errors. Two readers of a duplicate name may see different values, so a
 * check made by one would not bind the other (RFC 8259 §4).
 *
 * @throws JsonRefused
 */
export function parseStrictJson(bytes: Uint8Array, maxDepth: number): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new JsonRefused("the body is not valid UTF-8");
  }
  // Before JSON.parse, so that its recursion is bounded too.
  checkDepth(text, maxDepth);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new JsonRefused("the body is not valid JSON");
  }
  checkNames(text);
  return value;
}

function checkDepth(text: string, maxDepth: number): void {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '"') at = endOfString(text, at);
    else if (character === "{" || character === "[") depth++;
    else if (character === "}" || character === "]") depth--;
    if (depth > maxDepth) throw new JsonRefused(`the body is nested deeper than ${maxDepth} levels`);
  }
}

/** Only for text that JSON.parse accepted: it tells names from values by the colon that follows a name. */
function checkNames(text: string): void {
  const open: (Set<string> | null)[] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === "{") open.push(new Set());
    else if (character === "[") open.push(null);
    else if (character === "}" || character === "]") open.pop();
    else if (character === '"') {
      const end = endOfString(text, at);
      const names = open.at(-1);
      if (names && isName(text, end)) addName(names, text.slice(at, end + 1));
      at = end;
    }
  }
}

function isName(text: string, endOfToken: number): boolean {
  let next = endOfToken + 1;
  while (text[next] === " " || text[next] === "\t" || text[next] === "\n" || text[next] === "\r") next++;
  return text[next] === ":";
}

function addName(names: Set<string>, token: string): void {
  // "a" and "\u0061" are the same name.
  const name = token.includes("\\") ? String(JSON.parse(token)) : token.slice(1, -1);
  if (names.has(name)) throw new JsonRefused("an object of the body names the same member twice");
  names.add(name);
}

/** Index of the closing quote, or of the last character where there is none. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const character = text[at];
    if (character === "\\") at++;
    else if (character === '"') return at;
  }
  return text.length - 1;
}
