/**
 * Where an object keeps its traces: one row each, clustered by time, JSON included, so that a trace is one row written.
 *
 * Objects that a release up to 0.2.0 has made keep a table of traces with a row number, two indexes and a table of JSON:
 * four rows a trace. They stay as they are until their day is deleted, and every question reads both. That release runs
 * on the clustered table too: it finds a number in `seq`, and `body` is a view that it writes as it wrote the table.
 */

/** Replaces the tables that the first step made, in a new object. */
const CLUSTERED = `
  DROP INDEX trace_by_time;
  DROP INDEX trace_not_ok;
  DROP TABLE trace;
  DROP TABLE body;
  CREATE TABLE trace (
    created_at INTEGER NOT NULL,
    id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    app TEXT NOT NULL,
    route TEXT NOT NULL,
    status TEXT NOT NULL,
    -- Empty for nobody.
    provider TEXT NOT NULL,
    -- JSON: [provider, model, nano-USD or null] of each attempt.
    attempts TEXT NOT NULL,
    unadmitted_nano_usd INTEGER NOT NULL,
    unsettled_attempts INTEGER NOT NULL DEFAULT 0,
    -- JSON of the trace; empty where it is not shown any more.
    json TEXT NOT NULL DEFAULT '',
    -- The ms of the day and what tells traces of one ms apart: 53 bits. Read by release 0.2.0 alone.
    seq INTEGER NOT NULL GENERATED ALWAYS AS (
      created_at % 86400000 * 67108864 + unicode(substr(id, -1)) % 64 * 262144 + unicode(substr(id, -2, 1)) % 64 * 4096
      + unicode(substr(id, -3, 1)) % 64 * 64 + unicode(substr(id, -4, 1)) % 64
    ) VIRTUAL,
    PRIMARY KEY (created_at, id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX trace_not_ok ON trace (created_at, id) WHERE status <> 'ok';
  CREATE VIEW body AS SELECT seq, json AS trace FROM trace WHERE json <> '';
  CREATE TRIGGER body_insert INSTEAD OF INSERT ON body BEGIN
    UPDATE trace SET json = NEW.trace
    WHERE created_at = (SELECT day_start_at FROM trail) + CAST(NEW.seq AS INTEGER) / 67108864 AND seq = NEW.seq;
  END;
  CREATE TRIGGER body_delete INSTEAD OF DELETE ON body BEGIN
    UPDATE trace SET json = ''
    WHERE created_at = (SELECT day_start_at FROM trail) + CAST(OLD.seq AS INTEGER) / 67108864 AND seq = OLD.seq;
  END;
  CREATE TRIGGER body_update INSTEAD OF UPDATE ON body BEGIN
    UPDATE trace SET json = NEW.trace
    WHERE created_at = (SELECT day_start_at FROM trail) + CAST(OLD.seq AS INTEGER) / 67108864 AND seq = OLD.seq;
  END;
`;

export interface Layout {
  readonly isClustered: boolean;
  /** The tables of a trace with its JSON, and the JSON's column: empty where there is none any more. */
  readonly from: string;
  /** The same, through the index of those that failed. */
  readonly fromFailed: string;
  readonly json: string;
  /** Takes the JSON away where the condition that is added holds. */
  readonly strip: (condition: string) => string;
}

const CLUSTERED_LAYOUT: Layout = {
  isClustered: true,
  from: "trace",
  fromFailed: "trace INDEXED BY trace_not_ok",
  // With its table, because `json_each` has a column of this name.
  json: "trace.json",
  strip: (condition) => `UPDATE trace SET json = '' WHERE json <> '' AND ${condition} RETURNING 1`,
};
const SPLIT_LAYOUT: Layout = {
  isClustered: false,
  from: "trace LEFT JOIN body USING (seq)",
  fromFailed: "trace INDEXED BY trace_not_ok LEFT JOIN body USING (seq)",
  json: "coalesce(body.trace, '')",
  strip: (condition) => `DELETE FROM body WHERE seq IN (SELECT seq FROM trace WHERE ${condition}) RETURNING 1`,
};

/** To be run on tables that have just been made. */
export function cluster(sql: SqlStorage): void {
  sql.exec(CLUSTERED);
}

/** How the tables of this object are. */
export function layoutOf(sql: SqlStorage): Layout {
  const views = sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'view' AND name = 'body'").toArray();
  return views.length > 0 ? CLUSTERED_LAYOUT : SPLIT_LAYOUT;
}
