import { z } from "zod";
import { CALLER_ID } from "../core/ids.ts";

/** An id that the caller chooses. @param required the error for a missing or empty one */
export const resourceId = (required: string) =>
  z
    .string({ error: required })
    .min(1, { error: required, abort: true })
    .regex(CALLER_ID, "invalid id: use 1 to 64 characters of a-z A-Z 0-9 . _ -, starting with a letter or digit")
    .describe("Chosen by you, unique in the organization; never changes.");

/** The path parameter `id`: what is malformed is simply not found. */
export const IdParams = z.object({ id: z.string().min(1).max(128) });

export const timestamp = z.iso.datetime().describe("UTC, RFC 3339.");

export const toIso = (ms: number): string => new Date(ms).toISOString();

export const toIsoOrNull = (ms: number | null): string | null => (ms === null ? null : toIso(ms));
