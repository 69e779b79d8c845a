/** Corrections of booked costs, as the sums and the traces of a day take them. */
import { isJsonObject, tryParseJson } from "../../lib/json.ts";
import { traceTime } from "../../traces/schema.ts";
import { HOUR_MS } from "../calendar.ts";
import { noCounts, summedTags, type UsageRow } from "../usage.ts";
import type { Layout } from "./store-layout.ts";

const OF_TRACE = "WHERE created_at = ? AND id = ?";

/** What a ledger's repricing says, as far as it is read here: see `ledger/repricing.ts`. */
export interface CostAdjustment {
  readonly seq: number;
  /** First ms of the hour in which the requests arrived. */
  readonly at: number;
  readonly provider: string;
  readonly model: string;
  readonly place: {
    readonly app: string;
    readonly route: string;
    readonly api: string;
    readonly status: string;
    readonly tags: Readonly<Record<string, string>>;
  };
  readonly nanoUsd: number;
  /** Requests whose cost is no longer unknown: of the target, its provider, its model, and in whole. */
  readonly priced: readonly [target: number, provider: number, model: number, whole: number];
  readonly traces: readonly { readonly id: string; readonly repricedUsd: number | null }[];
}

export interface AdjustmentBatch {
  readonly keyId: string;
  readonly adjustments: readonly CostAdjustment[];
}

/** What is added to the sums. */
export function adjustedRow(adjustment: CostAdjustment, keyId: string, tagNames: readonly string[]): UsageRow {
  const { at, provider, model, place, nanoUsd, priced } = adjustment;
  const { app, route, api, status, tags } = place;
  const [target, ofProvider, ofModel, whole] = priced;
  const counts = noCounts();
  counts.nano_usd = nanoUsd;
  counts.adjustment_nano_usd = nanoUsd;
  counts.target_unpriced = -target;
  counts.provider_unpriced = -ofProvider;
  counts.model_unpriced = -ofModel;
  counts.unpriced = -whole;
  const summed = summedTags(tags, tagNames);
  return {
    at,
    place: { key_id: keyId, app, route, api, provider, model, status, tags: summed },
    counts,
    firstToken: [],
    total: [],
  };
}

/**
 * What a trace costs now is said on its JSON; its columns, which parts of an hour are summed from, get the corrected cost
 * where the request has one attempt.
 */
export function noteRepriced(
  sql: SqlStorage,
  layout: Layout,
  id: string,
  repricedUsd: number,
  { provider, model, at }: Pick<CostAdjustment, "provider" | "model" | "at">,
): void {
  type Row = { seq: number; created_at: number; attempts: string; trace: string };
  const query = `
    SELECT seq, created_at, attempts, ${layout.json} AS trace FROM ${layout.from}
    WHERE created_at >= ? AND created_at < ? AND id = ?`;
  // An id says its time; where it is of another form, the hour is searched.
  const time = traceTime(id);
  const span = time === null || time < at || time >= at + HOUR_MS ? [at, at + HOUR_MS] : [time, time + 1];
  const [row] = sql.exec<Row>(query, ...span, id).toArray();
  if (row === undefined) return;
  const attempts = tryParseJson(row.attempts);
  if (Array.isArray(attempts) && attempts.length === 1) {
    const cost = Math.round(repricedUsd * 1e9);
    const corrected = JSON.stringify([[provider, model, cost]]);
    sql.exec(`UPDATE trace SET attempts = ? ${OF_TRACE}`, corrected, row.created_at, id);
  }
  const trace = tryParseJson(row.trace);
  if (!isJsonObject(trace)) return;
  const text = JSON.stringify({ ...trace, repriced_usd: repricedUsd });
  if (layout.isClustered) sql.exec(`UPDATE trace SET json = ? ${OF_TRACE}`, text, row.created_at, id);
  else sql.exec("UPDATE body SET trace = ? WHERE seq = ?", text, row.seq);
}
