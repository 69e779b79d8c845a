/**
 * When a second target is called in parallel with a slow one, and how often that may happen. Pure but for one count per
 * route.
 */
import type { Forecast } from "../../health/client.ts";

/** Hedges a quiet hour may save up for a bad minute. */
const MAX_SAVED_HEDGES = 10;
/** Routes of all environments together. Beyond it the one that was first seen is forgotten. */
const MAX_ROUTES = 2_000;

/** Whether a target can be expected to answer within `leftMs`. An unmeasured target gets the benefit of the doubt. */
export function fits(forecast: Forecast | null, leftMs: number): boolean {
  return leftMs > 0 && (forecast === null || forecast.p50Ms <= leftMs);
}

/**
 * How long an attempt may stay silent before another starts in parallel, when `leftMs` of the latency budget were left
 * at its start: its own p95 or half of what was left, whichever is less, and never before its p50. `null`: the budget
 * would be over by then.
 */
export function hedgeDelayMs(forecast: Forecast | null, leftMs: number): number | null {
  const half = leftMs / 2;
  const delayMs = forecast === null ? half : Math.max(forecast.p50Ms, Math.min(forecast.p95Ms, half));
  return leftMs > 0 && delayMs < leftMs ? delayMs : null;
}

interface Allowance {
  /** Whole hedges that may start, with fractions. Below zero after the one that is given in advance. */
  saved: number;
  hasHedged: boolean;
}

const allowances = new Map<string, Allowance>();

/** Counts one request of `route`, which earns it `ratio` of a hedge. */
export function earnHedge(route: string, ratio: number): void {
  const known = allowances.get(route);
  if (known !== undefined) {
    known.saved = Math.min(MAX_SAVED_HEDGES, known.saved + ratio);
    return;
  }
  allowances.set(route, { saved: ratio, hasHedged: false });
  if (allowances.size <= MAX_ROUTES) return;
  const oldest = allowances.keys().next().value;
  if (oldest !== undefined) allowances.delete(oldest);
}

/**
 * Takes one hedge of `route`, if it has earned one. The first is given in advance: of N requests in this isolate at
 * most max(1, ratio × N) hedge.
 */
export function takeHedge(route: string, ratio: number): boolean {
  const allowance = allowances.get(route);
  if (allowance === undefined || ratio <= 0) return false;
  // Tenths do not add up to a whole in binary.
  const hasEarned = allowance.saved >= 1 - 1e-9;
  if (!hasEarned && allowance.hasHedged) return false;
  allowance.saved -= 1;
  allowance.hasHedged = true;
  return true;
}
