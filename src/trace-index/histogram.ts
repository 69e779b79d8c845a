/**
 * Durations in logarithmic buckets.
 *
 * Pure. Counts of two histograms are added bucket by bucket, so days and slots merge in any order, and SQL can do it.
 * Neighbouring buckets differ by 4 %, so a quantile is off by 2 % at most, besides rounding to whole milliseconds.
 */

/** A bucket's number and how many durations fell into it. */
export type BucketCount = readonly [bucket: number, count: number];

const GROWTH = 1.04;
const LOG_GROWTH = Math.log(GROWTH);
const MAX_MS = 86_400_000;
const LAST_BUCKET = Math.floor(Math.log(MAX_MS) / LOG_GROWTH);

/** The bucket of a duration in ms. Up to 1 ms and no number at all: the first; above a day: the last. */
export function bucketOf(durationMs: number): number {
  if (!(durationMs > 1)) return 0;
  return Math.min(LAST_BUCKET, Math.floor(Math.log(durationMs) / LOG_GROWTH));
}

/** The duration a bucket stands for: its middle, in whole ms. */
export function durationOf(bucket: number): number {
  return Math.round(GROWTH ** (bucket + 0.5));
}

/** The sum of histograms, by rising bucket. */
export function mergeHistograms(histograms: Iterable<readonly BucketCount[]>): BucketCount[] {
  const counts = new Map<number, number>();
  for (const histogram of histograms) {
    for (const [bucket, count] of histogram) counts.set(bucket, (counts.get(bucket) ?? 0) + count);
  }
  return [...counts].sort(([a], [b]) => a - b);
}

/** The duration in ms that a share of `quantile` (above 0, at most 1) does not exceed; `null` without a count. */
export function quantileMs(histogram: readonly BucketCount[], quantile: number): number | null {
  const rising = [...histogram].sort(([a], [b]) => a - b);
  const total = rising.reduce((sum, [, count]) => sum + count, 0);
  if (total === 0) return null;
  // Products of fractions miss a whole number by a hair.
  const rank = Math.max(1, Math.ceil(quantile * total - 1e-9));
  let passed = 0;
  for (const [bucket, count] of rising) {
    passed += count;
    if (passed >= rank) return durationOf(bucket);
  }
  return null;
}
