import { z } from "zod";
import { CALLER_ID } from "../core/ids.ts";

/** A person's or thing's display name: no control characters, so that tables and logs stay readable. */
export const displayName = (error?: string) =>
  z
    .string(error === undefined ? undefined : { error })
    .trim()
    .min(1, error)
    .max(200)
    .regex(/^\P{Cc}*$/u, "no control characters");

/** Stored in lower case, so that one address cannot be registered twice in two spellings. */
export const emailAddress = (error?: string) =>
  z
    .string(error === undefined ? undefined : { error })
    .trim()
    .min(1, error)
    .max(254)
    .toLowerCase()
    .pipe(z.email("invalid email"));

export const callerId = z
  .string()
  .regex(CALLER_ID, "1 to 64 characters of a-z A-Z 0-9 . _ -, starting with a letter or digit");

/** Path parameter of anything: what is malformed is simply not found. */
export const pathId = z.string().min(1).max(128);

export const Ttl = z.string().max(64).optional().describe("Life of the token, such as `30m` or `12h`.");

/** The only replies that ever show these two secrets. */
export const apiKeyOnce = z.string().describe("Shown once: only its keyed hash is kept.");
export const sessionTokenOnce = z.string().describe("Session token for `Authorization: Bearer`. Shown once.");
