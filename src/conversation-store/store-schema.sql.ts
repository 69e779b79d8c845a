/** The tables of one key's stored responses, as an append-only list of steps. */
import { migrateTables } from "../durable/call.ts";

const STEPS: readonly string[] = [
  `
  CREATE TABLE response (
    id TEXT PRIMARY KEY,
    previous_id TEXT,
    -- Tells the secrets of a key apart: a response is found with the one it was stored with only.
    mark BLOB NOT NULL,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    -- Of all its pieces.
    bytes INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX response_by_age ON response (created_at_ms);
  CREATE INDEX response_by_expiry ON response (expires_at_ms);

  -- Encrypted text, cut to what one row may have. part: 'input' or 'response'.
  CREATE TABLE piece (
    response_id TEXT NOT NULL,
    part TEXT NOT NULL,
    position INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (response_id, part, position)
  ) STRICT;

  -- Items by the id under which a request may refer to them.
  CREATE TABLE item (
    item_id TEXT NOT NULL,
    response_id TEXT NOT NULL,
    PRIMARY KEY (item_id, response_id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX item_by_response ON item (response_id);

  -- One row: bytes of all responses.
  CREATE TABLE total (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    bytes INTEGER NOT NULL
  ) STRICT;
  INSERT INTO total (singleton, bytes) VALUES (1, 0);
  `,
];

/** Brings the tables up to date. Run inside a transaction; safe at every start. */
export function migrate(sql: SqlStorage): void {
  migrateTables(sql, STEPS);
}
