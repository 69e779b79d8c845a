import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type BucketCount,
  bucketOf,
  durationOf,
  mergeHistograms,
  quantileMs,
} from "../../../src/trace-index/histogram.ts";

const histogramOf = (durations: readonly number[]): BucketCount[] =>
  mergeHistograms(durations.map((duration) => [[bucketOf(duration), 1]]));

const duration = fc.oneof(fc.integer({ min: 1, max: 2_000 }), fc.integer({ min: 1, max: 86_400_000 }));
const durations = fc.array(duration, { minLength: 1, maxLength: 200 });

test.each([
  { value: Number.NaN, stands: 1 },
  { value: -5, stands: 1 },
  { value: 0, stands: 1 },
  { value: 1, stands: 1 },
  { value: 100, stands: 100 },
  { value: 1_000, stands: 1_000 },
  { value: Number.POSITIVE_INFINITY, stands: 86_400_000 },
])("$value ms stands as about $stands ms", ({ value, stands }) => {
  expect(Math.abs(durationOf(bucketOf(value)) - stands)).toBeLessThanOrEqual(stands * 0.04);
});

describe("for any durations", () => {
  test("a quantile is off by 2 % at most, besides rounding", () => {
    fc.assert(
      fc.property(durations, fc.double({ min: 0.001, max: 1, noNaN: true }), (all, quantile) => {
        const exact =
          all.toSorted((a, b) => a - b)[Math.max(0, Math.ceil(quantile * all.length - 1e-9) - 1)] ?? Number.NaN;
        const told = quantileMs(histogramOf(all), quantile) ?? Number.NaN;
        expect(Math.abs(told - exact)).toBeLessThanOrEqual(exact * 0.02 + 0.5);
      }),
    );
  });

  test("a larger quantile is never smaller", () => {
    fc.assert(
      fc.property(durations, (all) => {
        const told = [0.1, 0.5, 0.9, 0.95, 0.99, 1].map((quantile) => quantileMs(histogramOf(all), quantile) ?? 0);
        expect(told).toEqual(told.toSorted((a, b) => a - b));
      }),
    );
  });

  test("merging parts in any order is the same as counting all at once", () => {
    fc.assert(
      fc.property(fc.array(durations, { maxLength: 6 }), (parts) => {
        const whole = histogramOf(parts.flat());
        expect(mergeHistograms(parts.map(histogramOf))).toEqual(whole);
        expect(mergeHistograms(parts.map(histogramOf).toReversed())).toEqual(whole);
      }),
    );
  });
});

test("without a count there is no quantile", () => {
  expect(quantileMs([], 0.5)).toBeNull();
  expect(quantileMs([[3, 0]], 0.5)).toBeNull();
});
