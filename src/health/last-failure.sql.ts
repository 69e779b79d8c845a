/**
 * What a target's object keeps for operators: the last failure in the provider's words, and the openings of its breaker
 * in the last day. Tables of their own: objects of earlier releases have none, and go on without them.
 */
import { isJsonObject, tryParseJson } from "../lib/json.ts";
import type { LastFailure, Opening } from "./types.ts";

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS last_failure (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    record TEXT NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS opening (
    at INTEGER PRIMARY KEY,
    until INTEGER NOT NULL,
    class TEXT
  ) STRICT;
`;
const DAY_MS = 86_400_000;
/** A breaker that opens every few seconds all day long would be a long list. */
const MAX_OPENINGS = 200;
/** The same failure again is written this often at most. */
const WRITTEN_EVERY_MS = 10_000;

export class FailureRecord {
  readonly #sql: SqlStorage;
  #isMade: boolean;
  #last: LastFailure | null;
  #writtenAt = 0;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    this.#isMade =
      sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'opening'").toArray().length > 0;
    this.#last = this.#load();
  }

  get last(): LastFailure | null {
    return this.#last;
  }

  /** The newest failure counts. `undefined`: a report without one. */
  note(failure: LastFailure | undefined, now: number): void {
    if (failure === undefined) return;
    const isOther = failure.class !== this.#last?.class || failure.code !== this.#last.code;
    this.#last = failure;
    if (!isOther && Math.abs(now - this.#writtenAt) < WRITTEN_EVERY_MS) return;
    this.#writtenAt = now;
    this.#make();
    this.#sql.exec("INSERT OR REPLACE INTO last_failure (singleton, record) VALUES (1, ?)", JSON.stringify(failure));
  }

  noteOpening(until: number, now: number): void {
    this.#make();
    const insert = "INSERT OR REPLACE INTO opening (at, until, class) VALUES (?, ?, ?)";
    this.#sql.exec(insert, now, until, this.#last?.class ?? null);
    this.#sql.exec(
      "DELETE FROM opening WHERE at <= ? OR at NOT IN (SELECT at FROM opening ORDER BY at DESC LIMIT ?)",
      now - DAY_MS,
      MAX_OPENINGS,
    );
  }

  /** Those of the last day, newest first. */
  openings(now: number): Opening[] {
    if (!this.#isMade) return [];
    const query = "SELECT at, until, class FROM opening WHERE at > ? ORDER BY at DESC";
    return this.#sql.exec<{ at: number; until: number; class: string | null }>(query, now - DAY_MS).toArray();
  }

  /** Everything was deleted. */
  forget(): void {
    this.#isMade = false;
    this.#last = null;
    this.#writtenAt = 0;
  }

  #make(): void {
    if (!this.#isMade) this.#sql.exec(SCHEMA);
    this.#isMade = true;
  }

  #load(): LastFailure | null {
    if (!this.#isMade) return null;
    const text = this.#sql.exec<{ record: string }>("SELECT record FROM last_failure").toArray()[0]?.record;
    const record = text === undefined ? null : tryParseJson(text);
    const isFailure = isJsonObject(record) && typeof record["class"] === "string" && typeof record["at"] === "number";
    // Written by `note`, maybe of another release, which may know further members.
    return isFailure ? (record as unknown as LastFailure) : null;
  }
}
