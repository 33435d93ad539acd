/** Middle value, or the mean of the two in the middle. NaN for an empty list. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle];
  if (upper === undefined) return Number.NaN;
  const lower = sorted[middle - 1];
  return sorted.length % 2 === 1 || lower === undefined ? upper : (lower + upper) / 2;
}

/** Nearest-rank percentile, `share` from 0 to 1. NaN for an empty list. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

/**
 * Median over the rounds of a[i] / b[i]. Both were measured within seconds of each other, so what slows the
 * whole machine for a while falls out. NaN without a common round.
 */
export function pairedRatio(a: readonly number[], b: readonly number[]): number {
  return median(paired(a, b).map(([x, y]) => x / y));
}

/** Median over the rounds of a[i] - b[i]. */
export function pairedDifference(a: readonly number[], b: readonly number[]): number {
  return median(paired(a, b).map(([x, y]) => x - y));
}

function paired(a: readonly number[], b: readonly number[]): [number, number][] {
  return a.flatMap((x, index): [number, number][] => {
    const y = b[index];
    return y === undefined ? [] : [[x, y]];
  });
}

/** How memory went during a soak. `flat`: the last fifth is at most 5 % above the second fifth (the first is warm-up). */
export function memoryTrend(samplesMib: readonly number[]): { early: number; late: number; flat: boolean } {
  const fifth = Math.max(1, Math.floor(samplesMib.length / 5));
  const early = median(samplesMib.slice(fifth, 2 * fifth));
  const late = median(samplesMib.slice(-fifth));
  return { early, late, flat: late <= early * 1.05 };
}
