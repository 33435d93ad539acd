/**
 * Replaces every appearance of a secret in a response by asterisks of the same length, so that no length
 * header becomes wrong. An upstream that echoes requests (an error page, a debug endpoint) would
 * otherwise hand the real credential to the agent.
 */
export interface EchoMask {
  /** For header and trailer values. */
  text(value: string): string;
  /** A fresh masker for one body. Fixed memory: it never holds back more than the longest secret. */
  stream(): BodyMask;
}

export interface BodyMask {
  /**
   * What can be passed on now. Holds back only a tail that could be the beginning of a secret, so an
   * event of a stream is not delayed unless it ends in one. Null: nothing yet.
   */
  push(chunk: Buffer): Buffer | null;
  /** What is left at the end of the body. */
  end(): Buffer | null;
}

/** Shorter texts appear in bodies by chance, and masking them would give them away by their absence. */
const MIN_LENGTH = 8;
const ASTERISK = 0x2a;

/** Null when none of the texts is long enough to be looked for. */
export function createEchoMask(secrets: readonly string[]): EchoMask | null {
  const wanted = [...new Set(secrets)].filter((secret) => Buffer.byteLength(secret) >= MIN_LENGTH);
  if (wanted.length === 0) return null;
  // Longest first: where one secret contains another, all of it goes.
  const needles = wanted.map((secret) => Buffer.from(secret)).sort((a, b) => b.length - a.length);
  return {
    text(value) {
      let masked = value;
      for (const secret of wanted) {
        if (masked.includes(secret)) masked = masked.replaceAll(secret, "*".repeat(secret.length));
      }
      return masked;
    },
    stream: () => createBodyMask(needles),
  };
}

function createBodyMask(needles: readonly Buffer[]): BodyMask {
  let held: Buffer | null = null;
  return {
    push(chunk) {
      // Copied before it is changed: the chunk belongs to the parser.
      let data = held === null ? chunk : Buffer.concat([held, chunk]);
      for (const needle of needles) {
        let at = data.indexOf(needle);
        if (at !== -1 && data === chunk) data = Buffer.from(chunk);
        for (; at !== -1; at = data.indexOf(needle, at + needle.length)) data.fill(ASTERISK, at, at + needle.length);
      }
      const keep = Math.max(...needles.map((needle) => openTail(data, needle)));
      held = keep === 0 ? null : Buffer.from(data.subarray(data.length - keep));
      return keep === data.length ? null : data.subarray(0, data.length - keep);
    },
    end() {
      const rest = held;
      held = null;
      return rest;
    },
  };
}

/** Length of the longest end of `data` that is a beginning of `needle`, but not all of it. */
function openTail(data: Buffer, needle: Buffer): number {
  const longest = Math.min(needle.length - 1, data.length);
  const first = needle[0];
  for (let start = data.length - longest; start < data.length; start++) {
    if (data[start] !== first) continue;
    const length = data.length - start;
    if (data.compare(needle, 0, length, start) === 0) return length;
  }
  return 0;
}
