import { z } from "zod";
import { parseDurationMs } from "../core/duration.ts";

const MAX_SECONDS = 30 * 86_400;
const DIGITS = /^-?\d{1,15}$/;

export interface SecondsRule {
  /** Smallest number of seconds. */
  readonly min: number;
  /** Numbers below the minimum that mean something of their own, such as -1 for off. */
  readonly special?: readonly number[];
  /** Whether "none" is accepted; it is Infinity until {@link limitMs}. */
  readonly none?: boolean;
}

/**
 * Seconds as a whole number, or a duration text; milliseconds in the program (a special number times 1000). Digits in
 * a text count as a number, since that is what `${NAME}` gives.
 */
export function seconds(rule: SecondsRule) {
  const { min, special = [], none = false } = rule;
  const toMs = (value: unknown): number | null => {
    if (none && value === "none") return Number.POSITIVE_INFINITY;
    if (typeof value === "string" && !DIGITS.test(value)) return parseDurationMs(value);
    const number = Number(value);
    return typeof value === "boolean" || !Number.isSafeInteger(number) ? null : number * 1_000;
  };
  const flaw = (value: unknown): string | null => {
    const ms = toMs(value);
    if (ms === null) return "not a time";
    if ((none && value === "none") || special.includes(ms / 1_000)) return null;
    return ms < min * 1_000 ? `below ${min} s` : ms > MAX_SECONDS * 1_000 ? "above 30 days" : null;
  };
  const lowest = Math.min(min, ...special);
  return z
    .union(
      [
        z
          .int()
          .min(lowest, { error: `below ${min} s` })
          .max(MAX_SECONDS, { error: "above 30 days" }),
        z.string(),
      ],
      {
        error: ({ input }) =>
          (typeof input === "number" || typeof input === "string" ? flaw(input) : null) ?? "not a time",
      },
    )
    .check((ctx) => {
      const message = flaw(ctx.value);
      if (message !== null) ctx.issues.push({ code: "custom", message, input: ctx.value });
    })
    .transform((value) => toMs(value) ?? 0);
}

/** A time limit as the program knows it: 0 for none. */
export function limitMs(ms: number): number {
  return Number.isFinite(ms) ? ms : 0;
}

/** How {@link seconds} is written, for problem texts and documentation. */
export function secondsTake({ min, none = false }: SecondsRule): string {
  return `a whole number of seconds from ${min} up, or a duration such as "90s" or "6h"${none ? ', or "none" for no limit' : ""}`;
}

/** A whole number between two bounds; digits in a text count, since that is what `${NAME}` gives. */
export function wholeNumber(min: number, max: number) {
  const flaw = (value: unknown): string | null => {
    const isNumber = typeof value === "number" || (typeof value === "string" && DIGITS.test(value));
    if (!isNumber || !Number.isSafeInteger(Number(value))) return "not a whole number";
    return Number(value) < min ? `below ${min}` : Number(value) > max ? `above ${max}` : null;
  };
  return z
    .union(
      [
        z
          .int()
          .min(min, { error: `below ${min}` })
          .max(max, { error: `above ${max}` }),
        z.string(),
      ],
      { error: ({ input }) => flaw(input) ?? "not a whole number" },
    )
    .check((ctx) => {
      const message = flaw(ctx.value);
      if (message !== null) ctx.issues.push({ code: "custom", message, input: ctx.value });
    })
    .transform(Number);
}
