/** The table of usage, the same in the object of a day and in the archive of a month, and the statements that fill it. */
import { tryParseJson } from "../lib/json.ts";
import { type BucketCount, mergeHistograms } from "./histogram.ts";
import { COUNT_COLUMNS, noCounts, PLACE_COLUMNS, type UsageCounts, type UsagePlace, type UsageRow } from "./usage.ts";

/** Widths of buckets, in seconds. */
export const MINUTE = 60;
export const HOUR = 3_600;
export const DAY = 86_400;

/** As of the first release with it. A later column is a step of its own. */
export const USAGE_TABLE = `
  CREATE TABLE usage (
    -- Width of the bucket in seconds, and its beginning, epoch ms.
    grain INTEGER NOT NULL,
    at INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    app TEXT NOT NULL,
    route TEXT NOT NULL,
    api TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    status TEXT NOT NULL,
    -- JSON of the summed tags.
    tags TEXT NOT NULL,
    requests INTEGER NOT NULL DEFAULT 0,
    provider_requests INTEGER NOT NULL DEFAULT 0,
    model_requests INTEGER NOT NULL DEFAULT 0,
    target_requests INTEGER NOT NULL DEFAULT 0,
    unpriced INTEGER NOT NULL DEFAULT 0,
    provider_unpriced INTEGER NOT NULL DEFAULT 0,
    model_unpriced INTEGER NOT NULL DEFAULT 0,
    target_unpriced INTEGER NOT NULL DEFAULT 0,
    failed_requests INTEGER NOT NULL DEFAULT 0,
    fallbacks INTEGER NOT NULL DEFAULT 0,
    hedges INTEGER NOT NULL DEFAULT 0,
    prompt_tokens INTEGER NOT NULL DEFAULT 0,
    cached_tokens INTEGER NOT NULL DEFAULT 0,
    cache_write_tokens INTEGER NOT NULL DEFAULT 0,
    completion_tokens INTEGER NOT NULL DEFAULT 0,
    reasoning_tokens INTEGER NOT NULL DEFAULT 0,
    nano_usd INTEGER NOT NULL DEFAULT 0,
    adjustment_nano_usd INTEGER NOT NULL DEFAULT 0,
    unadmitted_nano_usd INTEGER NOT NULL DEFAULT 0,
    paced_tokens INTEGER NOT NULL DEFAULT 0,
    paced_ms INTEGER NOT NULL DEFAULT 0,
    -- JSON of histograms.
    first_token TEXT NOT NULL DEFAULT '[]',
    total TEXT NOT NULL DEFAULT '[]',
    PRIMARY KEY (grain, at, key_id, app, route, api, provider, model, status, tags)
  ) STRICT, WITHOUT ROWID;`;

const PLACE = `grain = ? AND at = ? AND ${PLACE_COLUMNS.map((name) => `${name} = ?`).join(" AND ")}`;
const READ_LATENCY = `SELECT first_token, total FROM usage WHERE ${PLACE}`;
const ALL_BY_PLACE = `SELECT * FROM usage WHERE grain = ? ORDER BY ${PLACE_COLUMNS.join(", ")}`;
const NO_TAGS = "{}";
const TAGGED = "SELECT * FROM usage WHERE key_id = ? AND tags <> ?";
const COLUMNS = ["grain", "at", ...PLACE_COLUMNS, ...COUNT_COLUMNS, "first_token", "total"];
const ADD = `
  INSERT INTO usage (${COLUMNS.join(", ")}) VALUES (${COLUMNS.map(() => "?").join(", ")})
  ON CONFLICT DO UPDATE SET ${COUNT_COLUMNS.map((name) => `${name} = ${name} + excluded.${name}`).join(", ")},
    first_token = excluded.first_token, total = excluded.total`;

type LatencyRow = { first_token: string; total: string };

export function hasUsage(sql: SqlStorage, grain: number, { at, place }: Pick<UsageRow, "at" | "place">): boolean {
  return latencyOf(sql, grain, { at, place }) !== null;
}

function latencyOf(sql: SqlStorage, grain: number, { at, place }: Pick<UsageRow, "at" | "place">): LatencyRow | null {
  const rows = sql.exec<LatencyRow>(READ_LATENCY, grain, at, ...PLACE_COLUMNS.map((name) => place[name]));
  return rows.toArray()[0] ?? null;
}

/** Adds to the row of its bucket and place. */
export function addUsage(sql: SqlStorage, grain: number, row: UsageRow): void {
  const known = latencyOf(sql, grain, row);
  const merged = (text: string | undefined, added: readonly BucketCount[]): string =>
    added.length === 0 ? (text ?? "[]") : JSON.stringify(mergeHistograms([readHistogram(text ?? "[]"), added]));
  sql.exec(
    ADD,
    ...[grain, row.at],
    ...PLACE_COLUMNS.map((name) => row.place[name]),
    ...COUNT_COLUMNS.map((name) => row.counts[name]),
    ...[merged(known?.first_token, row.firstToken), merged(known?.total, row.total)],
  );
}

/** Written by `addUsage` from histograms. */
function readHistogram(text: string): BucketCount[] {
  const value = tryParseJson(text);
  return Array.isArray(value) ? (value as BucketCount[]) : [];
}

type Stored = Record<string, SqlStorageValue>;

function toUsageRow(stored: Stored, at: number): UsageRow {
  const place = Object.fromEntries(PLACE_COLUMNS.map((name) => [name, String(stored[name])])) as unknown as UsagePlace;
  const counts = noCounts();
  for (const name of COUNT_COLUMNS) counts[name] = Number(stored[name]);
  const [firstToken, total] = [stored["first_token"], stored["total"]].map((text) => readHistogram(String(text)));
  return { at, place, counts, firstToken: firstToken ?? [], total: total ?? [] };
}

/** What a key used is counted without its tags from now on: every other sum stays. To be run inside a transaction. */
export function eraseTags(sql: SqlStorage, keyId: string): void {
  const tagged = sql.exec<Stored>(TAGGED, keyId, NO_TAGS).toArray();
  sql.exec("DELETE FROM usage WHERE key_id = ? AND tags <> ?", keyId, NO_TAGS);
  for (const stored of tagged) {
    const row = toUsageRow(stored, Number(stored["at"]));
    addUsage(sql, Number(stored["grain"]), { ...row, place: { ...row.place, tags: NO_TAGS } });
  }
}

/** All rows of one width, each place once, as of one bucket that begins at `at`. In the order of places. */
export function* readUsage(sql: SqlStorage, grain: number, at: number): Generator<UsageRow> {
  let current: UsageRow | null = null;
  for (const stored of sql.exec<Stored>(ALL_BY_PLACE, grain)) {
    const row = toUsageRow(stored, at);
    if (current !== null && PLACE_COLUMNS.every((name) => current?.place[name] === row.place[name])) {
      addInto(current, row);
      continue;
    }
    if (current !== null) yield current;
    current = row;
  }
  if (current !== null) yield current;
}

function addInto(to: UsageRow, { counts, firstToken, total }: UsageRow): void {
  const sums: UsageCounts = to.counts;
  for (const name of COUNT_COLUMNS) sums[name] += counts[name];
  to.firstToken = mergeHistograms([to.firstToken, firstToken]);
  to.total = mergeHistograms([to.total, total]);
}
