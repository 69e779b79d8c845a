/**
 * The tables of a key's ledger.
 *
 * What is written per request is laid out for few rows, because rows written are nearly all that the platform bills: a
 * table with a row number writes one more for its key. Ledgers that were made before keep such tables, which every
 * statement here reads as well: none of them names a row number. Open reservations are in a small table of their own.
 */
import { migrateTables, skipSteps } from "../durable/call.ts";
import {
  BUDGET_WINDOW,
  CHARGE_VIEW,
  ELSEWHERE,
  FOLDED,
  FRESH,
  HOLD,
  HOLD_VIEW,
  INLINE,
  OUTBOX_VIEW,
  REFUSAL,
  SHARE,
  SLOT,
  SPEND,
  TOKEN_DEBT,
  UNADMITTED,
} from "./schema/tables.sql.ts";

const SCHEMA = `
  ${SPEND}
  CREATE TABLE IF NOT EXISTS ledger (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    revoked INTEGER NOT NULL,
    trimmed_traces INTEGER NOT NULL
  ) STRICT;
  INSERT OR IGNORE INTO ledger (singleton, revoked, trimmed_traces) VALUES (1, 0, 0);
  CREATE TABLE IF NOT EXISTS request (
    id TEXT PRIMARY KEY,
    settled_at INTEGER NOT NULL,
    status TEXT NOT NULL,
    route TEXT NOT NULL,
    body TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS hold (
    trace_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('R', 'W')),
    reserved_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    bound_nano_usd INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    PRIMARY KEY (trace_id, attempt)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS charge (
    trace_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('S', 'X')),
    reserved_at INTEGER NOT NULL,
    settled_at INTEGER NOT NULL,
    bound_nano_usd INTEGER,
    nano_usd INTEGER,
    tokens INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    over_bound INTEGER NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    winner INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    source TEXT NOT NULL,
    basis TEXT NOT NULL,
    -- Always NULL. The release before names it where it deletes old charges: it finds none then, and nothing fails.
    rowid INTEGER,
    PRIMARY KEY (trace_id, attempt)
  ) STRICT, WITHOUT ROWID;
  ${UNADMITTED}
  CREATE TABLE IF NOT EXISTS outbox (
    trace_id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS account (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    terms TEXT,
    deleted_nano_usd INTEGER NOT NULL,
    over_bound INTEGER NOT NULL,
    expired INTEGER NOT NULL,
    expired_nano_usd INTEGER NOT NULL,
    unadmitted_nano_usd INTEGER NOT NULL,
    lost_traces INTEGER NOT NULL,
    lost_nano_usd INTEGER NOT NULL
  ) STRICT;
`;

/** What was added since. A step that was ever deployed is never edited: a new one is added below it. */
const STEPS: readonly string[] = [
  `
  -- JSON of a \`RequestOrigin\`, empty where the reservation had none.
  ALTER TABLE hold ADD COLUMN origin TEXT NOT NULL DEFAULT '';
  -- Attempts that were charged at their bound because nobody settled the request; 0 once it is settled.
  ALTER TABLE request ADD COLUMN unsettled_attempts INTEGER NOT NULL DEFAULT 0;
  `,
  `
  ${TOKEN_DEBT}
  `,
  `
  ${REFUSAL}
  ALTER TABLE account ADD COLUMN refused INTEGER NOT NULL DEFAULT 0;
  `,
  `
  -- Under whose lease it is held; empty where a release without leases made it.
  ALTER TABLE hold ADD COLUMN isolate TEXT NOT NULL DEFAULT '';
  `,
  `
  ${BUDGET_WINDOW}
  `,
  `
  ${SHARE}
  `,
  `
  ${FOLDED}
  -- The first hour of which all charges are kept or folded; 0: all are. A release before has deleted older ones.
  ALTER TABLE account ADD COLUMN folded_since INTEGER NOT NULL DEFAULT 0;
  UPDATE account SET folded_since = coalesce(
    (SELECT (min(reserved_at) / 3600000 + 1) * 3600000 FROM charge), unixepoch('now') / 3600 * 3600000 + 3600000
  ) WHERE (SELECT trimmed_traces FROM ledger) > 0;
  `,
  `
  -- What goes to the index: requests numbered above \`shipped_seq\`, none of them below the id \`ship_from\`, and those
  -- of \`waiting\`. The first charge of a request is in its row; others, and those of the sweep, are in \`charge_row\`.
  -- \`outbox\` and \`charge\` are views: the release before reads and writes them as it did when they were tables.
  ALTER TABLE request ADD COLUMN ship_seq INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE ledger ADD COLUMN shipped_seq INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE ledger ADD COLUMN ship_from TEXT NOT NULL DEFAULT '';
  ALTER TABLE outbox RENAME TO waiting;
  ${OUTBOX_VIEW}
${INLINE.map(([name, type]) => `  ALTER TABLE request ADD COLUMN charge_${name} ${type};`).join("\n")}
  -- 1 while retention deletes requests whose charges it has read.
  ALTER TABLE ledger ADD COLUMN is_folding INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE charge RENAME TO charge_row;
  ${CHARGE_VIEW}
  `,
  `
  -- What is held, in rows that are used again: free ones have no state, or a request that \`ends_holds\`. \`hold\` is a view
  -- for the release before, which deletes and makes a row per reservation.
  ${SLOT}
  INSERT INTO slot (${HOLD}) SELECT ${HOLD} FROM hold;
  DROP TABLE hold;
  -- 1 where the settlement has ended what the request held. The release before ends it row by row.
  ALTER TABLE request ADD COLUMN ends_holds INTEGER NOT NULL DEFAULT 0;
  ${HOLD_VIEW}
  `,
  `
  -- 1 once the release before has booked something, until this one has made its own sums again.
  ALTER TABLE ledger ADD COLUMN booked_elsewhere INTEGER NOT NULL DEFAULT 0;
  ${ELSEWHERE}
  `,
];

/** The tables of a new ledger as the steps leave them, without the steps: those cost a request some milliseconds. */
function makeTables(sql: SqlStorage): void {
  sql.exec(FRESH);
  skipSteps(sql, STEPS);
}

/** Whether the release before has booked something since this was asked last. Belongs to a transaction. */
export function takeBookedElsewhere(sql: SqlStorage): boolean {
  const query = "UPDATE ledger SET booked_elsewhere = 0 WHERE booked_elsewhere = 1 RETURNING singleton";
  return sql.exec(query).toArray().length > 0;
}

/** Makes the tables, and takes a ledger of the first version over: its sums stand, its traces go to the index. */
export function prepareTables(sql: SqlStorage): void {
  if (sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'ledger'").toArray().length === 0) makeTables(sql);
  else {
    sql.exec(SCHEMA);
    migrateTables(sql, STEPS);
  }
  // What was booked before attempts had rows of their own counts as booked and deleted since.
  sql.exec(
    `INSERT OR IGNORE INTO account (singleton, terms, deleted_nano_usd, over_bound, expired, expired_nano_usd,
       unadmitted_nano_usd, lost_traces, lost_nano_usd)
     VALUES (1, NULL, coalesce((SELECT nano_usd FROM spend WHERE period = 'total'), 0), 0, 0, 0, 0, 0, 0)`,
  );
  if (sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'trace'").toArray().length === 0) return;
  sql.exec(
    `INSERT OR IGNORE INTO request (id, settled_at, status, route, body, unsettled_attempts)
     SELECT id, settled_at, status, route, body, 0 FROM trace ORDER BY id`,
  );
  sql.exec("DROP TABLE trace");
  enqueueAllTraces(sql);
}

/** Puts every stored trace on its way to the index. */
export function enqueueAllTraces(sql: SqlStorage): void {
  sql.exec(
    `INSERT OR IGNORE INTO waiting (trace_id, seq)
     SELECT id, row_number() OVER (ORDER BY id) + (SELECT trimmed_traces FROM ledger) FROM request
     WHERE body <> ''`,
  );
  sql.exec("INSERT OR IGNORE INTO waiting (trace_id, seq) SELECT id, 0 FROM refusal");
}
