/** The headers that a client got with its answer, made again from the trace: what a reader of a log compares with. */
import { attemptLog } from "../../../traces/attempt-log.ts";
import type { Trace } from "../types.ts";

/** Name and value of each that is known, in the order of the contract. */
export function answerHeaders(trace: Trace): readonly (readonly [name: string, value: string])[] {
  const { attempts, latency } = trace;
  const hedge = attempts.find(({ hedged }) => hedged);
  const known: readonly (readonly [string, string | number | boolean | null | undefined])[] = [
    ["x-request-id", trace.id],
    ["x-flowlayer-route", trace.route],
    ["x-flowlayer-route-version", trace.route_version],
    ["x-flowlayer-app", trace.app],
    ["x-flowlayer-env", trace.env],
    ["x-flowlayer-provider", trace.provider],
    ["x-flowlayer-model", trace.model],
    ["x-flowlayer-attempts", attempts.length],
    ["x-flowlayer-fallback", trace.fallback],
    ["x-flowlayer-fallback-reason", trace.fallback_reason],
    ["x-flowlayer-attempt-log", attemptLog(attempts) || null],
    ["x-flowlayer-latency-budget-ms", latency.budget_ms],
    ["x-flowlayer-latency-budget-met", latency.budget_met],
    ["x-flowlayer-hedge", hedge === undefined ? null : hedge.winner ? "won" : "lost"],
    ["x-flowlayer-cost-usd", trace.stream ? null : trace.cost_usd],
    ["x-flowlayer-affinity", trace.affinity],
    ["x-flowlayer-output-cap", trace.output_cap],
  ];
  return known.flatMap(([name, value]) => (value == null ? [] : [[name, String(value)] as const]));
}
