/**
 * How long calls take: a latency sketch in logarithmic buckets, and the last minute of it.
 *
 * A call that we ended has no latency, only an age it has outlived. Quantiles therefore follow the product-limit
 * (Kaplan-Meier) estimator: such a call counts among those still waiting up to its age and is silent about what comes
 * after. Leaving those calls out would make a slow target look fast, taking their age as a latency would too.
 */
import type { LatencySummary, SketchRow } from "./types.ts";

/** Neighbouring buckets differ by this factor, so a quantile is off by 4 % at most. */
export const BUCKET_GROWTH = 1.08;
const MIN_LATENCY_MS = 1;
const MAX_LATENCY_MS = 3_600_000;
const LOG_GROWTH = Math.log(BUCKET_GROWTH);
const LAST_BUCKET = Math.floor(Math.log(MAX_LATENCY_MS) / LOG_GROWTH);

/** The window of health: ten slices of six seconds. */
export const WINDOW_MS = 60_000;
export const SLICE_MS = 6_000;

/** The bucket of a latency. What is no number between 1 ms and an hour goes to the nearest end. */
export function bucketOf(latencyMs: number): number {
  if (!(latencyMs > MIN_LATENCY_MS)) return 0;
  return Math.min(LAST_BUCKET, Math.floor(Math.log(latencyMs) / LOG_GROWTH));
}

/** The latency a bucket stands for: its middle, in milliseconds, whole. */
export function latencyOf(bucket: number): number {
  return Math.round(BUCKET_GROWTH ** (bucket + 0.5));
}

/** Is something of `at` part of the window at `now`? A time far ahead is left over from a clock that went back. */
export function isInWindow(at: number, now: number): boolean {
  return Math.abs(now - at) < WINDOW_MS;
}

/** Start of the slice that `now` belongs to. */
export function sliceStart(now: number): number {
  return now - (now % SLICE_MS);
}

interface Counts {
  answered: number;
  ended: number;
}

/** Counts of calls by latency. Merging is adding, so the order of merges does not matter. */
export class LatencySketch {
  readonly #counts = new Map<number, Counts>();
  #calls = 0;

  /** Answered and ended ones. */
  get calls(): number {
    return this.#calls;
  }

  /** `isAnswered` false: the call was ended at this age and would have taken longer. */
  add(latencyMs: number, isAnswered: boolean): void {
    this.#count(bucketOf(latencyMs), isAnswered ? 1 : 0, isAnswered ? 0 : 1);
  }

  merge(rows: Iterable<SketchRow>): void {
    for (const [bucket, answered, ended] of rows) this.#count(bucket, answered, ended);
  }

  /** The wire form, by rising bucket. */
  rows(): SketchRow[] {
    const rows: SketchRow[] = [];
    for (const [bucket, { answered, ended }] of this.#counts) rows.push([bucket, answered, ended]);
    return rows.sort(([a], [b]) => a - b);
  }

  /** `null` without a call. `calls` may be less than what the caller wants to rely on. */
  summary(): LatencySummary | null {
    const rows = this.rows();
    const [p50Ms, p95Ms] = [quantileMs(rows, 0.5), quantileMs(rows, 0.95)];
    return p50Ms === null || p95Ms === null ? null : { calls: this.#calls, p50Ms, p95Ms };
  }

  clear(): void {
    this.#counts.clear();
    this.#calls = 0;
  }

  #count(bucket: number, answered: number, ended: number): void {
    const counts = this.#counts.get(bucket);
    if (counts === undefined) this.#counts.set(bucket, { answered, ended });
    else {
      counts.answered += answered;
      counts.ended += ended;
    }
    this.#calls += answered + ended;
  }
}

/**
 * The latency that a share of `quantile` (in 0..1) of all calls stays below, in milliseconds. Where the calls that were
 * answered do not reach that far: the largest age seen, which the true value is at least. `null` without a call.
 * `rows` by rising bucket.
 */
export function quantileMs(rows: readonly SketchRow[], quantile: number): number | null {
  const last = rows.at(-1);
  if (last === undefined) return null;
  let waiting = 0;
  for (const [, answered, ended] of rows) waiting += answered + ended;
  // The share of calls that wait longer than the bucket looked at.
  let survival = 1;
  for (const [bucket, answered, ended] of rows) {
    if (answered > 0) survival *= 1 - answered / waiting;
    // Products of fractions miss their exact value by a hair.
    if (survival <= 1 - quantile + 1e-9) return latencyOf(bucket);
    waiting -= answered + ended;
  }
  return latencyOf(last[0]);
}

interface Slice {
  readonly startAt: number;
  readonly sketch: LatencySketch;
}

/** A part of the window in its stored form. */
export interface StoredSlice {
  readonly startAt: number;
  readonly rows: readonly SketchRow[];
}

/** The calls of the last minute. */
export class LatencyWindow {
  /** Oldest first. */
  #slices: Slice[] = [];

  constructor(stored: readonly StoredSlice[] = []) {
    for (const { startAt, rows } of stored) {
      const sketch = new LatencySketch();
      sketch.merge(rows);
      this.#slices.push({ startAt, sketch });
    }
  }

  add(latencyMs: number, isAnswered: boolean, now: number): void {
    this.#current(now).add(latencyMs, isAnswered);
  }

  merge(rows: readonly SketchRow[], now: number): void {
    if (rows.length > 0) this.#current(now).merge(rows);
  }

  calls(now: number): number {
    let calls = 0;
    for (const { startAt, sketch } of this.#slices) if (isInWindow(startAt, now)) calls += sketch.calls;
    return calls;
  }

  /** `null` without a call in the last minute. */
  summary(now: number): LatencySummary | null {
    const all = new LatencySketch();
    for (const { startAt, sketch } of this.#slices) if (isInWindow(startAt, now)) all.merge(sketch.rows());
    return all.summary();
  }

  /** The slice in which `now` is counted, as it is to be stored. */
  rowsAt(startAt: number): readonly SketchRow[] {
    return this.#slices.find((slice) => slice.startAt === startAt)?.sketch.rows() ?? [];
  }

  #current(now: number): LatencySketch {
    const startAt = sliceStart(now);
    const last = this.#slices.at(-1);
    // Also where the clock went back a little: what counts as newest must stay last.
    if (last !== undefined && last.startAt >= startAt && isInWindow(last.startAt, now)) return last.sketch;
    this.#slices = this.#slices.filter((slice) => isInWindow(slice.startAt, now));
    const sketch = new LatencySketch();
    this.#slices.push({ startAt, sketch });
    return sketch;
  }
}
