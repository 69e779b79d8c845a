/** Corrections of booked costs, as the sums and the traces of a day take them. */
import { isJsonObject, tryParseJson } from "../../lib/json.ts";
import { noCounts, summedTags, type UsageRow } from "../usage.ts";

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
  id: string,
  repricedUsd: number,
  { provider, model }: Pick<CostAdjustment, "provider" | "model">,
): void {
  type Row = { seq: number; attempts: string; trace: string | null };
  const query = "SELECT seq, attempts, body.trace AS trace FROM trace LEFT JOIN body USING (seq) WHERE id = ?";
  const [row] = sql.exec<Row>(query, id).toArray();
  if (row === undefined) return;
  const attempts = tryParseJson(row.attempts);
  if (Array.isArray(attempts) && attempts.length === 1) {
    const cost = Math.round(repricedUsd * 1e9);
    sql.exec("UPDATE trace SET attempts = ? WHERE seq = ?", JSON.stringify([[provider, model, cost]]), row.seq);
  }
  const trace = row.trace === null ? null : tryParseJson(row.trace);
  if (!isJsonObject(trace)) return;
  sql.exec("UPDATE body SET trace = ? WHERE seq = ?", JSON.stringify({ ...trace, repriced_usd: repricedUsd }), row.seq);
}
