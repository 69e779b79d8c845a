/**
 * The books of a budget above keys, on SQLite and without a clock of their own.
 *
 * The pool owns the limit and leases parts of it to the ledgers that spend. What a ledger holds is what it has spent and
 * what it may still reserve: the sum of all that is held never passes the limit by a lease. A ledger is the only one that
 * knows what it needs, so what it holds is lowered by its own word alone: one that fell silent is charged in full.
 *
 * Every method that changes something must run in a transaction of the caller's; after one that failed, `load` makes
 * memory equal to the tables again.
 */
import { migrateTables } from "../durable/call.ts";
import { parseJson } from "../lib/json.ts";
import { fromUsd } from "../lib/money.ts";
import { spanOf } from "../lib/time/calendar.ts";
import type { BudgetRecord } from "./record.ts";
import type { BudgetStatus, LeaseAnswer, LeaseRequest, Part } from "./types.ts";

/** How long a ledger may spend what it holds before it has to ask again. */
export const LEASE_MS = 60_000;
/** By then every isolate knows of a budget, and the pool has to know what was spent before. */
export const IN_FORCE_MS = 60_000;
/** Attempts that a lease is made for where there is room, so that reservations need not wait for the pool. */
const LEASED_ATTEMPTS = 64;
/** What is free is never given to one ledger by more than this part of its share. */
const CAUTION = 4;
/** Clocks of two objects may differ by so much. */
const MAX_SKEW_MS = 10_000;
/** The number of ledgers that hold something is counted again after it. */
const COUNT_EVERY_MS = 1_000;

/** In the place of a key: what another deployment had spent. */
const ELSEWHERE = "";

const STEPS = [
  `
  -- One row. A record of NULL: the budget was deleted. \`top\`: everything of an older era is over.
  CREATE TABLE pool (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    record TEXT,
    top INTEGER NOT NULL,
    start_at INTEGER NOT NULL,
    defined_at INTEGER NOT NULL,
    -- Where the inventory of ledgers goes on: JSON of an \`Inventory\`.
    inventory TEXT NOT NULL
  ) STRICT;
  INSERT INTO pool (singleton, record, top, start_at, defined_at, inventory) VALUES (1, NULL, 0, 0, 0, '{}');
  CREATE TABLE part (
    key_id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    held INTEGER NOT NULL,
    spent INTEGER NOT NULL,
    until INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
];

/** How far the pool has come in asking every ledger what it had spent before. */
export interface Inventory {
  /** Cursor of the key list; `null`: its beginning. */
  readonly cursor: number | null;
  /** The first round is over: all keys that were there when the budget came. */
  readonly isComplete: boolean;
  /** So is the second one, over keys that came before every isolate knew of the budget. */
  readonly isOver: boolean;
}

const NOT_BEGUN: Inventory = { cursor: null, isComplete: false, isOver: false };

type PoolRow = { record: string | null; top: number; start_at: number; defined_at: number; inventory: string };
type PartRow = { seq: number; held: number; spent: number; until: number };

export class Pool {
  readonly #sql: SqlStorage;
  #record: BudgetRecord | null = null;
  #top = 0;
  #startAt = 0;
  #definedAt = 0;
  #inventory: Inventory = NOT_BEGUN;
  #held = 0;
  #spent = 0;
  #live = { count: 1, at: 0 };

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    migrateTables(sql, STEPS);
    this.load();
  }

  load(): void {
    const row = this.#sql.exec<PoolRow>("SELECT record, top, start_at, defined_at, inventory FROM pool").one();
    // Both were written by `define` and `noteInventory`, and nothing else writes to them.
    this.#record = row.record === null ? null : (parseJson(row.record) as unknown as BudgetRecord);
    this.#inventory = { ...NOT_BEGUN, ...(parseJson(row.inventory) as Partial<Inventory>) };
    this.#top = row.top;
    this.#startAt = row.start_at;
    this.#definedAt = row.defined_at;
    const sums = "SELECT coalesce(sum(held), 0) AS held, coalesce(sum(spent), 0) AS spent FROM part";
    const { held, spent } = this.#sql.exec<{ held: number; spent: number }>(sums).one();
    this.#held = held;
    this.#spent = spent;
    this.#live = { count: 1, at: 0 };
  }

  get record(): BudgetRecord | null {
    return this.#record;
  }

  get inventory(): Inventory {
    return this.#inventory;
  }

  get definedAt(): number {
    return this.#definedAt;
  }

  /** Everything of an era below is over. */
  get top(): number {
    return this.#top;
  }

  /** The budget's newest record; an older one changes nothing. A new era begins with empty books. */
  define(record: BudgetRecord, now: number): void {
    const known = this.#record;
    if (record.era < this.#top || (known !== null && record.version <= known.version)) return;
    const isNewEra = known === null || record.era > known.era;
    this.#record = record;
    this.#top = record.era;
    this.#sql.exec("UPDATE pool SET record = ?, top = ?", JSON.stringify(record), record.era);
    if (!isNewEra) return;
    this.#definedAt = now;
    this.#sql.exec("UPDATE pool SET defined_at = ?", now);
    this.#begin(startOf(record, now));
    const { carried } = record;
    if (carried !== undefined && carried.start_at === this.#startAt) {
      const { nano_usd: nanoUsd } = carried;
      this.#put({ keyId: ELSEWHERE }, { seq: 0, held: nanoUsd, spent: nanoUsd, until: 0 }, undefined);
    }
    this.noteInventory(NOT_BEGUN);
  }

  /** The budget is deleted. `version`: that of its deletion. */
  remove(version: number): void {
    if (version < this.#top) return;
    this.#record = null;
    this.#top = version;
    this.#sql.exec("UPDATE pool SET record = NULL, top = ?", version);
    this.#begin(0);
    this.noteInventory({ cursor: null, isComplete: true, isOver: true });
  }

  noteInventory(inventory: Inventory): void {
    this.#inventory = inventory;
    this.#sql.exec("UPDATE pool SET inventory = ?", JSON.stringify(inventory));
  }

  #begin(startAt: number): void {
    this.#startAt = startAt;
    this.#held = this.#spent = 0;
    this.#sql.exec("UPDATE pool SET start_at = ?", startAt);
    this.#sql.exec("DELETE FROM part");
  }

  /** A new period begins with nothing spent. `start`: of the period that a ledger is in, whose clock may be ahead. */
  #roll(record: BudgetRecord, now: number, start = 0): void {
    const current = Math.max(startOf(record, now), start <= now + MAX_SKEW_MS ? start : 0);
    if (current > this.#startAt) this.#begin(current);
  }

  lease(asked: LeaseRequest, now: number): LeaseAnswer {
    const record = this.#record;
    if (asked.era < this.#top) return { kind: "gone", below: this.#top };
    if (record === null || asked.era > record.era) return { kind: "unknown" };
    this.#roll(record, now, asked.start);
    const row = this.#find(asked.keyId);
    if (asked.start !== this.#startAt || asked.seq <= (row?.seq ?? 0)) return { kind: "unknown" };
    const isDeny = record.on_exceeded === "deny";
    // What was spent before is not known in whole yet, though by now it should be.
    if (isDeny && !this.#inventory.isComplete && now > this.#definedAt + IN_FORCE_MS) return { kind: "unknown" };
    const used = asked.spent + asked.reserved;
    const held = isDeny ? Math.max(asked.held, used) : used;
    const free = fromUsd(record.limit_usd) - (this.#held - (row?.held ?? 0)) - held;
    const { more, isTight } = isDeny ? grant(asked, { held, used, free, others: this.#liveParts(now) }) : NOTHING;
    // Under a limit that was lowered no lease is made longer: it ends, and what is left of it comes back.
    const until = Math.min(free < 0 && isDeny ? (row?.until ?? now) : now + LEASE_MS, endOf(record, now));
    this.#put(asked, { seq: asked.seq, held: held + more, spent: asked.spent, until }, row);
    return { kind: "lease", held: held + more, until, freeNanoUsd: free - more, limitUsd: record.limit_usd, isTight };
  }

  /** What a ledger says that was asked. A lease may be on its way to it, so what it holds is not lowered by it. */
  note(part: Part, now: number): void {
    const record = this.#record;
    if (record === null || part.era !== record.era) return;
    this.#roll(record, now, part.start);
    const row = this.#find(part.keyId);
    if (part.start !== this.#startAt || part.seq < (row?.seq ?? 0)) return;
    const used = part.spent + part.reserved;
    const held = record.on_exceeded === "deny" ? Math.max(row?.held ?? 0, part.held, used) : used;
    const { seq, until } = row ?? { seq: 0, until: 0 };
    this.#put(part, { seq, held, spent: part.spent, until }, row);
  }

  #find(keyId: string): PartRow | undefined {
    const query = "SELECT seq, held, spent, until FROM part WHERE key_id = ?";
    return this.#sql.exec<PartRow>(query, keyId).toArray()[0];
  }

  #put({ keyId }: Pick<Part, "keyId">, row: PartRow, before: PartRow | undefined): void {
    const isSame = before !== undefined && row.held === before.held && row.spent === before.spent;
    if (isSame && row.until === before.until && row.seq === before.seq) return;
    this.#sql.exec(
      "INSERT OR REPLACE INTO part (key_id, seq, held, spent, until) VALUES (?, ?, ?, ?, ?)",
      ...[keyId, row.seq, row.held, row.spent, row.until],
    );
    this.#held += row.held - (before?.held ?? 0);
    this.#spent += row.spent - (before?.spent ?? 0);
  }

  #liveParts(now: number): number {
    if (now - this.#live.at >= COUNT_EVERY_MS) {
      const query = "SELECT count(*) AS count FROM part WHERE until > ?";
      this.#live = { count: this.#sql.exec<{ count: number }>(query, now).one().count, at: now };
    }
    return this.#live.count;
  }

  /** Ledgers that may know more than they have said: those whose lease runs, or that hold what they have not spent. */
  openParts(now: number, limit: number): string[] {
    const query = "SELECT key_id FROM part WHERE until > ? OR held > spent LIMIT ?";
    return this.#sql
      .exec<{ key_id: string }>(query, now, limit)
      .toArray()
      .map(({ key_id }) => key_id);
  }

  /** `null` where there is no such budget. May begin a new period. */
  status(now: number): BudgetStatus | null {
    const record = this.#record;
    if (record === null) return null;
    this.#roll(record, now);
    const end = endOf(record, now);
    return {
      periodStart: record.period === "total" ? null : this.#startAt,
      resetsAt: Number.isFinite(end) ? end : null,
      spentNanoUsd: this.#spent,
      leasedNanoUsd: this.#held - this.#spent,
    };
  }
}

interface Room {
  readonly held: number;
  readonly used: number;
  readonly free: number;
  /** Ledgers that hold a lease. */
  readonly others: number;
}

const NOTHING = { more: 0, isTight: false };

/**
 * How much more a ledger gets: what it needs, and with room what its next attempts need as well. Near the limit single
 * reservations, and where not all that wait fit, as many of them as do.
 */
function grant({ needed, bound }: LeaseRequest, { held, used, free, others }: Room): typeof NOTHING {
  if (free <= 0) return { more: 0, isTight: true };
  const ahead = Math.min(LEASED_ATTEMPTS * bound, Math.floor(free / (CAUTION * (others + 1))));
  const wanted = used + ahead - held;
  if (needed <= free) return { more: Math.min(free, Math.max(needed, wanted, 0)), isTight: ahead < 2 * bound };
  const unused = held - used;
  const fitting = bound > 0 ? Math.floor((unused + free) / bound) * bound - unused : 0;
  return { more: Math.min(free, Math.max(0, fitting)), isTight: true };
}

/** Epoch ms; 0 where the period never began. */
export function startOf({ period, time_zone = "UTC" }: Pick<BudgetRecord, "period" | "time_zone">, at: number): number {
  return Math.max(0, spanOf(period, time_zone, at).start);
}

/** Epoch ms; infinite where it never ends. */
export function endOf({ period, time_zone = "UTC" }: Pick<BudgetRecord, "period" | "time_zone">, at: number): number {
  return spanOf(period, time_zone, at).end;
}
