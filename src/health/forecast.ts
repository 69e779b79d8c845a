/** How fast a target has been of late, by what this isolate saw and what all of them saw. */
import { isAhead } from "./breaker.ts";
import { WINDOW_MS } from "./quantile.ts";
import type { Forecast, LatencyKind, TargetHealth } from "./target.ts";
import type { LatencySummary } from "./types.ts";

/** Fewer calls say nothing about latency. */
const MIN_FORECAST_CALLS = 3;
/** From here on what this isolate saw counts more than what all of them saw: it is its own way to the target. */
const OWN_FORECAST_CALLS = 20;
const FORECAST_CACHE_MS = 250;

/** Over the last minute; null when fewer than 3 calls are known. */
export function forecastAt(health: TargetHealth, kind: LatencyKind, now: number): Forecast | null {
  const cached = health.forecasts[kind];
  if (cached !== null && isAhead(cached.at + FORECAST_CACHE_MS, now, FORECAST_CACHE_MS)) return cached.forecast;
  const summary = summaryAt(health, kind, now);
  // Too little to go by is not remembered: the next call may be the one that was missing.
  if (summary === null || summary.calls < MIN_FORECAST_CALLS) return null;
  const forecast = { p50Ms: summary.p50Ms, p95Ms: summary.p95Ms };
  health.forecasts[kind] = { at: now, forecast };
  return forecast;
}

function summaryAt(health: TargetHealth, kind: LatencyKind, now: number): LatencySummary | null {
  const own = health.windows[kind];
  const isHeard = isAhead(health.shared.heardAt + WINDOW_MS, now, WINDOW_MS);
  const shared = isHeard ? health.shared[kind] : null;
  const ownCalls = own.calls(now);
  if (shared !== null && ownCalls < OWN_FORECAST_CALLS && ownCalls < shared.calls) return shared;
  return own.summary(now);
}
