/**
 * The tables of a key's ledger. `trace`, `spend` and `ledger` are as the first version made them, so that either
 * version can run on what the other has written.
 *
 * State of an attempt: `R` reserved, `S` settled, `X` expired and charged at its bound, `V` released before its
 * reservation arrived. `requests` is 1 on the attempt that counts its request for the limits, else 0; `tokens` is what
 * the attempt counts for tokens per minute: its bound, and once settled what the whole request used, on its first row.
 */

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS trace (
    id TEXT PRIMARY KEY,
    settled_at INTEGER NOT NULL,
    status TEXT NOT NULL,
    route TEXT NOT NULL,
    body TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS spend (
    period TEXT PRIMARY KEY,
    nano_usd INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    unpriced_requests INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS ledger (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    revoked INTEGER NOT NULL,
    trimmed_traces INTEGER NOT NULL
  ) STRICT;
  INSERT OR IGNORE INTO ledger VALUES (1, 0, 0);
  CREATE TABLE IF NOT EXISTS attempt (
    trace_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('R', 'S', 'X', 'V')),
    reserved_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    bound_nano_usd INTEGER,
    tokens INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    settled_at INTEGER,
    nano_usd INTEGER,
    over_bound INTEGER NOT NULL DEFAULT 0,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    winner INTEGER NOT NULL DEFAULT 0,
    outcome TEXT,
    source TEXT,
    basis TEXT,
    PRIMARY KEY (trace_id, attempt)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS open_attempt ON attempt (expires_at) WHERE state = 'R';
  CREATE TABLE IF NOT EXISTS unadmitted (
    trace_id TEXT PRIMARY KEY,
    nano_usd INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
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

/** Makes the tables, and takes a ledger of the first version over: its sums stand, its traces go to the index. */
export function prepareTables(sql: SqlStorage): void {
  sql.exec(SCHEMA);
  if (sql.exec("SELECT 1 FROM account").toArray().length > 0) return;
  // What was booked before attempts had rows of their own counts as booked and deleted since.
  sql.exec(
    "INSERT INTO account VALUES (1, NULL, coalesce((SELECT nano_usd FROM spend WHERE period = 'total'), 0), 0, 0, 0, 0, 0, 0)",
  );
  enqueueAllTraces(sql);
}

/** Puts every stored trace on its way to the index. */
export function enqueueAllTraces(sql: SqlStorage): void {
  sql.exec(
    `INSERT OR IGNORE INTO outbox
     SELECT id, row_number() OVER (ORDER BY id) + (SELECT trimmed_traces FROM ledger) FROM trace`,
  );
}
