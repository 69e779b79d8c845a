/** Counters of one day for metrics: usage summed per series, and attempts by how they ended. */
import { parseJson } from "../../lib/json.ts";
import type { AttemptFacts } from "../counted-trace.ts";
import { type BucketCount, mergeHistograms } from "../histogram.ts";
import { HOUR } from "../usage-schema.sql.ts";

/** Sums of one series of the day. A request is counted at the target that answered or was called last. */
export interface MetricsRow {
  readonly route: string;
  readonly api: string;
  readonly status: string;
  readonly provider: string;
  readonly model: string;
  readonly requests: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly reasoningTokens: number;
  readonly nanoUsd: number;
  readonly unadmittedNanoUsd: number;
  readonly firstToken: readonly BucketCount[];
  readonly total: readonly BucketCount[];
}

export interface AttemptCount {
  readonly provider: string;
  readonly model: string;
  readonly outcome: string;
  readonly count: number;
}

export interface DayMetrics {
  readonly rows: readonly MetricsRow[];
  readonly attempts: readonly AttemptCount[];
}

type Row = Record<string, SqlStorageValue>;

const SELECT = `
  SELECT route, api, status, provider, model, sum(requests) AS requests, sum(prompt_tokens) AS prompt,
    sum(cached_tokens) AS cached, sum(completion_tokens) AS completion, sum(reasoning_tokens) AS reasoning,
    sum(nano_usd) AS nano_usd, sum(unadmitted_nano_usd) AS unadmitted,
    json_group_array(json_array(json(first_token), json(total))) AS latencies
  FROM usage WHERE grain = ${HOUR} GROUP BY route, api, status, provider, model`;
const ADD_ATTEMPT = `
  INSERT INTO attempt_count (provider, model, outcome, attempts) VALUES (?, ?, ?, ?)
  ON CONFLICT DO UPDATE SET attempts = attempts + excluded.attempts`;

export function metricsIn(sql: SqlStorage): DayMetrics {
  const attempts = sql.exec<Row>("SELECT provider, model, outcome, attempts FROM attempt_count WHERE attempts > 0");
  return {
    rows: Array.from(sql.exec<Row>(SELECT), toRow),
    attempts: Array.from(attempts, (row) => ({
      ...{ provider: String(row["provider"]), model: String(row["model"]), outcome: String(row["outcome"]) },
      count: Number(row["attempts"]),
    })),
  };
}

function toRow(row: Row): MetricsRow {
  const text = (name: string): string => String(row[name] ?? "");
  const count = (name: string): number => Number(row[name] ?? 0);
  // Written by the usage table alone.
  const latencies = parseJson(text("latencies")) as [BucketCount[], BucketCount[]][];
  return {
    ...{
      route: text("route"),
      api: text("api"),
      status: text("status"),
      provider: text("provider"),
      model: text("model"),
    },
    ...{ requests: count("requests"), promptTokens: count("prompt"), cachedTokens: count("cached") },
    ...{ completionTokens: count("completion"), reasoningTokens: count("reasoning"), nanoUsd: count("nano_usd") },
    unadmittedNanoUsd: count("unadmitted"),
    firstToken: mergeHistograms(latencies.map(([firstToken]) => firstToken)),
    total: mergeHistograms(latencies.map(([, total]) => total)),
  };
}

export function addAttempts(sql: SqlStorage, counts: readonly AttemptCount[]): void {
  for (const { provider, model, outcome, count } of counts) sql.exec(ADD_ATTEMPT, provider, model, outcome, count);
}

/** Gathers attempts by how they ended, so that each count is written once a batch. */
export class AttemptTally {
  readonly #counts = new Map<string, AttemptCount>();

  /** `sign`: counts them, or takes them back. */
  add(attempts: readonly Pick<AttemptFacts, "provider" | "model" | "outcome">[], sign: 1 | -1 = 1): void {
    for (const { provider, model, outcome } of attempts) {
      const name = [provider, model, outcome].join("\n");
      const count = (this.#counts.get(name)?.count ?? 0) + sign;
      this.#counts.set(name, { provider, model, outcome, count });
    }
  }

  counts(): AttemptCount[] {
    return [...this.#counts.values()].filter(({ count }) => count !== 0);
  }
}
