const UNITS_MS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const WHOLE = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/;

/**
 * Milliseconds of a duration text: one or more numbers with a unit `ms`, `s`, `m`, `h` or `d`, such as
 * `30m`, `1h30m` or `7d`. Null for anything else, for zero, and for more than a hundred years.
 */
export function parseDurationMs(text: string): number | null {
  if (text.length > 64 || !WHOLE.test(text)) return null;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
    total += Number(amount) * (UNITS_MS[unit ?? ""] ?? Number.NaN);
  }
  const rounded = Math.round(total);
  return rounded > 0 && rounded <= 100 * 365 * 86_400_000 ? rounded : null;
}
