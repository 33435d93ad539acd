const NEWLINE = 0x0a;
const RETURN = 0x0d;

/** Takes bytes as they come. */
export type LineReader = (chunk: Buffer) => void;

/**
 * Splits bytes into lines, at `\n` or `\r\n`, and decodes each as UTF-8 when it is whole, so that no character is ever cut
 * in two. Blank lines are left out. What follows the last newline is held back and never more than `maxBytes` of it.
 *
 * @param onTooLong gets the first `maxBytes` of a line that is longer; the rest of that line is dropped
 */
export function createLineReader(
  maxBytes: number,
  onLine: (line: string) => void,
  onTooLong: (start: string) => void,
): LineReader {
  let held: Buffer[] = [];
  let heldBytes = 0;
  let isDropping = false;

  const endLine = (last: Buffer): void => {
    if (isDropping) {
      isDropping = false;
      return;
    }
    const line = held.length === 0 ? last : Buffer.concat([...held, last]);
    held = [];
    heldBytes = 0;
    const end = line.length > 0 && line[line.length - 1] === RETURN ? line.length - 1 : line.length;
    if (end > maxBytes) onTooLong(line.toString("utf8", 0, maxBytes));
    else if (end > 0) onLine(line.toString("utf8", 0, end));
  };

  const hold = (part: Buffer): void => {
    if (isDropping || part.length === 0) return;
    held.push(part);
    heldBytes += part.length;
    // One more than the limit may still be the `\r` of a line that fits.
    if (heldBytes <= maxBytes + 1) return;
    const start = Buffer.concat(held).toString("utf8", 0, maxBytes);
    held = [];
    heldBytes = 0;
    isDropping = true;
    onTooLong(start);
  };

  return function readLines(chunk) {
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, from)) {
      endLine(chunk.subarray(from, at));
      from = at + 1;
    }
    hold(chunk.subarray(from));
  };
}
