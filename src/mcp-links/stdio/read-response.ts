import { isJson } from "../../jsonrpc/is-json.ts";
import type { JsonText } from "../../jsonrpc/json-slice.ts";

/** A result in one of the two spellings that nearly every server uses, without its envelope. */
export interface PlainResult {
  readonly id: number;
  readonly result: JsonText;
}

const HEAD = /^\{"jsonrpc":"2\.0","id":(0|[1-9]\d{0,14}),"result":(?=\{)/;
const TAIL = /,"jsonrpc":"2\.0","id":(0|[1-9]\d{0,14})\}$/;
const RESULT_FIRST = '{"result":';
/** Longer than any text TAIL matches. */
const TAIL_LENGTH = 48;

/**
 * Reads `{"jsonrpc":"2.0","id":N,"result":{…}}` and `{"result":{…},"jsonrpc":"2.0","id":N}` by their ends; null for all
 * else, which the general reader then looks at. A result of megabytes is parsed once, to know that it is JSON, and never
 * searched: because the part between the ends is exactly one value, the whole line is one message without further members.
 */
export function readPlainResult(line: string): PlainResult | null {
  const head = HEAD.exec(line);
  if (head !== null) return isBare(line, head[0].length, line.length - 1) ? toResult(head, line) : null;
  if (!line.startsWith(RESULT_FIRST)) return null;
  const tail = TAIL.exec(line.slice(-TAIL_LENGTH));
  if (tail === null) return null;
  const result = line.slice(RESULT_FIRST.length, line.length - tail[0].length);
  return isObject(result) ? { id: Number(tail[1]), result } : null;
}

function isBare(line: string, start: number, end: number): boolean {
  return line.charCodeAt(end) === 0x7d && end > start;
}

function toResult(head: RegExpExecArray, line: string): PlainResult | null {
  const result = line.slice(head[0].length, -1);
  return isObject(result) ? { id: Number(head[1]), result } : null;
}

function isObject(text: string): boolean {
  return text.charCodeAt(0) === 0x7b && isJson(text);
}
