/**
 * The circuit breaker of one target, shared by all isolates.
 *
 * Pure: (state, what happened, now) → state. Closed, it opens when at least half of at least 20 requests in the last
 * minute failed. Open, it stays so for 5 s, then 10, then 20. After that the next outcome decides: requests that were
 * still under way when it opened are ignored, because they say nothing about the target now.
 */

const BUCKET_MS = 6_000;
const WINDOW_MS = 60_000;
const MIN_REQUESTS = 20;
const OPEN_FAILURE_RATIO = 0.5;
const FIRST_OPEN_MS = 5_000;
const MAX_OPEN_MS = 20_000;

/** The outcomes of one tenth of the window. */
export interface Bucket {
  /** Epoch ms, a multiple of the bucket's length. */
  readonly startAt: number;
  readonly successes: number;
  readonly failures: number;
  /** Of the successes, all together. */
  readonly durationMs: number;
}

export interface Breaker {
  /** `half_open` is not stored: it is an open breaker whose time is up. */
  readonly isOpen: boolean;
  /** Epoch ms at which a probe may pass. Means nothing while closed. */
  readonly openUntil: number;
  /** How long it stayed open last, 0 when it last was closed. */
  readonly openMs: number;
  /** Oldest first. */
  readonly buckets: readonly Bucket[];
}

export type Outcomes = Omit<Bucket, "startAt">;

export const CLOSED_BREAKER: Breaker = { isOpen: false, openUntil: 0, openMs: 0, buckets: [] };

export function breakerState(breaker: Breaker, now: number): "closed" | "open" | "half_open" {
  if (!breaker.isOpen) return "closed";
  return now < breaker.openUntil ? "open" : "half_open";
}

/** The breaker after some outcomes became known at `now`. */
export function recordOutcomes(breaker: Breaker, outcomes: Outcomes, now: number): Breaker {
  const { successes, failures } = outcomes;
  switch (breakerState(breaker, now)) {
    case "open":
      return breaker;
    case "half_open":
      if (successes === 0 && failures === 0) return breaker;
      if (failures >= successes) return opened(now, Math.min(breaker.openMs * 2, MAX_OPEN_MS));
      return { ...CLOSED_BREAKER, buckets: addToWindow([], outcomes, now) };
    case "closed": {
      const buckets = addToWindow(breaker.buckets, outcomes, now);
      const window = sumWindow(buckets, now);
      const requests = window.successes + window.failures;
      const isBad = requests >= MIN_REQUESTS && window.failures >= requests * OPEN_FAILURE_RATIO;
      return isBad ? opened(now, FIRST_OPEN_MS) : { ...breaker, buckets };
    }
  }
}

/** The last minute. An open breaker starts again from nothing. */
export function sumWindow(buckets: readonly Bucket[], now: number): Outcomes {
  const sum = { successes: 0, failures: 0, durationMs: 0 };
  for (const bucket of buckets) {
    if (!isInWindow(bucket, now)) continue;
    sum.successes += bucket.successes;
    sum.failures += bucket.failures;
    sum.durationMs += bucket.durationMs;
  }
  return sum;
}

/** The window is forgotten: what closed the breaker must not open it again. */
function opened(now: number, openMs: number): Breaker {
  return { isOpen: true, openUntil: now + openMs, openMs, buckets: [] };
}

function addToWindow(buckets: readonly Bucket[], outcomes: Outcomes, now: number): Bucket[] {
  const kept = buckets.filter((bucket) => isInWindow(bucket, now));
  const startAt = now - (now % BUCKET_MS);
  const last = kept.at(-1);
  if (last === undefined || last.startAt < startAt) {
    kept.push({ startAt, ...outcomes });
    return kept;
  }
  // Also where the clock went back a little: a bucket in the future would outlive its minute.
  kept[kept.length - 1] = {
    startAt: last.startAt,
    successes: last.successes + outcomes.successes,
    failures: last.failures + outcomes.failures,
    durationMs: last.durationMs + outcomes.durationMs,
  };
  return kept;
}

/** Ten buckets count: the one being filled and nine before it. */
function isInWindow(bucket: Bucket, now: number): boolean {
  return bucket.startAt > now - WINDOW_MS;
}
