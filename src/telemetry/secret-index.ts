import { SECRET_LENGTH_MIN } from "./secret-forms.ts";

/** Part of a text. */
export interface Region {
  readonly start: number;
  /** After its last character. */
  readonly end: number;
}

/** Finds any of many texts in one pass. Texts come and go at the cost of their own length. */
export interface SecretIndex {
  /** Of at least {@link SECRET_LENGTH_MIN} characters. Twice is as good as once, but needs removing twice. */
  add(pattern: string): void;
  remove(pattern: string): void;
  /** Where they are, in order, those that touch or overlap as one. A text that ends within a secret ends in a region. */
  find(text: string): Region[];
  /** Length of the longest one ever added. */
  readonly longest: number;
}

interface Pattern {
  readonly text: string;
  /** Its last character: tokens of one issuer begin alike, and end each in its own way. */
  readonly last: number;
}

const WINDOW = SECRET_LENGTH_MIN;
const BASE = 0x01000193;
/** What a character is worth when it leaves the window. */
const LEAVING = Array.from({ length: WINDOW - 1 }).reduce<number>((power) => Math.imul(power, BASE), 1);
const SLOTS = 0x10000;

/**
 * Rabin and Karp's search, over the first {@link WINDOW} characters of each pattern: their hash rolls along the text, and
 * only where it is known are the patterns of that slot compared. Unlike an automaton it takes a new pattern without being
 * built again, which matters because tokens are learned while the gateway works.
 */
export function createSecretIndex(): SecretIndex {
  const bySlot = new Map<number, Pattern[]>();
  // Asked at each character, so it must cost less than a Map.
  const used = new Uint8Array(SLOTS);
  let longest = 0;

  function endOfMatch(text: string, at: number, slot: number): number {
    let end = -1;
    for (const { text: pattern, last } of bySlot.get(slot) ?? []) {
      const after = at + pattern.length;
      if (after > text.length) {
        if (pattern.startsWith(text.slice(at))) end = text.length;
      } else if (after > end && text.charCodeAt(after - 1) === last && text.startsWith(pattern, at)) end = after;
    }
    return end;
  }

  return {
    get longest() {
      return longest;
    },
    add(pattern) {
      const slot = slotOf(pattern);
      const own = bySlot.get(slot) ?? [];
      own.push({ text: pattern, last: pattern.charCodeAt(pattern.length - 1) });
      bySlot.set(slot, own);
      used[slot] = 1;
      longest = Math.max(longest, pattern.length);
    },
    remove(pattern) {
      const slot = slotOf(pattern);
      const own = bySlot.get(slot);
      const at = own?.findIndex(({ text }) => text === pattern) ?? -1;
      if (!own || at === -1) return;
      own.splice(at, 1);
      if (own.length > 0) return;
      bySlot.delete(slot);
      used[slot] = 0;
    },
    find(text) {
      const found: Region[] = [];
      if (bySlot.size === 0 || text.length < WINDOW) return found;
      let hash = hashOf(text);
      let start = -1;
      let end = -1;
      for (let at = 0; ; at++) {
        const slot = fold(hash);
        const matched = used[slot] === 1 ? endOfMatch(text, at, slot) : -1;
        if (matched !== -1) {
          if (at > end) {
            if (end !== -1) found.push({ start, end });
            start = at;
          }
          end = Math.max(end, matched);
        }
        if (at + WINDOW >= text.length) break;
        const rest = (hash - Math.imul(text.charCodeAt(at), LEAVING)) | 0;
        hash = (Math.imul(rest, BASE) + text.charCodeAt(at + WINDOW)) | 0;
      }
      if (end !== -1) found.push({ start, end });
      return found;
    },
  };
}

function hashOf(text: string): number {
  let hash = 0;
  for (let at = 0; at < WINDOW; at++) hash = (Math.imul(hash, BASE) + text.charCodeAt(at)) | 0;
  return hash;
}

function slotOf(pattern: string): number {
  return fold(hashOf(pattern));
}

function fold(hash: number): number {
  return (hash ^ (hash >>> 16)) & (SLOTS - 1);
}
