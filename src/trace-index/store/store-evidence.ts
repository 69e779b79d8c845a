/** What one day says about a version of a route. */
import { slotOf, type TrailDay } from "../calendar.ts";
import type { BucketCount } from "../histogram.ts";
import type { LatencyKind } from "../tally.ts";
import type { DayEvidenceQuery, ErrorCount, EvidenceCounts } from "../types.ts";

export const NO_EVIDENCE: EvidenceCounts = {
  requests: 0,
  succeeded: 0,
  fallbacks: 0,
  hedged: 0,
  priced: 0,
  nanoUsd: 0,
  firstToken: [],
  total: [],
  errors: [],
};

const OF_VERSION = "WHERE route = ? AND version = ? AND slot >= ?";
const COUNTS = `
  SELECT coalesce(sum(requests), 0) AS requests, coalesce(sum(succeeded), 0) AS succeeded,
  coalesce(sum(fallbacks), 0) AS fallbacks, coalesce(sum(hedged), 0) AS hedged,
  coalesce(sum(priced), 0) AS priced, coalesce(sum(nano_usd), 0) AS nano_usd
  FROM version_count ${OF_VERSION}`;
const LATENCIES = `SELECT bucket, sum(calls) AS calls FROM version_latency ${OF_VERSION} AND kind = ? GROUP BY bucket`;
const ERRORS = `SELECT class, provider, sum(errors) AS errors FROM version_error ${OF_VERSION} GROUP BY class, provider`;

interface CountsRow extends Record<string, SqlStorageValue> {
  requests: number;
  succeeded: number;
  fallbacks: number;
  hedged: number;
  priced: number;
  nano_usd: number;
}

export function evidenceIn(sql: SqlStorage, query: DayEvidenceQuery, day: TrailDay): EvidenceCounts {
  const { route, version } = query;
  const slot = Math.max(0, slotOf(query.since, day.startAt));
  const { nano_usd: nanoUsd, ...counts } = sql.exec<CountsRow>(COUNTS, route, version, slot).one();
  const latencies = (kind: LatencyKind): BucketCount[] =>
    sql
      .exec<{ bucket: number; calls: number }>(LATENCIES, route, version, slot, kind)
      .toArray()
      .map(({ bucket, calls }) => [bucket, calls]);
  const errors = sql.exec<{ class: string; provider: string; errors: number }>(ERRORS, route, version, slot).toArray();
  return {
    ...counts,
    nanoUsd,
    firstToken: latencies("first_token"),
    total: latencies("total"),
    errors: errors.map((row): ErrorCount => {
      return { class: row.class, provider: row.provider === "" ? null : row.provider, count: row.errors };
    }),
  };
}
