/** What a target's object keeps of the prompts it was sent. A table of its own: objects of earlier releases have none. */
import { CACHE_WINDOW_MS, CacheShare, type PromptCounts, type PromptSlice } from "./cache-share.ts";

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS prompt_slice (
    start_at INTEGER PRIMARY KEY,
    requests INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL
  ) STRICT;
`;
const PUT = `
  INSERT OR REPLACE INTO prompt_slice (start_at, requests, prompt_tokens, cached_tokens) VALUES (?, ?, ?, ?)`;

class CacheTable {
  readonly #sql: SqlStorage;
  #isMade: boolean;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    this.#isMade =
      sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'prompt_slice'").toArray().length > 0;
  }

  load(): readonly PromptSlice[] {
    if (!this.#isMade) return [];
    return this.#sql
      .exec<{ [column in keyof PromptSlice]: number }>(
        `SELECT start_at AS startAt, requests, prompt_tokens AS promptTokens, cached_tokens AS cachedTokens
         FROM prompt_slice ORDER BY start_at`,
      )
      .toArray();
  }

  /** Keeps the slices between these times, epoch ms, besides `slice`. */
  save({ startAt, requests, promptTokens, cachedTokens }: PromptSlice, from: number, until: number): void {
    if (!this.#isMade) this.#sql.exec(SCHEMA);
    this.#isMade = true;
    this.#sql.exec(PUT, startAt, requests, promptTokens, cachedTokens);
    this.#sql.exec("DELETE FROM prompt_slice WHERE start_at <= ? OR start_at >= ?", from, until);
  }

  /** Everything was deleted. */
  forget(): void {
    this.#isMade = false;
  }
}

/** The share and its table: what was counted is kept with the report that brought it. */
export class CacheRecord {
  readonly #table: CacheTable;
  #share: CacheShare;

  constructor(sql: SqlStorage) {
    this.#table = new CacheTable(sql);
    this.#share = new CacheShare(this.#table.load());
  }

  add(counts: PromptCounts | undefined, now: number): void {
    const slice = this.#share.add(counts, now);
    if (slice !== null) this.#table.save(slice, now - CACHE_WINDOW_MS, now + CACHE_WINDOW_MS);
  }

  shareAt(now: number): number {
    return this.#share.at(now);
  }

  /** Everything was deleted. */
  forget(): void {
    this.#table.forget();
    this.#share = new CacheShare();
  }
}
