import { randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";
import { BASE62, encodeBase62 } from "./base62.ts";

/**
 * The four kinds of bearer secret. `bfk` virtual key, `bfu` user API key, `bfs` service-account key,
 * `bft` session token. (`bfx`, the one-time set-up token, has the same shape.)
 */
export type SecretKind = "bfk" | "bfu" | "bfs" | "bft" | "bfx";

const RANDOM_BYTES = 24;
const RANDOM_LENGTH = 33;
const CHECKSUM_LENGTH = 6;
const SHAPE = /^(bfk|bfu|bfs|bft|bfx)_[0-9A-Za-z]{39}$/;

/** Length of every secret in characters: `bfk_`, 33 random, 6 checksum. */
export const SECRET_LENGTH = 4 + RANDOM_LENGTH + CHECKSUM_LENGTH;

/**
 * A new secret: prefix, 192 random bits in base 62, and a CRC-32 of both in base 62. The prefix lets
 * secret scanners find leaks, the checksum lets anyone tell a typo from an unknown key offline.
 */
export function newSecret(kind: SecretKind): string {
  const body = `${kind}_${encodeBase62(randomBytes(RANDOM_BYTES), RANDOM_LENGTH)}`;
  return body + checksum(body);
}

/** The kind of a well-formed secret, or null. Says nothing about whether it was ever issued. Costs under a microsecond. */
export function secretKind(text: string): SecretKind | null {
  if (text.length !== SECRET_LENGTH || !SHAPE.test(text)) return null;
  const body = text.slice(0, -CHECKSUM_LENGTH);
  return checksum(body) === text.slice(-CHECKSUM_LENGTH) ? (text.slice(0, 3) as SecretKind) : null;
}

/** CRC-32 in six base 62 digits, by plain arithmetic: every request is checked. */
function checksum(body: string): string {
  let rest = crc32(body);
  let text = "";
  for (let i = 0; i < CHECKSUM_LENGTH; i++) {
    text = BASE62[rest % 62] + text;
    rest = Math.floor(rest / 62);
  }
  return text;
}
