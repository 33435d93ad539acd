import { BoundedMap } from "../core/bounded-map.ts";
import { secretKind, SECRET_LENGTH } from "../core/secret.ts";
import { createSecretIndex, type Region } from "./secret-index.ts";
import { secretForms } from "./secret-forms.ts";

/** Takes secrets out of what is written down, by their exact value. */
export interface Redactor {
  /** A secret of the configuration, for as long as the gateway runs. Shorter than 8 characters: not looked for. */
  keep(secret: string): void;
  /** One that came up while it runs, such as a fetched token. The latest {@link LEARNED_MAX} are known. */
  learn(secret: string): void;
  /**
   * The text with {@link REDACTED} for each secret, in any of its {@link secretForms}, for everything that has the form and
   * checksum of one of the gateway's own keys, and for what the gateway sealed, such as ids of sessions. Linear in the
   * length of the text.
   */
  redact(text: string): string;
  /** The same for the first `length` characters, with a secret that the end would cut taken out whole. */
  redactHead(text: string, length: number): string;
}

/** Safe within a string of JSON. */
export const REDACTED = "[REDACTED]";
/** Tokens of one issuer begin alike, and where that beginning turns up each is compared. */
export const LEARNED_MAX = 256;
/** Longer ones are known by their beginning, so that what is looked at beyond a preview's end stays bounded. */
const PATTERN_MAX = 4_096;

export function createRedactor(): Redactor {
  const index = createSecretIndex();
  const kept = new Set<string>();
  const learned = new BoundedMap<string, readonly string[]>(LEARNED_MAX);

  function formsOf(secret: string): readonly string[] {
    return secretForms(secret).map((form) => form.slice(0, PATTERN_MAX));
  }

  /** The secrets of the text, in order and apart from each other. */
  function regionsIn(text: string): Region[] {
    const ours = [...ownKeys(text), ...sealed(text)];
    const known = index.find(text);
    return ours.length === 0 ? known : merged([...known, ...ours]);
  }

  function without(text: string, regions: readonly Region[], length: number): string {
    let done = "";
    let from = 0;
    for (const { start, end } of regions) {
      if (start >= length) break;
      done += text.slice(from, start) + REDACTED;
      from = end;
    }
    return done + text.slice(from, Math.max(from, length));
  }

  function redact(text: string): string {
    const regions = regionsIn(text);
    return regions.length === 0 ? text : without(text, regions, text.length);
  }

  return {
    keep(secret) {
      if (kept.has(secret)) return;
      kept.add(secret);
      for (const form of formsOf(secret)) index.add(form);
    },
    learn(secret) {
      if (kept.has(secret) || learned.get(secret) !== undefined) return;
      const forms = formsOf(secret);
      for (const form of forms) index.add(form);
      const forgotten = learned.set(secret, forms);
      for (const form of forgotten?.[1] ?? []) index.remove(form);
    },
    redact,
    redactHead(text, length) {
      if (text.length <= length) return redact(text);
      const seen = text.slice(0, length + Math.max(index.longest, SECRET_LENGTH));
      return without(seen, regionsIn(seen), length);
    },
  };
}

/** Where keys of this gateway are, known by prefix and checksum; at the end of the text also the beginning of one. */
function ownKeys(text: string): Region[] {
  const found: Region[] = [];
  for (let at = text.indexOf("bf"); at !== -1; at = text.indexOf("bf", at + 2)) {
    const candidate = text.slice(at, at + SECRET_LENGTH);
    const isOne =
      candidate.length === SECRET_LENGTH
        ? secretKind(candidate) !== null
        : /^bf[kustx]_[0-9A-Za-z]{4,}$/.test(candidate);
    if (isOne) found.push({ start: at, end: at + candidate.length });
  }
  return found;
}

/** What a keyring sealed: `v1.<key id>.<nonce>.<ciphertext and tag>` (vault/keyring.ts). */
function sealed(text: string): Region[] {
  const found: Region[] = [];
  for (let at = text.indexOf("v1."); at !== -1; at = text.indexOf("v1.", at + 3)) {
    SEALED.lastIndex = at;
    if (SEALED.test(text)) found.push({ start: at, end: SEALED.lastIndex });
  }
  return found;
}

const SEALED = /v1\.[A-Za-z0-9_-]{4,32}\.[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]{4,}/y;

function merged(regions: Region[]): Region[] {
  const found: Region[] = [];
  for (const region of regions.sort((a, b) => a.start - b.start)) {
    const last = found.at(-1);
    if (last && region.start <= last.end)
      found[found.length - 1] = { start: last.start, end: Math.max(last.end, region.end) };
    else found.push(region);
  }
  return found;
}
