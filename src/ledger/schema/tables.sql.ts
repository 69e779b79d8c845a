/**
 * The tables of a ledger: parts that steps have made and that a new ledger is made of, and all of a new one.
 *
 * A part is as its step was: what is added later is a step, and a line of `FRESH`. A test compares the two ways.
 */

/** Columns of a charge that its request's row can hold, as they are in both. */
export const INLINE = [
  ...[["attempt", "INTEGER"] as const, ["reserved_at", "INTEGER"] as const, ["bound_nano_usd", "INTEGER"] as const],
  ...[["nano_usd", "INTEGER"] as const, ["tokens", "INTEGER"] as const, ["requests", "INTEGER"] as const],
  ...[["over_bound", "INTEGER"] as const, ["provider", "TEXT"] as const, ["model", "TEXT"] as const],
  ...[
    ["winner", "INTEGER"] as const,
    ["outcome", "TEXT"] as const,
    ["source", "TEXT"] as const,
    ["basis", "TEXT"] as const,
  ],
];
export const INLINE_NAMES = INLINE.map(([name]) => name);

export const HOLD =
  "trace_id, attempt, state, reserved_at, expires_at, bound_nano_usd, tokens, requests, provider, model, origin, isolate";
const NEW_HOLD = HOLD.replaceAll(/\w+/g, "NEW.$&");

/** What was spent, by period. */
export const SPEND = `
  CREATE TABLE IF NOT EXISTS spend (
    period TEXT PRIMARY KEY,
    nano_usd INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    unpriced_requests INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
`;

/** What providers may bill for calls that were refused after they had been sent. */
export const UNADMITTED = `
  CREATE TABLE IF NOT EXISTS unadmitted (
    trace_id TEXT PRIMARY KEY,
    nano_usd INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
`;

/** What is owed to tokens per minute. */
export const TOKEN_DEBT = `
  -- Tokens used beyond their reservations, as of \`at\` (epoch ms).
  CREATE TABLE IF NOT EXISTS token_debt (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    tokens INTEGER NOT NULL,
    at INTEGER NOT NULL
  ) STRICT;
`;

/** Light traces. */
export const REFUSAL = `
  -- Light traces of requests that were refused before they reached a route, and how many more there were.
  CREATE TABLE IF NOT EXISTS refusal (
    id TEXT PRIMARY KEY,
    noted_at INTEGER NOT NULL,
    route TEXT NOT NULL,
    body TEXT NOT NULL
  ) STRICT;
`;

/** The running period of a budget with a time zone. */
export const BUDGET_WINDOW = `
  -- What was spent in the running period of a budget that has a time zone.
  CREATE TABLE IF NOT EXISTS budget_window (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    period TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    start_at INTEGER NOT NULL,
    end_at INTEGER NOT NULL,
    nano_usd INTEGER NOT NULL
  ) STRICT;
`;

/** What takes part in budgets above keys. */
export const SHARE = `
  -- The shares of budgets above keys. \`terms\`: JSON of \`BudgetTerms\`; times in epoch ms.
  CREATE TABLE IF NOT EXISTS share (
    id TEXT PRIMARY KEY,
    key_id TEXT NOT NULL,
    terms TEXT NOT NULL,
    start_at INTEGER NOT NULL,
    end_at INTEGER NOT NULL,
    spent INTEGER NOT NULL,
    held INTEGER NOT NULL,
    until INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
`;

/** Old usage, and repricing. */
export const FOLDED = `
  -- What deleted charges used, by the hour of their reservation (epoch ms). \`place\`, \`shape\` and \`usage\` are JSON.
  CREATE TABLE IF NOT EXISTS folded (
    hour INTEGER NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    place TEXT NOT NULL,
    shape TEXT NOT NULL,
    charges INTEGER NOT NULL,
    nano_usd INTEGER NOT NULL,
    unpriced_requests INTEGER NOT NULL,
    usage TEXT NOT NULL,
    PRIMARY KEY (hour, provider, model, place, shape)
  ) STRICT, WITHOUT ROWID;
  -- How far each repricing has come, and what it has summed.
  CREATE TABLE IF NOT EXISTS repricing (
    job TEXT PRIMARY KEY,
    started_at INTEGER NOT NULL,
    cursor TEXT NOT NULL,
    is_done INTEGER NOT NULL,
    charges INTEGER NOT NULL,
    before_nano_usd INTEGER NOT NULL,
    after_nano_usd INTEGER NOT NULL,
    is_exact INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  -- Corrections that the trail has not taken.
  CREATE TABLE IF NOT EXISTS adjustment (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    job TEXT NOT NULL,
    body TEXT NOT NULL
  ) STRICT;
`;

/** What waits for the index, as the release before reads it. */
export const OUTBOX_VIEW = `
  CREATE VIEW outbox AS
    SELECT trace_id, seq FROM waiting
    UNION ALL SELECT request.id, request.ship_seq FROM ledger CROSS JOIN request
    WHERE request.id >= ledger.ship_from AND request.ship_seq > ledger.shipped_seq
    AND NOT EXISTS (SELECT 1 FROM waiting WHERE waiting.trace_id = request.id);
  CREATE TRIGGER outbox_insert INSTEAD OF INSERT ON outbox BEGIN
    INSERT OR IGNORE INTO waiting (trace_id, seq) VALUES (NEW.trace_id, NEW.seq);
  END;
  CREATE TRIGGER outbox_delete INSTEAD OF DELETE ON outbox BEGIN
    DELETE FROM waiting WHERE trace_id = OLD.trace_id;
    UPDATE request SET ship_seq = 0 WHERE id = OLD.trace_id;
  END;
`;

/** Charges, wherever they are. */
export const CHARGE_VIEW = `
  CREATE VIEW charge AS
    SELECT trace_id, state, settled_at, ${INLINE_NAMES.join(", ")}, NULL AS rowid FROM charge_row
    UNION ALL SELECT id, 'S', settled_at, ${INLINE_NAMES.map((name) => `charge_${name}`).join(", ")}, NULL
    FROM request WHERE charge_attempt IS NOT NULL;
  CREATE TRIGGER charge_insert INSTEAD OF INSERT ON charge BEGIN
    UPDATE request SET charge_attempt = NULL WHERE id = NEW.trace_id AND charge_attempt = NEW.attempt;
    INSERT OR REPLACE INTO charge_row (trace_id, state, settled_at, ${INLINE_NAMES.join(", ")})
    VALUES (NEW.trace_id, NEW.state, NEW.settled_at, ${INLINE_NAMES.map((name) => `NEW.${name}`).join(", ")});
  END;
  CREATE TRIGGER charge_delete INSTEAD OF DELETE ON charge BEGIN
    DELETE FROM charge_row WHERE trace_id = OLD.trace_id AND attempt = OLD.attempt;
    UPDATE request SET charge_attempt = NULL WHERE id = OLD.trace_id AND charge_attempt = OLD.attempt;
  END;
  CREATE TRIGGER charge_update INSTEAD OF UPDATE ON charge BEGIN
    UPDATE charge_row SET nano_usd = NEW.nano_usd, basis = NEW.basis
    WHERE trace_id = OLD.trace_id AND attempt = OLD.attempt;
    UPDATE request SET charge_nano_usd = NEW.nano_usd, charge_basis = NEW.basis
    WHERE id = OLD.trace_id AND charge_attempt = OLD.attempt;
  END;
  -- The release before deletes requests and keeps their charges.
  CREATE TRIGGER request_delete BEFORE DELETE ON request
  WHEN OLD.charge_attempt IS NOT NULL AND (SELECT is_folding FROM ledger) = 0 BEGIN
    INSERT OR IGNORE INTO charge_row (trace_id, state, settled_at, ${INLINE_NAMES.join(", ")})
    VALUES (OLD.id, 'S', OLD.settled_at, ${INLINE_NAMES.map((name) => `OLD.charge_${name}`).join(", ")});
  END;
`;

/** What is held. */
export const SLOT = `
  CREATE TABLE slot (
    n INTEGER PRIMARY KEY,
    trace_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('R', 'W', '')),
    reserved_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    bound_nano_usd INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    origin TEXT NOT NULL,
    isolate TEXT NOT NULL
  ) STRICT;
`;

/** The same, as the release before reads it. */
export const HOLD_VIEW = `
  CREATE VIEW hold AS SELECT ${HOLD} FROM slot
    WHERE state <> '' AND NOT EXISTS (SELECT 1 FROM request WHERE request.id = slot.trace_id AND request.ends_holds = 1);
  CREATE TRIGGER hold_insert INSTEAD OF INSERT ON hold BEGIN
    INSERT INTO slot (${HOLD}) VALUES (${NEW_HOLD});
  END;
  CREATE TRIGGER hold_delete INSTEAD OF DELETE ON hold BEGIN
    DELETE FROM slot WHERE trace_id = OLD.trace_id AND attempt = OLD.attempt;
  END;
  CREATE TRIGGER hold_update INSTEAD OF UPDATE ON hold BEGIN
    UPDATE slot SET bound_nano_usd = NEW.bound_nano_usd, expires_at = NEW.expires_at
    WHERE trace_id = OLD.trace_id AND attempt = OLD.attempt;
  END;
  CREATE TRIGGER request_delete_slot BEFORE DELETE ON request
  WHEN OLD.ends_holds = 1 AND (SELECT is_folding FROM ledger) = 0 BEGIN
    DELETE FROM slot WHERE trace_id = OLD.id;
  END;
`;

/** Only the release before writes charges through the view: sums that it does not know are to be made again. */
export const ELSEWHERE = `
  CREATE TRIGGER charge_elsewhere INSTEAD OF INSERT ON charge BEGIN
    UPDATE ledger SET booked_elsewhere = 1 WHERE booked_elsewhere = 0;
  END;
`;

const COLUMNS = INLINE.map(([name, type]) => `charge_${name} ${type}`).join(", ");

/** A ledger that is new. */
export const FRESH = `
  ${SPEND}
  CREATE TABLE ledger (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    revoked INTEGER NOT NULL,
    trimmed_traces INTEGER NOT NULL,
    shipped_seq INTEGER NOT NULL DEFAULT 0,
    ship_from TEXT NOT NULL DEFAULT '',
    is_folding INTEGER NOT NULL DEFAULT 0,
    booked_elsewhere INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  INSERT INTO ledger (singleton, revoked, trimmed_traces) VALUES (1, 0, 0);
  CREATE TABLE request (
    id TEXT PRIMARY KEY,
    settled_at INTEGER NOT NULL,
    status TEXT NOT NULL,
    route TEXT NOT NULL,
    body TEXT NOT NULL,
    unsettled_attempts INTEGER NOT NULL DEFAULT 0,
    ship_seq INTEGER NOT NULL DEFAULT 0,
    ${COLUMNS},
    ends_holds INTEGER NOT NULL DEFAULT 0
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE charge_row (
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
    rowid INTEGER,
    PRIMARY KEY (trace_id, attempt)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE waiting (
    trace_id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE account (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    terms TEXT,
    deleted_nano_usd INTEGER NOT NULL,
    over_bound INTEGER NOT NULL,
    expired INTEGER NOT NULL,
    expired_nano_usd INTEGER NOT NULL,
    unadmitted_nano_usd INTEGER NOT NULL,
    lost_traces INTEGER NOT NULL,
    lost_nano_usd INTEGER NOT NULL,
    refused INTEGER NOT NULL DEFAULT 0,
    folded_since INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  ${UNADMITTED}${TOKEN_DEBT}${REFUSAL}${BUDGET_WINDOW}${SHARE}${FOLDED}${SLOT}${OUTBOX_VIEW}${CHARGE_VIEW}${HOLD_VIEW}${ELSEWHERE}`;
