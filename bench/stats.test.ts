import { expect, test } from "vitest";
import { memoryTrend, median, pairedDifference, pairedRatio, percentile } from "./stats.ts";

test("the median of an even number of values lies between the two in the middle", () => {
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([3, 1, 2])).toBe(2);
  expect(median([])).toBeNaN();
});

test("a percentile is a value that was measured", () => {
  const values = Array.from({ length: 100 }, (_, index) => index + 1);
  expect(percentile(values, 0.99)).toBe(99);
  expect(percentile(values, 0.5)).toBe(50);
  expect(percentile([7], 0.99)).toBe(7);
});

test("ratios and differences are taken within a round, not between medians", () => {
  expect(pairedRatio([10, 40, 90], [10, 20, 30])).toBe(2);
  expect(pairedDifference([5, 9, 100], [4, 7, 97])).toBe(2);
  expect(pairedRatio([1, 2], [2])).toBe(0.5);
});

test("memory is flat when its end is no higher than its start after warm-up, and a leak is seen", () => {
  const warm = [50, 70, 100, 100, 101, 100, 99, 100, 101, 100];
  expect(memoryTrend(warm).flat).toBe(true);
  expect(memoryTrend(warm.map((value, index) => value + 10 * index)).flat).toBe(false);
});
