import { isUtf8 } from "node:buffer";
import { isJson } from "./is-json.ts";
import { endOfString, type JsonText } from "./json-slice.ts";

const QUOTE = 0x22;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/** Why a text was refused, in words for the client. Never quotes the text: it may hold secrets. */
export class JsonRefused extends Error {
  override readonly name = "JsonRefused";
}

/**
 * The text of bytes that are JSON as RFC 8259 means it to be exchanged: as JSON.parse takes it, but a name that occurs twice
 * in an object, an invalid UTF-8 sequence and nesting deeper than `maxDepth` are errors. Two readers of a duplicate name may
 * see different values, so a check made by one would not bind the other (RFC 8259 §4).
 *
 * @throws JsonRefused
 */
export function readStrictJson(bytes: Uint8Array, maxDepth: number): JsonText {
  if (!isUtf8(bytes)) throw new JsonRefused("the body is not valid UTF-8");
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
  checkStructure(text, maxDepth);
  if (!isJson(text)) throw new JsonRefused("the body is not valid JSON");
  return text;
}

/** One pass over the text, from string to string. Of what is not JSON it may say anything but never runs on. */
function checkStructure(text: JsonText, maxDepth: number): void {
  // Names of each open object; null for an array.
  const open: (Set<string> | null)[] = [];
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case OPEN_BRACE:
        open.push(new Set());
        break;
      case OPEN_BRACKET:
        open.push(null);
        break;
      case CLOSE_BRACE:
      case CLOSE_BRACKET:
        open.pop();
        continue;
      case QUOTE: {
        const end = endOfString(text, at);
        const names = open.at(-1);
        if (names && isName(text, end)) addName(names, text.slice(at, end));
        at = end - 1;
        continue;
      }
      default:
        continue;
    }
    if (open.length > maxDepth) throw new JsonRefused(`the body is nested deeper than ${maxDepth} levels`);
  }
}

/** A string before a colon is a name. */
function isName(text: JsonText, endOfToken: number): boolean {
  let next = endOfToken;
  while (text.charCodeAt(next) <= 0x20) next++;
  return text.charCodeAt(next) === COLON;
}

function addName(names: Set<string>, token: string): void {
  // "a" and "\u0061" are the same name.
  const name = token.includes("\\") ? unescaped(token) : token.slice(1, -1);
  if (names.has(name)) throw new JsonRefused("an object of the body names the same member twice");
  names.add(name);
}

function unescaped(token: string): string {
  try {
    return String(JSON.parse(token));
  } catch {
    throw new JsonRefused("the body is not valid JSON");
  }
}
