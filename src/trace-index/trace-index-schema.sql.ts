/**
 * The tables of one day's object, as an append-only list of steps, and the statements that fill them.
 *
 * A step that was ever deployed is never edited: a new one is added below it. An object that was only asked has no
 * tables: a question about an empty day costs no storage.
 */
import { migrateTables } from "../durable/call.ts";
import type { TrailDelta } from "./spread/delta.ts";
import { DIRECTORY_TABLES, SETTLED_TABLE } from "./spread/directory.ts";
import type { CountRow, ErrorRow, LatencyRow } from "./tally.ts";
import { USAGE_TABLE } from "./usage-schema.sql.ts";

const STEPS: readonly string[] = [
  `
  -- One row, from the first batch on. The name of an object is not known to its alarm.
  CREATE TABLE trail (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    day_start_at INTEGER NOT NULL,
    -- Traces of this time and later have their body; those before it were trimmed.
    bodies_since INTEGER NOT NULL,
    bodies INTEGER NOT NULL
  ) STRICT;

  -- What makes a trace repeatable, filters it and adds it up for a part of the day. Never trimmed.
  CREATE TABLE trace (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    app TEXT NOT NULL,
    route TEXT NOT NULL,
    status TEXT NOT NULL,
    -- Empty for nobody.
    provider TEXT NOT NULL,
    -- JSON: [provider, model, nano-USD or null] of each attempt.
    attempts TEXT NOT NULL,
    unadmitted_nano_usd INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX trace_by_time ON trace (created_at, id);
  CREATE INDEX trace_not_ok ON trace (created_at, id) WHERE status <> 'ok';

  CREATE TABLE body (
    seq INTEGER PRIMARY KEY,
    trace TEXT NOT NULL
  ) STRICT;

  -- Sums of the release before: usage is counted in a table of its own since.
  CREATE TABLE spend (
    group_by TEXT NOT NULL,
    slot INTEGER NOT NULL,
    name TEXT NOT NULL,
    requests INTEGER NOT NULL,
    nano_usd INTEGER NOT NULL,
    unpriced_requests INTEGER NOT NULL,
    unadmitted_nano_usd INTEGER NOT NULL,
    PRIMARY KEY (group_by, slot, name)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE version_count (
    route TEXT NOT NULL,
    version INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    succeeded INTEGER NOT NULL,
    fallbacks INTEGER NOT NULL,
    hedged INTEGER NOT NULL,
    priced INTEGER NOT NULL,
    nano_usd INTEGER NOT NULL,
    PRIMARY KEY (route, version, slot)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE version_latency (
    route TEXT NOT NULL,
    version INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    kind TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    PRIMARY KEY (route, version, slot, kind, bucket)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE version_error (
    route TEXT NOT NULL,
    version INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    class TEXT NOT NULL,
    -- Empty where no attempt was made.
    provider TEXT NOT NULL,
    errors INTEGER NOT NULL,
    PRIMARY KEY (route, version, slot, class, provider)
  ) STRICT, WITHOUT ROWID;
  `,
  // See `TrailRow`. Rows of the version before are of settled requests.
  "ALTER TABLE trace ADD COLUMN unsettled_attempts INTEGER NOT NULL DEFAULT 0",
  `
  ${USAGE_TABLE}
  -- The last trace whose usage is counted: those of a release without that table are counted when they are needed.
  ALTER TABLE trail ADD COLUMN usage_seq INTEGER NOT NULL DEFAULT 0;
  -- How often something was counted, and how often as of the copy in the archive of the month.
  ALTER TABLE trail ADD COLUMN changes INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE trail ADD COLUMN archived INTEGER NOT NULL DEFAULT 0;
  -- Corrections of booked costs that were applied, by the sender's key and number.
  CREATE TABLE adjusted (
    key_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (key_id, seq)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- Calls of providers, by how they ended.
  CREATE TABLE attempt_count (
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    outcome TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    PRIMARY KEY (provider, model, outcome)
  ) STRICT, WITHOUT ROWID;
  `,
  DIRECTORY_TABLES,
  SETTLED_TABLE,
];

const ADD_COUNT = `
  INSERT INTO version_count (route, version, slot, requests, succeeded, fallbacks, hedged, priced, nano_usd)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    requests = requests + excluded.requests,
    succeeded = succeeded + excluded.succeeded,
    fallbacks = fallbacks + excluded.fallbacks,
    hedged = hedged + excluded.hedged,
    priced = priced + excluded.priced,
    nano_usd = nano_usd + excluded.nano_usd`;
const ADD_LATENCY = `
  INSERT INTO version_latency (route, version, slot, kind, bucket, calls)
  VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET calls = calls + excluded.calls`;
const ADD_ERROR = `
  INSERT INTO version_error (route, version, slot, class, provider, errors)
  VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET errors = errors + excluded.errors`;

export function hasTables(sql: SqlStorage): boolean {
  return sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'migration'").toArray().length > 0;
}

/** Brings the tables up to date. Run inside a transaction; safe at every start. */
export function migrate(sql: SqlStorage): void {
  migrateTables(sql, STEPS);
}

/** Adds to the evidence. */
export function addEvidence(
  sql: SqlStorage,
  { counts, latencies, errors }: Omit<TrailDelta, "usage" | "attempts">,
): void {
  for (const row of counts) addCount(sql, row);
  for (const row of latencies) addLatency(sql, row);
  for (const row of errors) addError(sql, row);
}

function addCount(sql: SqlStorage, row: CountRow): void {
  const { route, version, slot, requests, succeeded, fallbacks, hedged, priced, nanoUsd } = row;
  sql.exec(ADD_COUNT, route, version, slot, requests, succeeded, fallbacks, hedged, priced, nanoUsd);
}

function addLatency(sql: SqlStorage, { route, version, slot, kind, bucket, calls }: LatencyRow): void {
  sql.exec(ADD_LATENCY, route, version, slot, kind, bucket, calls);
}

function addError(sql: SqlStorage, row: ErrorRow): void {
  sql.exec(ADD_ERROR, row.route, row.version, row.slot, row.class, row.provider, row.errors);
}
