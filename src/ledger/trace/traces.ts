/** A key's own traces: stored once, listed newest first, and kept for 30 days or until 10,000 newer ones came. */
import { parseJson } from "../../lib/json.ts";
import { bodyConditions, type FacetRow } from "../../traces/filter.ts";
import { keyIdOfTrace, type Trace, traceIdFloor } from "../../traces/schema.ts";
import type { InlineCharge } from "../charges.ts";
import { INLINE_NAMES } from "../schema/tables.sql.ts";
import type { SettleRow, TracePage, TraceQuery } from "../types.ts";
import { facetRows } from "./trace-facets.ts";

export const MAX_TRACES = 10_000;
const DAY_MS = 86_400_000;
export const MAX_TRACE_DAYS = 30;
/**
 * Twice the 30 s that `waitUntil` allows a caller for its retries: the stored trace is what makes settling repeatable,
 * so retention leaves it alone for that long, whatever its age.
 */
export const MIN_TRACE_AGE_MS = 60_000;
const MAX_REQUEST_MS = 2 * 3_600_000;
const MAX_PAGE = 1_000;
/** A page ends early here: an RPC answer may not pass 32 MiB, and its reader has to hold it. */
const MAX_PAGE_CHARACTERS = 4_000_000;
/** The largest time a trace id can hold. */
const MAX_TRACE_TIME = 62 ** 8 - 1;
/** Ids are ASCII and begin with `tr_`. */
const ABOVE_ALL_IDS = "~";

const CHARGE_COLUMNS = INLINE_NAMES.map((name) => `charge_${name}`);
const COLUMNS = [
  "id",
  "settled_at",
  "status",
  "route",
  "body",
  "unsettled_attempts",
  "ends_holds",
  "ship_seq",
  ...CHARGE_COLUMNS,
];
const INSERT = `INSERT INTO request (${COLUMNS.join(", ")}) VALUES (${COLUMNS.map(() => "?").join(", ")})`;
const REPLACE = `
  UPDATE request SET settled_at = ?2, status = ?3, route = ?4, body = ?5, unsettled_attempts = ?6, ends_holds = ?7,
  ship_seq = ?8 WHERE id = ?1`;
const NO_CHARGE = INLINE_NAMES.map(() => null);

const listStatement = (more: string): string => `
  SELECT id, body FROM request
  WHERE id >= ? AND id < ? AND body <> '' AND status = coalesce(?, status) AND route = coalesce(?, route)${more}
  ORDER BY id DESC LIMIT ?`;

type StoredTrace = Pick<SettleRow, "id" | "status" | "route" | "trace">;

/** A stored trace that is to be deleted, with the charge in its row. */
export interface OldTrace {
  readonly id: string;
  readonly body: string;
}

export class Traces {
  readonly #sql: SqlStorage;
  readonly #days: number;
  /** Kept in step with the table, because counting it reads every row. */
  #count = 0;
  #trimmed = 0;

  /** `days`: how long they are kept. */
  constructor(sql: SqlStorage, days = MAX_TRACE_DAYS) {
    this.#sql = sql;
    this.#days = days;
  }

  /** `everStored`: traces this ledger has had, those included that are deleted. */
  load(everStored: number): void {
    this.#trimmed = this.#sql
      .exec<{ trimmed_traces: number }>("SELECT trimmed_traces FROM ledger")
      .one().trimmed_traces;
    this.#count = everStored - this.#trimmed;
  }

  get count(): number {
    return this.#count;
  }

  /** How many attempts of a stored request the sweep has charged, 0: it is settled; `null`: there is no such trace. */
  unsettledAttempts(id: string): number | null {
    const query = "SELECT unsettled_attempts AS count FROM request WHERE id = ?";
    return this.#sql.exec<{ count: number }>(query, id).toArray()[0]?.count ?? null;
  }

  /** Stores a trace that is new, with its first charge. One that is settled ends what its request holds. `seq`: its number in the outbox. */
  add(
    { id, status, route, trace }: StoredTrace,
    unsettled: number,
    now: number,
    seq: number,
    charge?: InlineCharge,
  ): void {
    const endsHolds = unsettled === 0 ? 1 : 0;
    this.#sql.exec(INSERT, id, now, status, route, trace, unsettled, endsHolds, seq, ...(charge ?? NO_CHARGE));
    this.#count++;
  }

  /** In place of a trace of the sweep, by one that says more: `unsettled` 0, or above what was. */
  replace({ id, status, route, trace }: StoredTrace, unsettled: number, now: number, seq: number): void {
    this.#sql.exec(REPLACE, id, now, status, route, trace, unsettled, unsettled === 0 ? 1 : 0, seq);
  }

  /** A trace that was just added has been stored and deleted before, and counts once. */
  forgetTrimmed(): void {
    this.#sql.exec("UPDATE ledger SET trimmed_traces = trimmed_traces - 1");
    this.#trimmed--;
  }

  /** Is the request settled? */
  has(id: string): boolean {
    return this.#sql.exec("SELECT 1 FROM request WHERE id = ? AND unsettled_attempts = 0", id).toArray().length > 0;
  }

  find(id: string): Trace | null {
    const [row] = this.#sql
      .exec<{ body: string }>("SELECT body FROM request WHERE id = ? AND body <> ''", id)
      .toArray();
    return row === undefined ? null : readTrace(row.body);
  }

  list(query: TraceQuery): TracePage {
    const limit = Math.min(MAX_PAGE, Math.max(1, Math.trunc(query.limit)));
    const untilId = this.#idFloor(query.until);
    const below = [query.cursor, untilId].filter((id) => id !== undefined).sort()[0] ?? ABOVE_ALL_IDS;
    const more = bodyConditions(query, "body");
    const rows = this.#sql.exec<{ id: string; body: string }>(
      listStatement(more.sql),
      ...[this.#idFloor(query.since) ?? "", below, query.status ?? null, query.route ?? null],
      ...[...more.bindings, limit + 1],
    );
    const page: string[] = [];
    let lastId = "";
    let length = 0;
    for (const { id, body } of rows) {
      length += body.length;
      const isFull = page.length === limit || (page.length > 0 && length > MAX_PAGE_CHARACTERS);
      if (isFull) return { data: page.map(readTrace), next_cursor: lastId };
      page.push(body);
      lastId = id;
    }
    return { data: page.map(readTrace), next_cursor: null };
  }

  /** How many of all that the query finds have which values. */
  facets(query: TraceQuery): FacetRow[] {
    const from = this.#idFloor(query.since) ?? "";
    return facetRows(this.#sql, "request", query, from, this.#idFloor(query.until) ?? ABOVE_ALL_IDS);
  }

  /** Up to `limit` of what is too old or too much, oldest first. */
  old(now: number, limit: number): OldTrace[] {
    const settledBy = now - MIN_TRACE_AGE_MS;
    // Nothing is below a floor where there is no trace. What was settled by then had begun before, so no other rows
    // need to be looked at.
    const begunBy = this.#idFloor(settledBy) ?? "";
    const tooOld = this.#idFloor(now - this.#days * DAY_MS) ?? "";
    const excess = Math.max(0, this.#count - MAX_TRACES);
    return this.#sql
      .exec<{ id: string; body: string }>(
        `SELECT id, body FROM request WHERE id IN (
           SELECT id FROM (SELECT id FROM request WHERE id < ? AND settled_at < ? ORDER BY id LIMIT ?)
           UNION SELECT id FROM (SELECT id FROM request WHERE id < ? AND settled_at < ? ORDER BY id LIMIT ?)
         )`,
        ...[begunBy, settledBy, Math.min(excess, limit), tooOld, settledBy, limit],
      )
      .toArray();
  }

  /** Deletes traces, and with them the charges in their rows: those have to be counted elsewhere by then. */
  remove(ids: readonly string[]): void {
    this.#sql.exec("UPDATE ledger SET is_folding = 1, trimmed_traces = trimmed_traces + ?", ids.length);
    this.#sql.exec("DELETE FROM request WHERE id IN (SELECT value FROM json_each(?))", JSON.stringify(ids));
    this.#sql.exec("UPDATE ledger SET is_folding = 0");
    this.#trimmed += ids.length;
    this.#count -= ids.length;
  }

  /** Nothing of them is shown any more. Their rows stay as long as any: by them, a request is settled once. */
  erase(): void {
    this.#sql.exec("UPDATE request SET status = '', route = '', body = '' WHERE body <> ''");
  }

  /** Below it, nothing is stored and nothing is new: what else belongs to such an id may go. */
  oldest(): string {
    const [row] = this.#sql.exec<{ id: string }>("SELECT id FROM request ORDER BY id LIMIT 1").toArray();
    return row?.id ?? "";
  }

  get hasDeleted(): boolean {
    return this.#trimmed > 0;
  }

  /** Is nothing deleted that was reserved at `time` (epoch ms) or later? A request reserves for two hours at most. */
  reachBackTo(time: number): boolean {
    if (this.#trimmed === 0) return true;
    const floor = this.#idFloor(Math.max(0, time - MAX_REQUEST_MS));
    return floor !== undefined && this.oldest() <= floor;
  }

  /** The smallest id of a trace begun at `time`. Any stored trace tells which key this is; without one, all match. */
  #idFloor(time: number | undefined): string | undefined {
    if (time === undefined) return undefined;
    const keyId = keyIdOfTrace(this.oldest());
    return keyId === null ? undefined : traceIdFloor(keyId, Math.min(time, MAX_TRACE_TIME));
  }
}

function readTrace(body: string): Trace {
  // Written by `add` from a `Trace`, which is the only writer of this table.
  return parseJson(body) as Trace;
}
