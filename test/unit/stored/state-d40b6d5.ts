/**
 * The tables of the five Durable Objects as commit d40b6d5 made them, which was the last one before readers became
 * tolerant. Never edited: what a deployment has in its storage does not change when our code does.
 */

/** What had run by then, as the table `migration` counts it. */
const done = (steps: number): string =>
  `CREATE TABLE migration (step INTEGER PRIMARY KEY) STRICT;
   INSERT INTO migration (step) VALUES ${Array.from({ length: steps }, (_, step) => `(${step})`).join(", ")};`;

export const LEDGER = `
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
  CREATE TABLE IF NOT EXISTS request (
    id TEXT PRIMARY KEY,
    settled_at INTEGER NOT NULL,
    status TEXT NOT NULL,
    route TEXT NOT NULL,
    body TEXT NOT NULL
  ) STRICT;
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
    PRIMARY KEY (trace_id, attempt)
  ) STRICT;
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
INSERT INTO account VALUES (1, NULL, 0, 0, 0, 0, 0, 0, 0);
  ALTER TABLE hold ADD COLUMN origin TEXT NOT NULL DEFAULT '';
  ALTER TABLE request ADD COLUMN unsettled_attempts INTEGER NOT NULL DEFAULT 0;
${done(1)}`;

export const CONTROL = `
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
  CREATE TABLE route_active (
    env TEXT NOT NULL,
    name TEXT NOT NULL,
    seq INTEGER NOT NULL UNIQUE,
    index_entry TEXT NOT NULL,
    PRIMARY KEY (env, name)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE publication (
    kv_key TEXT PRIMARY KEY,
    value TEXT,
    seq INTEGER NOT NULL
  ) STRICT;
  ALTER TABLE publication ADD COLUMN lane TEXT NOT NULL DEFAULT 'operator';
  CREATE TABLE target_health (
    target TEXT PRIMARY KEY,
    is_open INTEGER NOT NULL,
    open_until_ms INTEGER NOT NULL,
    changed_at_ms INTEGER NOT NULL,
    noted_at_ms INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE health_list (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    at_ms INTEGER NOT NULL,
    sent_at_ms INTEGER NOT NULL
  ) STRICT;
  INSERT INTO health_list VALUES (1, 0, 0);
  CREATE INDEX key_by_env ON key_record (env);;
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
  ALTER TABLE audit ADD COLUMN detail TEXT;
  CREATE TABLE provider (
    id TEXT PRIMARY KEY,
    record TEXT,
    digest TEXT
  ) STRICT;
${done(5)}`;

export const APPROVALS = `
  CREATE TABLE call (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    trace_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
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
    unsent INTEGER NOT NULL,
    UNIQUE (trace_id, position)
  ) STRICT;
  CREATE INDEX call_by_name ON call (name, seq);
  CREATE INDEX call_unsent ON call (seq) WHERE unsent = 1;
  CREATE TABLE step (
    trace_id TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    body TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE belief (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    none_until_ms INTEGER NOT NULL
  ) STRICT;
  INSERT INTO belief VALUES (1, 0);
  ALTER TABLE belief ADD COLUMN is_over INTEGER NOT NULL DEFAULT 0;
${done(2)}`;

export const TRAIL = `
  CREATE TABLE trail (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    day_start_at INTEGER NOT NULL,
    bodies_since INTEGER NOT NULL,
    bodies INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE trace (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    app TEXT NOT NULL,
    route TEXT NOT NULL,
    status TEXT NOT NULL,
    provider TEXT NOT NULL,
    attempts TEXT NOT NULL,
    unadmitted_nano_usd INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX trace_by_time ON trace (created_at, id);
  CREATE INDEX trace_not_ok ON trace (created_at, id) WHERE status <> 'ok';
  CREATE TABLE body (
    seq INTEGER PRIMARY KEY,
    trace TEXT NOT NULL
  ) STRICT;
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
    provider TEXT NOT NULL,
    errors INTEGER NOT NULL,
    PRIMARY KEY (route, version, slot, class, provider)
  ) STRICT, WITHOUT ROWID;
  ALTER TABLE trace ADD COLUMN unsettled_attempts INTEGER NOT NULL DEFAULT 0;
${done(2)}`;

export const HEALTH = `
  CREATE TABLE IF NOT EXISTS health (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    target TEXT NOT NULL,
    is_open INTEGER NOT NULL,
    open_until INTEGER NOT NULL,
    ejections INTEGER NOT NULL,
    closed_at INTEGER NOT NULL,
    lease_isolate TEXT NOT NULL,
    lease_until INTEGER NOT NULL,
    cooldown_until INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    announced_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS slice (
    start_at INTEGER PRIMARY KEY,
    successes INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    rate_limited INTEGER NOT NULL,
    first_token TEXT NOT NULL,
    total TEXT NOT NULL
  ) STRICT;`;
