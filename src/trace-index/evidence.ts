/**
 * Counts of a route version to figures one can decide by.
 *
 * Pure. With few requests a rate says little: the lower bound says what it says at least. 30 of 30 is a rate of 1 and
 * a bound of 0.886.
 */
import { toUsd } from "../lib/money.ts";
import { type BucketCount, mergeHistograms, quantileMs } from "./histogram.ts";
import type { ErrorCount, EvidenceCounts } from "./types.ts";

/** Two-sided 95 %. */
const Z = 1.959963984540054;

export interface EvidenceWindow {
  readonly hours: number;
  /** ISO 8601 UTC. `since` lies on a slot, so the window may be a little longer than its hours. */
  readonly since: string;
  readonly until: string;
}

export interface LatencyQuantiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/** The contract's evidence. Rates are 0..1 and, like the cost, `null` where nothing is known. */
export interface Evidence {
  readonly version: number;
  readonly window: EvidenceWindow;
  /** Those that ended well or badly. A client that left and our own refusals are no evidence. */
  readonly requests: number;
  readonly success_rate: number | null;
  /** Lower end of the Wilson interval, 95 %. 0 without a request. */
  readonly success_lower_bound: number;
  readonly fallback_rate: number | null;
  readonly hedge_rate: number | null;
  /** Latency of requests that succeeded, in ms since they arrived; off by 2 % at most. `null` without one. */
  readonly first_token_ms: LatencyQuantiles | null;
  readonly total_ms: LatencyQuantiles | null;
  /** Mean of the requests whose cost is known. */
  readonly cost_usd_per_request: number | null;
  /** Failed attempts, those included that another attempt made good. The most frequent first. */
  readonly errors: readonly ErrorCount[];
  readonly as_of: string;
}

/** Lower end of the Wilson score interval for `successes` of `trials` at 95 %; 0 without a trial. */
export function wilsonLowerBound(successes: number, trials: number): number {
  // Exactly 0 by the formula too, where floating point leaves a hair.
  if (successes === 0) return 0;
  const rate = successes / trials;
  const spread = Z * Math.sqrt((rate * (1 - rate)) / trials + Z ** 2 / (4 * trials ** 2));
  return (rate + Z ** 2 / (2 * trials) - spread) / (1 + Z ** 2 / trials);
}

/** The counts of several days as one. */
export function mergeEvidence(days: readonly EvidenceCounts[]): EvidenceCounts {
  const sum = (countOf: (day: EvidenceCounts) => number): number => days.reduce((all, day) => all + countOf(day), 0);
  return {
    requests: sum((day) => day.requests),
    succeeded: sum((day) => day.succeeded),
    fallbacks: sum((day) => day.fallbacks),
    hedged: sum((day) => day.hedged),
    priced: sum((day) => day.priced),
    nanoUsd: sum((day) => day.nanoUsd),
    firstToken: mergeHistograms(days.map((day) => day.firstToken)),
    total: mergeHistograms(days.map((day) => day.total)),
    errors: mergeErrors(days.flatMap((day) => day.errors)),
  };
}

function mergeErrors(errors: readonly ErrorCount[]): ErrorCount[] {
  const merged = new Map<string, ErrorCount>();
  for (const error of errors) {
    const name = `${error.class}\n${error.provider ?? ""}`;
    merged.set(name, { ...error, count: error.count + (merged.get(name)?.count ?? 0) });
  }
  return [...merged]
    .sort(([nameA, a], [nameB, b]) => b.count - a.count || (nameA < nameB ? -1 : 1))
    .map(([, error]) => error);
}

export function toEvidence(version: number, window: EvidenceWindow, counts: EvidenceCounts, asOf: string): Evidence {
  const { requests } = counts;
  const rate = (count: number): number | null => (requests === 0 ? null : count / requests);
  return {
    version,
    window,
    requests,
    success_rate: rate(counts.succeeded),
    success_lower_bound: wilsonLowerBound(counts.succeeded, requests),
    fallback_rate: rate(counts.fallbacks),
    hedge_rate: rate(counts.hedged),
    first_token_ms: quantilesOf(counts.firstToken),
    total_ms: quantilesOf(counts.total),
    cost_usd_per_request: counts.priced === 0 ? null : toUsd(Math.round(counts.nanoUsd / counts.priced)),
    errors: counts.errors,
    as_of: asOf,
  };
}

function quantilesOf(histogram: readonly BucketCount[]): LatencyQuantiles | null {
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((quantile) => quantileMs(histogram, quantile));
  return p50 == null || p95 == null || p99 == null ? null : { p50, p95, p99 };
}
