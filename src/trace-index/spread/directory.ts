/**
 * What the object of a day knows of its shards: since when there are how many, which have traces, and what it has added
 * up of each.
 */
import type { Shard, Span } from "../calendar.ts";
import { hourOf, type Spread, type SpreadStep, shardOf, shardsAt, wantedShards } from "./plan.ts";

/** For how long an answer is settled: as long as it takes until a change holds, and as long as shards need not ask. */
export const SETTLED_MS = 30_000;
/** Loads that were reported longer ago do not count. */
const LOAD_KEPT_MS = 15_000;
/** Own load is measured over it. */
const MEASURED_MS = 10_000;
/** Traces in the object of the day, beyond which the rest goes to shards: a gigabyte or so. */
const DAY_ROWS = 1_000_000;
/** So long after a change there may be fewer shards again. */
const SHRINK_AFTER_MS = 600_000;

/** In the tables of a day, from the first batch on. */
export const DIRECTORY_TABLES = `
  CREATE TABLE spread (
    from_at INTEGER PRIMARY KEY,
    shards INTEGER NOT NULL
  ) STRICT;
  -- \`seq\`: the last delta of the shard that was added.
  CREATE TABLE shard (
    hour_at INTEGER NOT NULL,
    number INTEGER NOT NULL,
    of INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (hour_at, number, of)
  ) STRICT, WITHOUT ROWID;
  -- Of a shard: what the object of the day has not added yet, as JSON of a \`TrailDelta\`.
  CREATE TABLE pending (
    seq INTEGER PRIMARY KEY,
    delta TEXT NOT NULL
  ) STRICT;
`;

/** What was promised for times further ahead than an instance after this one would assume. */
export const SETTLED_TABLE = `
  CREATE TABLE settled (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    to_at INTEGER NOT NULL
  ) STRICT;
`;
const KEEP_SETTLED = `
  INSERT INTO settled (singleton, to_at) VALUES (1, ?) ON CONFLICT DO UPDATE SET to_at = max(to_at, excluded.to_at)`;

export class Directory {
  readonly #sql: SqlStorage;
  #steps: SpreadStep[] | null = null;
  /** Nothing changes for times below it: it was answered so, or a trace of that time was taken. Epoch ms. */
  #settledTo: number;
  /** What of it outlives this instance, epoch ms; `null`: not read yet. */
  #keptTo: number | null = null;
  readonly #loads = new Map<string, { readonly load: number; readonly at: number }>();
  #own = { units: 0, since: 0, load: 0 };

  /** `now`: what an instance before this one has said holds no longer than that and `SETTLED_MS`. */
  constructor(sql: SqlStorage, now: number) {
    this.#sql = sql;
    this.#settledTo = now + 2 * SETTLED_MS;
  }

  forget(): void {
    this.#steps = null;
    this.#keptTo = null;
  }

  /** Settles where traces up to `neededAt` go. The tables have to be there. */
  spread(now: number, neededAt = now): Spread {
    this.#settle(Math.max(now + SETTLED_MS, neededAt + 1), now);
    return { steps: this.#load(), until: this.#settledTo };
  }

  /**
   * Nothing changes below `to` any more. What an instance that starts now would not assume by itself is written: traces
   * of clocks that are ahead, for a minute more at a time, so that each of them costs no row of its own.
   */
  #settle(to: number, now: number): void {
    this.#settledTo = Math.max(this.#settledTo, this.#kept(), to);
    if (to <= now + 2 * SETTLED_MS || to <= this.#kept()) return;
    this.#keptTo = to + 2 * SETTLED_MS;
    this.#settledTo = Math.max(this.#settledTo, this.#keptTo);
    this.#sql.exec(KEEP_SETTLED, this.#keptTo);
  }

  #kept(): number {
    this.#keptTo ??= this.#sql.exec<{ to_at: number }>("SELECT to_at FROM settled").toArray()[0]?.to_at ?? 0;
    return this.#keptTo;
  }

  /** As `spread`, without a promise: for traces that are there. */
  shardsAt(at: number): number {
    return shardsAt({ steps: this.#load() }, at);
  }

  /** As many as at the end of the day, for the next one. */
  get lastShards(): number {
    return this.#load().at(-1)?.shards ?? 0;
  }

  /** From the beginning of the day, before a trace was taken. Belongs to a transaction. */
  begin(startAt: number, shards: number): void {
    if (shards > 1) this.#addStep({ from: startAt, shards });
  }

  /** A shard is about to take traces. Belongs to a transaction. */
  join({ hourAt, number, of }: Shard): void {
    this.#sql.exec(
      "INSERT OR IGNORE INTO shard (hour_at, number, of, seq) VALUES (?, ?, ?, 0)",
      ...[hourAt, number, of],
    );
  }

  /** The last delta of a shard that was added. */
  addedOf({ hourAt, number, of }: Shard): number {
    const query = "SELECT seq FROM shard WHERE hour_at = ? AND number = ? AND of = ?";
    return this.#sql.exec<{ seq: number }>(query, hourAt, number, of).toArray()[0]?.seq ?? 0;
  }

  noteAdded({ hourAt, number, of }: Shard, seq: number): void {
    this.#sql.exec(
      `INSERT INTO shard (hour_at, number, of, seq) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq)`,
      ...[hourAt, number, of, seq],
    );
  }

  /** Shards with traces of a time in the span, the newest hour first; of one key where `keyId` is given. */
  shards({ since, until }: Span, keyId?: string): Shard[] {
    const query = "SELECT hour_at, number, of FROM shard WHERE hour_at >= ? AND hour_at < ? ORDER BY hour_at DESC";
    return this.#sql
      .exec<{ hour_at: number; number: number; of: number }>(query, hourOf(since), until)
      .toArray()
      .map(({ hour_at: hourAt, number, of }) => ({ hourAt, number, of }))
      .filter(({ number, of }) => keyId === undefined || shardOf(keyId, of) === number);
  }

  /** A call with so many traces came to the object of the day. */
  noteCall(rows: number, now: number): void {
    const passedMs = now - this.#own.since;
    if (passedMs >= MEASURED_MS || passedMs < 0) {
      const isRecent = passedMs >= 0 && passedMs < 2 * MEASURED_MS;
      this.#own = { units: 0, since: now, load: isRecent ? (this.#own.units * 1_000) / passedMs : 0 };
    }
    this.#own.units += unitsOf(1, rows);
  }

  /** A shard says how busy it is. */
  noteLoad(shard: Shard, load: number, now: number): void {
    this.#loads.set(`${shard.number}-${shard.of}`, { load, at: now });
  }

  /** Changes the number of shards where it should be another one. Belongs to a transaction. */
  decide(now: number, dayRows: number): void {
    const steps = this.#load();
    const last = steps.at(-1);
    if (last !== undefined && last.from > now) return;
    for (const [name, { at }] of this.#loads) if (now - at > LOAD_KEPT_MS || now < at) this.#loads.delete(name);
    const load = [...this.#loads.values()].reduce((sum, each) => sum + each.load, this.#own.load);
    const current = last?.shards ?? 0;
    const wanted = wantedShards(current, load, dayRows >= DAY_ROWS);
    if (wanted === current || (wanted < current && now - (last?.from ?? 0) < SHRINK_AFTER_MS)) return;
    this.#settledTo = Math.max(this.#settledTo, this.#kept(), now);
    this.#addStep({ from: this.#settledTo, shards: wanted });
  }

  #addStep({ from, shards }: SpreadStep): void {
    this.#sql.exec("INSERT OR IGNORE INTO spread (from_at, shards) VALUES (?, ?)", from, shards);
    this.#steps = null;
  }

  #load(): SpreadStep[] {
    this.#steps ??= this.#sql
      .exec<{ from_at: number; shards: number }>("SELECT from_at, shards FROM spread ORDER BY from_at")
      .toArray()
      .map(({ from_at: from, shards }) => ({ from, shards }));
    return this.#steps;
  }
}

/** See `WANTED_LOAD`. */
export function unitsOf(calls: number, rows: number): number {
  return calls + rows / 10;
}
