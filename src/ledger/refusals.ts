/**
 * Light traces of requests that were refused before they reached a route. In a table of their own, because they are no
 * requests of the books: no sum, no limit and no retention of settled traces knows them.
 *
 * A client that sends the same mistake for ever must neither fill the ledger nor push the traces of others out of the
 * index: ten a second and a thousand a day are kept, the rest is counted.
 */
import { parseJson } from "../lib/json.ts";
import { bodyConditions, type FacetRow } from "../traces/filter.ts";
import { keyIdOfTrace, type Trace, traceIdFloor } from "../traces/schema.ts";
import type { Account } from "./account.ts";
import { facetRows } from "./trace/trace-facets.ts";
import type { RefusedRow, TracePage, TraceQuery } from "./types.ts";

export const MAX_PER_SECOND = 10;
export const MAX_PER_DAY = 1_000;
/** Newest that are kept, whatever their age. */
const MAX_KEPT = 2_000;
const SECOND_MS = 1_000;
const DAY_MS = 86_400_000;
const ABOVE_ALL_IDS = "~";

const INSERT = `
  INSERT OR IGNORE INTO refusal (id, noted_at, route, body) VALUES (?, ?, ?, ?) RETURNING 1`;
const DELETE = `
  DELETE FROM refusal WHERE noted_at < ? OR id IN (SELECT id FROM refusal ORDER BY id DESC LIMIT -1 OFFSET ?)
  RETURNING id`;

const listStatement = (more: string): string => `
  SELECT id, body FROM refusal WHERE id >= ? AND id < ? AND route = coalesce(?, route)${more} ORDER BY id DESC LIMIT ?`;

export class Refusals {
  readonly #sql: SqlStorage;
  readonly #account: Account;
  readonly #days: number;
  /** How many were kept in the running second and day, by their numbers since 1970. */
  #second = { number: 0, kept: 0 };
  #day = { number: 0, kept: 0 };

  /** `days`: how long they are kept. */
  constructor(sql: SqlStorage, account: Account, days: number) {
    this.#days = days;
    this.#sql = sql;
    this.#account = account;
  }

  /** After a transaction that failed: the day is counted again from the rows. */
  load(): void {
    this.#day = { number: 0, kept: 0 };
  }

  /** Keeps what there is room for and counts the rest, `more` included. Answers the ids that are new. */
  add(rows: readonly RefusedRow[], more: number, now: number): string[] {
    const kept: string[] = [];
    let counted = more;
    for (const { id, route, trace } of rows) {
      if (!this.#hasRoom(now)) counted++;
      else if (this.#sql.exec(INSERT, id, now, route, trace).toArray().length > 0) {
        this.#second.kept++;
        this.#day.kept++;
        kept.push(id);
      }
    }
    this.#account.count({ refused: counted });
    return kept;
  }

  #hasRoom(now: number): boolean {
    const second = Math.floor(now / SECOND_MS);
    if (this.#second.number !== second) this.#second = { number: second, kept: 0 };
    const day = Math.floor(now / DAY_MS);
    if (this.#day.number !== day) this.#day = { number: day, kept: this.#countSince(day * DAY_MS) };
    return this.#second.kept < MAX_PER_SECOND && this.#day.kept < MAX_PER_DAY;
  }

  #countSince(time: number): number {
    const query = "SELECT count(*) AS count FROM refusal WHERE noted_at >= ?";
    return this.#sql.exec<{ count: number }>(query, time).one().count;
  }

  get isEmpty(): boolean {
    return this.#sql.exec("SELECT 1 FROM refusal LIMIT 1").toArray().length === 0;
  }

  find(id: string): Trace | null {
    const [row] = this.#sql.exec<{ body: string }>("SELECT body FROM refusal WHERE id = ?", id).toArray();
    // Written by `add` from a `Trace`, which is the only writer of this table.
    return row === undefined ? null : (parseJson(row.body) as Trace);
  }

  /** As `Traces.list`. */
  list(query: TraceQuery): TracePage {
    const { limit, cursor, status, route, since, until } = query;
    const keyId = this.#keyId();
    if (keyId === null || (status !== undefined && status !== "refused")) return { data: [], next_cursor: null };
    const untilId = until === undefined ? ABOVE_ALL_IDS : traceIdFloor(keyId, until);
    const below = cursor !== undefined && cursor < untilId ? cursor : untilId;
    const more = bodyConditions(query, "body");
    const rows = this.#sql
      .exec<{ id: string; body: string }>(
        listStatement(more.sql),
        since === undefined ? "" : traceIdFloor(keyId, since),
        ...[below, route ?? null, ...more.bindings, limit + 1],
      )
      .toArray();
    const page = rows.slice(0, limit);
    return {
      data: page.map(({ body }) => parseJson(body) as Trace),
      next_cursor: rows.length > limit ? (page.at(-1)?.id ?? null) : null,
    };
  }

  /** As `Traces.facets`. */
  facets(query: TraceQuery): FacetRow[] {
    const keyId = this.#keyId();
    if (keyId === null) return [];
    const { since, until } = query;
    const from = since === undefined ? "" : traceIdFloor(keyId, since);
    return facetRows(
      this.#sql,
      "refusal",
      query,
      from,
      until === undefined ? ABOVE_ALL_IDS : traceIdFloor(keyId, until),
    );
  }

  /** The key whose ledger this is: every id names it. `null` while there is none. */
  #keyId(): string | null {
    const [row] = this.#sql.exec<{ id: string }>("SELECT id FROM refusal LIMIT 1").toArray();
    return row === undefined ? null : keyIdOfTrace(row.id);
  }

  erase(): void {
    this.#sql.exec("DELETE FROM refusal");
  }

  /** Deletes what is too old or too much, and answers the ids. */
  trim(now: number): string[] {
    const deleted = this.#sql.exec<{ id: string }>(DELETE, now - this.#days * DAY_MS, MAX_KEPT).toArray();
    return deleted.map(({ id }) => id);
  }
}
