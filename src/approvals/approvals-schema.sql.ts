/** The tables of one key's record of tool calls, as an append-only list of steps. */
import { migrateTables } from "../durable/call.ts";

const STEPS: readonly string[] = [
  `
  -- One row per call that a model made under a gate. A call that nobody decided in time stays 'pending'.
  CREATE TABLE call (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    trace_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    -- NULL once nobody may be shown them any more.
    arguments TEXT,
    sha256 TEXT NOT NULL,
    status TEXT NOT NULL,
    key_id TEXT NOT NULL,
    env TEXT NOT NULL,
    app TEXT NOT NULL,
    route TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    decided_by TEXT,
    decided_at_ms INTEGER,
    reason TEXT,
    -- 1: the control plane does not know its status yet.
    unsent INTEGER NOT NULL,
    UNIQUE (trace_id, position)
  ) STRICT;
  CREATE INDEX call_by_name ON call (name, seq);
  CREATE INDEX call_unsent ON call (seq) WHERE unsent = 1;

  -- Answers that were held, for the same request sent again.
  CREATE TABLE step (
    trace_id TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    body TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  -- One row: until when other isolates may believe that the key has no recorded call.
  CREATE TABLE belief (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    none_until_ms INTEGER NOT NULL
  ) STRICT;
  INSERT INTO belief (singleton, none_until_ms) VALUES (1, 0);
  `,
  "ALTER TABLE belief ADD COLUMN is_over INTEGER NOT NULL DEFAULT 0",
];

/** Brings the tables up to date. Run inside a transaction; safe at every start. */
export function migrate(sql: SqlStorage): void {
  migrateTables(sql, STEPS);
}
