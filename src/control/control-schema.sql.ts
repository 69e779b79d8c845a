/**
 * The tables of the control plane, as an append-only list of steps.
 *
 * A step that was ever deployed is never edited: a new one is added below it. Every change gets its number from
 * `audit.seq`, and whatever it writes carries that number, so "newest first" and "which is newer" mean the same
 * everywhere and no clock decides.
 */
import { migrateTables } from "../durable/call.ts";

const STEPS: readonly string[] = [
  `
  CREATE TABLE audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    before_digest TEXT,
    after_digest TEXT,
    reason TEXT
  ) STRICT;

  CREATE TABLE key_record (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    env TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    record TEXT NOT NULL,
    digest TEXT NOT NULL
  ) STRICT;

  CREATE TABLE route_version (
    seq INTEGER PRIMARY KEY,
    env TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    record TEXT NOT NULL,
    digest TEXT NOT NULL,
    UNIQUE (env, name, version)
  ) STRICT;

  -- A route without a row here is deleted: its versions stay and keep counting.
  CREATE TABLE route_active (
    env TEXT NOT NULL,
    name TEXT NOT NULL,
    seq INTEGER NOT NULL UNIQUE,
    index_entry TEXT NOT NULL,
    PRIMARY KEY (env, name)
  ) STRICT, WITHOUT ROWID;

  -- What KV does not have yet. A value of NULL deletes the key.
  CREATE TABLE publication (
    kv_key TEXT PRIMARY KEY,
    value TEXT,
    seq INTEGER NOT NULL
  ) STRICT;
  `,
  `
  -- Each lane is sent on its own, so that one that KV refuses does not hold up another.
  ALTER TABLE publication ADD COLUMN lane TEXT NOT NULL DEFAULT 'operator';

  -- Breakers that are open, and for a while those that closed, so that a late report does not open them again.
  CREATE TABLE target_health (
    target TEXT PRIMARY KEY,
    is_open INTEGER NOT NULL,
    open_until_ms INTEGER NOT NULL,
    -- By the clock of the target's object: decides which change is newer.
    changed_at_ms INTEGER NOT NULL,
    -- By our own clock: decides when the row goes.
    noted_at_ms INTEGER NOT NULL
  ) STRICT;

  -- One row: the time in the newest list of open breakers, and when KV was last written with one.
  CREATE TABLE health_list (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    at_ms INTEGER NOT NULL,
    sent_at_ms INTEGER NOT NULL
  ) STRICT;
  INSERT INTO health_list (singleton, at_ms, sent_at_ms) VALUES (1, 0, 0);
  `,
  "CREATE INDEX key_by_env ON key_record (env);",
  `
  -- Tool calls that wait for a decision, or had one lately. The truth is with each key.
  CREATE TABLE approval (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    key_id TEXT NOT NULL,
    tool_call_id TEXT NOT NULL,
    env TEXT NOT NULL,
    app TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    UNIQUE (key_id, tool_call_id)
  ) STRICT;
  CREATE INDEX approval_by_expiry ON approval (expires_at_ms);
  CREATE INDEX approval_by_call ON approval (tool_call_id);
  `,
  `
  -- What a change was made on, as JSON: where a version comes from, and the evidence and gates of a promotion.
  ALTER TABLE audit ADD COLUMN detail TEXT;

  -- Operators' own providers. A record of NULL: deleted.
  CREATE TABLE provider (
    id TEXT PRIMARY KEY,
    record TEXT,
    digest TEXT
  ) STRICT;
  `,
  "ALTER TABLE target_health ADD COLUMN open_for TEXT",
  `
  -- What a change has changed, as JSON, without secrets.
  ALTER TABLE audit ADD COLUMN before_members TEXT;
  ALTER TABLE audit ADD COLUMN after_members TEXT;
  `,
  `
  -- Prices that operators set. \`record\` is what was asked for, in USD; \`seq\` is that of the change.
  CREATE TABLE price (
    seq INTEGER PRIMARY KEY,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    valid_from_ms INTEGER NOT NULL,
    valid_until_ms INTEGER,
    record TEXT NOT NULL,
    updated_by TEXT NOT NULL,
    updated_at_ms INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX price_by_model ON price (provider, model, valid_from_ms);

  CREATE TABLE setting (
    name TEXT PRIMARY KEY,
    record TEXT NOT NULL,
    updated_by TEXT NOT NULL,
    updated_at_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- Providers and targets that operators have taken out of every plan.
  CREATE TABLE disabled (
    name TEXT PRIMARY KEY,
    reason TEXT NOT NULL,
    until_ms INTEGER,
    actor TEXT NOT NULL,
    at_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- Budgets above keys.
  CREATE TABLE budget (
    id TEXT PRIMARY KEY,
    record TEXT NOT NULL,
    digest TEXT NOT NULL
  ) STRICT;
  `,
  `
  -- Releases before kept usage for 31 days. Their state begins there; a new deployment has everything from its beginning.
  INSERT INTO setting (name, record, updated_by, updated_at_ms)
  SELECT 'usage_kept_since', CAST((unixepoch('now') / 86400 - 30) * 86400000 AS TEXT), '', 0
  WHERE EXISTS (SELECT 1 FROM key_record);
  `,
  `
  -- Who is told of what, and what is on its way there.
  CREATE TABLE webhook (
    id TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    events TEXT NOT NULL,
    secret TEXT NOT NULL,
    previous_secret TEXT,
    previous_until_ms INTEGER,
    created_at_ms INTEGER NOT NULL,
    disabled_at_ms INTEGER,
    failing_since_ms INTEGER
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE delivery (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    type TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    status TEXT NOT NULL,
    tries INTEGER NOT NULL,
    next_at_ms INTEGER,
    last_at_ms INTEGER,
    last_status INTEGER
  ) STRICT;
  CREATE INDEX delivery_waiting ON delivery (next_at_ms) WHERE status = 'waiting';
  CREATE INDEX delivery_of ON delivery (webhook_id, seq);
  CREATE TABLE told_once (
    name TEXT PRIMARY KEY,
    at_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- Lines of an import until all of it is there.
  CREATE TABLE import_line (
    import_id TEXT NOT NULL,
    line INTEGER NOT NULL,
    kind TEXT NOT NULL,
    data TEXT NOT NULL,
    sums TEXT,
    PRIMARY KEY (import_id, line)
  ) STRICT, WITHOUT ROWID;
  `,
];

/** Brings the tables up to date. Run inside a transaction; safe at every start. */
export function migrate(sql: SqlStorage): void {
  migrateTables(sql, STEPS);
}
