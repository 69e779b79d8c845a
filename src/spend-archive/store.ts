/**
 * One month of one environment in SQL: usage by the day, and per key for the whole month.
 *
 * A day comes from its object of the trail, whole, and again after every change. The sums per key are made from the days
 * and stay when the days are deleted.
 */
import { migrateTables } from "../durable/call.ts";
import { tryParseJson } from "../lib/json.ts";
import { dayStart, nextMonth } from "../trace-index/calendar.ts";
import { type AdjustmentBatch, adjustedRow } from "../trace-index/store/store-adjust.ts";
import { type ArchivedDay, COUNT_COLUMNS, PLACE_COLUMNS, type UsageRow } from "../trace-index/usage.ts";
import { sumUsage, type UsageQuestion, type UsageSum } from "../trace-index/usage-query.ts";
import { addUsage, DAY, eraseTags, USAGE_TABLE } from "../trace-index/usage-schema.sql.ts";

/** How many days usage by the day is kept. */
export const KEPT_DAYS = 400;

/** The width under which the sums of the month are kept. */
const MONTH = 0;

const STEPS: readonly string[] = [
  `
  ${USAGE_TABLE}
  -- Days that are here whole, by their first ms, and the newest version of each.
  CREATE TABLE kept_day (
    day INTEGER PRIMARY KEY,
    version INTEGER NOT NULL
  ) STRICT;
  -- Parts of days that have not come whole. \`rows\` is JSON.
  CREATE TABLE staged (
    day INTEGER NOT NULL,
    version INTEGER NOT NULL,
    part INTEGER NOT NULL,
    rows TEXT NOT NULL,
    PRIMARY KEY (day, version, part)
  ) STRICT;
  `,
  `
  -- Corrections that were applied here, by the sender's key and number.
  CREATE TABLE adjusted (
    key_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (key_id, seq)
  ) STRICT, WITHOUT ROWID;
  `,
];

const PLACES = PLACE_COLUMNS.join(", ");
const SUMS = COUNT_COLUMNS.map((name) => `sum(${name})`).join(", ");
/** The days of the month as one, without latencies and refusals. */
const MONTH_SUMS = `
  INSERT INTO usage (grain, at, ${PLACES}, ${COUNT_COLUMNS.join(", ")}) SELECT ${MONTH}, ?, ${PLACES}, ${SUMS}
  FROM usage WHERE grain = ${DAY} AND status <> 'refused' GROUP BY ${PLACES}`;
/** What is kept of it when the days are deleted. */
const PER_KEY = `
  INSERT INTO usage (grain, at, key_id, app, route, api, provider, model, status, tags, ${COUNT_COLUMNS.join(", ")})
  SELECT ${MONTH} - 1, at, key_id, '', '', '', '', '', '', '{}', ${SUMS}
  FROM usage WHERE grain = ${MONTH} GROUP BY at, key_id`;

const isFirst = (at: number): boolean => new Date(at).getUTCDate() === 1;

export interface ArchiveAnswer {
  /** Days in the span that the archive has, by their first ms. */
  readonly days: readonly number[];
  readonly sums: readonly UsageSum[];
}

export class ArchiveStore {
  readonly #sql: SqlStorage;
  #hasTables: boolean;

  /** Brings tables that are there up to date: run it inside a transaction. An archive that was only asked has none. */
  constructor(sql: SqlStorage) {
    this.#sql = sql;
    const query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'migration'";
    this.#hasTables = sql.exec(query).toArray().length > 0;
    if (this.#hasTables) migrateTables(sql, STEPS);
  }

  /** A part of a day; with its last part the day takes the place of an older copy. To be run inside a transaction. */
  putDay({ day, version, part, parts, rows }: ArchivedDay, monthStart: number): void {
    if (!this.#hasTables) migrateTables(this.#sql, STEPS);
    this.#hasTables = true;
    const known = this.#sql.exec<{ version: number }>("SELECT version FROM kept_day WHERE day = ?", day).toArray()[0];
    if (known !== undefined && known.version >= version) return;
    this.#sql.exec(
      "INSERT OR REPLACE INTO staged (day, version, part, rows) VALUES (?, ?, ?, ?)",
      ...[day, version, part, JSON.stringify(rows)],
    );
    const staged = this.#sql
      .exec<{ rows: string }>("SELECT rows FROM staged WHERE day = ? AND version = ? ORDER BY part", day, version)
      .toArray();
    if (staged.length < parts) return;
    this.#sql.exec("DELETE FROM usage WHERE grain = ? AND at = ?", DAY, day);
    for (const { rows: text } of staged) {
      // Written above from `UsageRow`s.
      for (const row of (tryParseJson(text) ?? []) as UsageRow[]) addUsage(this.#sql, DAY, { ...row, at: day });
    }
    this.#sql.exec("DELETE FROM staged WHERE day = ? AND version <= ?", day, version);
    this.#sql.exec("INSERT OR REPLACE INTO kept_day (day, version) VALUES (?, ?)", day, version);
    this.#sumMonth(monthStart);
  }

  /** Corrections of days whose object of the trail is gone, each once. To be run inside a transaction. */
  adjust({ keyId, adjustments }: AdjustmentBatch, tagNames: readonly string[], monthStart: number): void {
    if (!this.#hasTables) migrateTables(this.#sql, STEPS);
    this.#hasTables = true;
    for (const adjustment of adjustments) {
      const known = this.#sql.exec(
        "INSERT OR IGNORE INTO adjusted (key_id, seq) VALUES (?, ?) RETURNING seq",
        ...[keyId, adjustment.seq],
      );
      if (known.toArray().length === 0) continue;
      const row = adjustedRow(adjustment, keyId, tagNames);
      addUsage(this.#sql, DAY, { ...row, at: dayStart(row.at) });
    }
    this.#sumMonth(monthStart);
  }

  #sumMonth(monthStart: number): void {
    this.#sql.exec("DELETE FROM usage WHERE grain = ?", MONTH);
    this.#sql.exec(MONTH_SUMS, monthStart);
  }

  /** Days from `since` to `until`, first ms of days. */
  answer(question: UsageQuestion, since: number, until: number): ArchiveAnswer {
    if (!this.#hasTables) return { days: [], sums: [] };
    const days = this.#sql
      .exec<{ day: number }>("SELECT day FROM kept_day WHERE day >= ? AND day < ? ORDER BY day", since, until)
      .toArray()
      .map(({ day }) => day);
    if (days.length === 0) return { days, sums: [] };
    const { bucketMs, withLatency, withRefused } = question;
    const isMonth = bucketMs === null && !withLatency && !withRefused && isFirst(since) && nextMonth(since) === until;
    const rows = isMonth ? { grain: MONTH, since, until: since + 1 } : { grain: DAY, since, until };
    return { days, sums: sumUsage(this.#sql, question, rows) };
  }

  /** The whole month, per key or in all. */
  monthly(question: UsageQuestion, monthStart: number): UsageSum[] {
    if (!this.#hasTables) return [];
    return sumUsage(this.#sql, question, { grain: MONTH, since: monthStart, until: monthStart + 1 });
  }

  /** What a key used is counted without its tags from now on. To be run inside a transaction. */
  eraseTags(keyId: string): void {
    if (this.#hasTables) eraseTags(this.#sql, keyId);
  }

  dropDays(): void {
    if (!this.#hasTables) return;
    this.#sql.exec(PER_KEY);
    this.#sql.exec("DELETE FROM usage WHERE grain >= ?", MONTH);
    this.#sql.exec("UPDATE usage SET grain = ? WHERE grain < ?", MONTH, MONTH);
    this.#sql.exec("DELETE FROM kept_day");
    this.#sql.exec("DELETE FROM staged");
  }
}
