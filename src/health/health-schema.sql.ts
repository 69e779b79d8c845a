/** What a target's object keeps in SQLite. A target that was only looked at has no tables: asking costs no writes. */
import { tryParseJson } from "../lib/json.ts";
import { type Breaker, type Bucket, CLOSED_BREAKER } from "./breaker.ts";
import type { StoredSlice } from "./quantile.ts";
import type { SketchRow } from "./types.ts";

const SCHEMA = `
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
    seen_at INTEGER NOT NULL,
    open_for TEXT
  ) STRICT;
  CREATE TABLE IF NOT EXISTS slice (
    start_at INTEGER PRIMARY KEY,
    successes INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    rate_limited INTEGER NOT NULL,
    first_token TEXT NOT NULL,
    total TEXT NOT NULL
  ) STRICT;
`;

/** Apart, so that a release that does not know it goes on with its own tables. */
const UNCLEAN_SCHEMA = `
  CREATE TABLE IF NOT EXISTS unclean (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    until INTEGER NOT NULL
  ) STRICT;
`;

const PUT_HEALTH = `
  INSERT OR REPLACE INTO health (singleton, target, is_open, open_until, ejections, closed_at, lease_isolate,
    lease_until, cooldown_until, changed_at, announced_at, seen_at, open_for)
  VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
/** Tables of releases before 0.2 lack it. */
const HAS_OPEN_FOR = "SELECT 1 FROM pragma_table_info('health') WHERE name = 'open_for'";
const PUT_SLICE = `
  INSERT OR REPLACE INTO slice (start_at, successes, failures, rate_limited, first_token, total)
  VALUES (?, ?, ?, ?, ?, ?)`;

/** What is known of a target besides its breaker and its window. Times are epoch ms, 0 for never. */
export interface TargetFacts {
  /** `<provider>/<model>`; empty where the object was not called by name. */
  readonly target: string;
  readonly cooldownUntil: number;
  /** When the breaker changed last, and which of its changes the control plane has taken. */
  readonly changedAt: number;
  readonly announcedAt: number;
  /** When an isolate reported last, as far as it was stored. */
  readonly seenAt: number;
}

export interface Stored {
  readonly facts: TargetFacts;
  readonly breaker: Breaker;
  readonly firstToken: readonly StoredSlice[];
  readonly total: readonly StoredSlice[];
  /** Epoch ms; 0 for never. */
  readonly uncleanUntil: number;
}

/** A tenth of the window as it is stored. */
export interface SliceRows {
  readonly bucket: Bucket;
  readonly firstToken: readonly SketchRow[];
  readonly total: readonly SketchRow[];
}

interface HealthRow extends Record<string, SqlStorageValue> {
  target: string;
  is_open: number;
  open_until: number;
  ejections: number;
  closed_at: number;
  lease_isolate: string;
  lease_until: number;
  cooldown_until: number;
  changed_at: number;
  announced_at: number;
  seen_at: number;
  /** Absent in a table that an earlier release made. */
  open_for?: string | null;
}

interface SliceRow extends Record<string, SqlStorageValue> {
  start_at: number;
  successes: number;
  failures: number;
  rate_limited: number;
  first_token: string;
  total: string;
}

export const NO_FACTS: TargetFacts = { target: "", cooldownUntil: 0, changedAt: 0, announcedAt: 0, seenAt: 0 };

export class HealthTables {
  readonly #sql: SqlStorage;
  #areMade: boolean;
  #hasOpenFor = false;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    this.#areMade =
      sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'slice'").toArray().length > 0;
  }

  load(): Stored {
    return { ...this.#loadTarget(), uncleanUntil: this.#loadUnclean() };
  }

  #loadUnclean(): number {
    const isMade = this.#sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'unclean'").toArray();
    if (isMade.length === 0) return 0;
    return this.#sql.exec<{ until: number }>("SELECT until FROM unclean").toArray()[0]?.until ?? 0;
  }

  saveUnclean(until: number): void {
    this.#sql.exec(UNCLEAN_SCHEMA);
    this.#sql.exec("INSERT OR REPLACE INTO unclean (singleton, until) VALUES (1, ?)", until);
  }

  #loadTarget(): Omit<Stored, "uncleanUntil"> {
    const [row] = this.#areMade ? this.#sql.exec<HealthRow>("SELECT * FROM health").toArray() : [];
    if (row === undefined) return { facts: NO_FACTS, breaker: CLOSED_BREAKER, firstToken: [], total: [] };
    const slices = this.#sql.exec<SliceRow>("SELECT * FROM slice ORDER BY start_at").toArray();
    return {
      facts: {
        target: row.target,
        cooldownUntil: row.cooldown_until,
        changedAt: row.changed_at,
        announcedAt: row.announced_at,
        seenAt: row.seen_at,
      },
      breaker: toBreaker(row, slices),
      firstToken: slices.map(({ start_at, first_token }) => ({ startAt: start_at, rows: readRows(first_token) })),
      total: slices.map(({ start_at, total }) => ({ startAt: start_at, rows: readRows(total) })),
    };
  }

  saveTarget(facts: TargetFacts, breaker: Breaker): void {
    this.#make();
    this.#sql.exec(
      PUT_HEALTH,
      facts.target,
      breaker.isOpen ? 1 : 0,
      breaker.openUntil,
      breaker.ejections,
      breaker.closedAt,
      breaker.lease?.isolate ?? "",
      breaker.lease?.until ?? 0,
      facts.cooldownUntil,
      facts.changedAt,
      facts.announcedAt,
      facts.seenAt,
      breaker.openFor,
    );
  }

  saveSlices(slices: readonly SliceRows[]): void {
    this.#make();
    for (const { bucket, firstToken, total } of slices) {
      this.#sql.exec(
        PUT_SLICE,
        bucket.startAt,
        bucket.successes,
        bucket.failures,
        bucket.rateLimited,
        JSON.stringify(firstToken),
        JSON.stringify(total),
      );
    }
  }

  /** Keeps the slices that start after `afterAt` and before `beforeAt`. */
  dropSlices(afterAt: number, beforeAt: number): void {
    if (this.#areMade) this.#sql.exec("DELETE FROM slice WHERE start_at <= ? OR start_at >= ?", afterAt, beforeAt);
  }

  /** The breaker starts again from nothing; latencies stay. */
  clearOutcomes(): void {
    if (this.#areMade) this.#sql.exec("UPDATE slice SET successes = 0, failures = 0, rate_limited = 0");
  }

  /** Everything was deleted. */
  forget(): void {
    this.#areMade = false;
    this.#hasOpenFor = false;
  }

  #make(): void {
    if (!this.#areMade) this.#sql.exec(SCHEMA);
    this.#areMade = true;
    if (this.#hasOpenFor) return;
    if (this.#sql.exec(HAS_OPEN_FOR).toArray().length === 0)
      this.#sql.exec("ALTER TABLE health ADD COLUMN open_for TEXT");
    this.#hasOpenFor = true;
  }
}

function toBreaker(row: HealthRow, slices: readonly SliceRow[]): Breaker {
  const buckets = slices.map(({ start_at, successes, failures, rate_limited }) => ({
    startAt: start_at,
    successes,
    failures,
    rateLimited: rate_limited,
  }));
  return {
    isOpen: row.is_open === 1,
    openUntil: row.open_until,
    ejections: row.ejections,
    closedAt: row.closed_at,
    buckets: buckets.filter(({ successes, failures, rateLimited }) => {
      return successes !== 0 || failures !== 0 || rateLimited !== 0;
    }),
    votes: [],
    latest: [],
    failed: [],
    openFor: row.open_for ?? null,
    lease: row.lease_isolate === "" ? null : { isolate: row.lease_isolate, until: row.lease_until },
  };
}

/** Written by `saveSlices`, maybe of another release: what is no row of a sketch is left out. */
function readRows(text: string): readonly SketchRow[] {
  const rows = tryParseJson(text);
  if (!Array.isArray(rows)) return [];
  return rows.flatMap((row: unknown): SketchRow[] => {
    const [bucket, answered, ended] = Array.isArray(row) ? (row as readonly unknown[]) : [];
    const isRow = typeof bucket === "number" && typeof answered === "number" && typeof ended === "number";
    return isRow ? [[bucket, answered, ended]] : [];
  });
}
