/**
 * Traces on their way to the index that spans all keys, one object of it per environment and day.
 *
 * The row of a request has a number, made in the transaction that settles it, and one number of the ledger says up to
 * which the index has them: a trace arrives at least once, and nothing is written per trace for it. What has no such
 * row waits in a table of its own. Which traces wait is known in memory and read again from these.
 */
import { isJsonObject, tryParseJson } from "../lib/json.ts";
import { enqueueAllTraces } from "./ledger-schema.sql.ts";

/** What an index takes; it ignores a trace that it has, unless that was of the sweep and this one says more. */
export interface IndexBatch {
  readonly keyId: string;
  readonly rows: readonly {
    /** Grows with the age of the key; 0: it has none. */
    readonly seq: number;
    /** JSON text. */
    readonly trace: string;
    readonly unadmittedNanoUsd: number;
    /** How many attempts the sweep has charged because the request was never settled; absent: it was. */
    readonly unsettledAttempts?: number;
  }[];
}

/** The namespace of the index, as far as a ledger uses it. */
export interface TraceIndexes {
  getByName(name: string): { ingest(batch: IndexBatch): Promise<unknown> };
}

/** Traces of one index. */
export interface Parcel {
  /** `<env>:<YYYY-MM-DD>` of the traces' start, in UTC; `null` where a trace does not say. */
  readonly index: string | null;
  readonly ids: readonly string[];
  /** In the queue, as the ids. */
  readonly places: readonly number[];
  readonly rows: IndexBatch["rows"];
}

/** A trace is of a settled request or of a refused one. */
const SELECT_BODIES = `
  SELECT given.value AS trace_id, coalesce(request.body, refusal.body) AS body,
    coalesce(unsettled_attempts, 0) AS unsettled_attempts, coalesce(unadmitted.nano_usd, 0) AS unadmitted
  FROM json_each(?) AS given LEFT JOIN request ON request.id = given.value
  LEFT JOIN refusal ON refusal.id = given.value LEFT JOIN unadmitted ON unadmitted.trace_id = given.value
  WHERE coalesce(request.body, refusal.body) IS NOT NULL ORDER BY given.id`;

/** Characters of an id that are cut off for the floor: its random part, and of its time the digits below four hours. */
const BELOW_FLOOR = 12 + 4;

interface Waiting {
  readonly seq: number;
  /** Else it is its number that says that it waits. */
  readonly isInTable: boolean;
  /** Place in the queue, from 1. */
  readonly place: number;
}

export class Outbox {
  readonly #sql: SqlStorage;
  /** By trace id, in the order of their places. May name a row that a failed transaction took back: it is not found then. */
  readonly #waiting = new Map<string, Waiting>();
  #place = 0;
  /** The last number that was given. */
  #lastSeq = 0;
  #floor = "";
  #hasNews = false;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  load(): void {
    const row = this.#sql
      .exec<{ shipped_seq: number; ship_from: string }>("SELECT shipped_seq, ship_from FROM ledger")
      .one();
    this.#lastSeq = row.shipped_seq;
    this.#floor = row.ship_from;
    this.#waiting.clear();
    const inTable = "SELECT trace_id, seq FROM waiting ORDER BY trace_id";
    for (const { trace_id, seq } of this.#sql.exec<{ trace_id: string; seq: number }>(inTable).toArray()) {
      this.#enqueue(trace_id, seq, true);
    }
    const query = "SELECT id, ship_seq AS seq FROM request WHERE id >= ? AND ship_seq > ? ORDER BY ship_seq";
    for (const { id, seq } of this.#sql
      .exec<{ id: string; seq: number }>(query, row.ship_from, row.shipped_seq)
      .toArray()) {
      this.#lastSeq = seq;
      this.#enqueue(id, seq, this.#waiting.has(id));
    }
  }

  #enqueue(traceId: string, seq: number, isInTable: boolean): void {
    this.#waiting.delete(traceId);
    this.#waiting.set(traceId, { seq, isInTable, place: ++this.#place });
  }

  /**
   * The trace of a request is about to be written: the number that its row has to have. What lies below the floor, which
   * is a request that lasted for hours, waits in the table.
   */
  number(traceId: string): number {
    const seq = ++this.#lastSeq;
    const isInTable = traceId < this.#floor || this.#waiting.get(traceId)?.isInTable === true;
    this.#enqueue(traceId, seq, isInTable);
    if (traceId < this.#floor) this.#insert(traceId);
    this.#hasNews = true;
    return seq;
  }

  /** A trace that is no request's. */
  add(traceId: string): void {
    this.#insert(traceId);
    this.#enqueue(traceId, 0, true);
    this.#hasNews = true;
  }

  #insert(traceId: string): void {
    this.#sql.exec("INSERT OR IGNORE INTO waiting (trace_id, seq) VALUES (?, 0)", traceId);
  }

  /** Was something added since the last call? After a transaction that failed it may say so for nothing. */
  takeNews(): boolean {
    const hadNews = this.#hasNews;
    this.#hasNews = false;
    return hadNews;
  }

  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  count(): number {
    return this.#waiting.size;
  }

  /** How many wait, and when the request of the oldest ended, epoch ms. */
  standing(): { waiting: number; oldestAt: number | null } {
    const [first] = this.parcels(1, 0).flatMap(({ rows }) => rows);
    const trace = first === undefined ? null : tryParseJson(first.trace);
    if (!isJsonObject(trace) || typeof trace["created_at"] !== "string")
      return { waiting: this.count(), oldestAt: null };
    const { latency, created_at } = trace;
    const totalMs = isJsonObject(latency) && typeof latency["total_ms"] === "number" ? latency["total_ms"] : 0;
    return { waiting: this.count(), oldestAt: Date.parse(created_at) + totalMs };
  }

  /** The first `limit` traces that wait behind the place `after`, by index. */
  parcels(limit: number, after: number): Parcel[] {
    const ids: string[] = [];
    for (const [id, { place }] of this.#waiting) {
      if (place > after) ids.push(id);
      if (ids.length === limit) break;
    }
    if (ids.length === 0) return [];
    const rows = this.#sql
      .exec<{ trace_id: string; body: string; unsettled_attempts: number; unadmitted: number }>(
        SELECT_BODIES,
        JSON.stringify(ids),
      )
      .toArray();
    const known = new Set(rows.map(({ trace_id }) => trace_id));
    for (const id of ids) if (!known.has(id)) this.#waiting.delete(id);
    const groups = Map.groupBy(rows, ({ body }) => indexOf(body));
    return [...groups].map(([index, group]) => {
      const waiting = group.map(({ trace_id }) => this.#waiting.get(trace_id));
      return {
        index,
        ids: group.map(({ trace_id }) => trace_id),
        places: waiting.map((each) => each?.place ?? 0),
        rows: group.map(({ body, unadmitted, unsettled_attempts: unsettledAttempts }, at) => ({
          ...{ seq: waiting[at]?.seq ?? 0, trace: body, unadmittedNanoUsd: unadmitted },
          ...(unsettledAttempts === 0 ? {} : { unsettledAttempts }),
        })),
      };
    });
  }

  /** Takes out what an index has, unless the trace was replaced on its way: then the new one is still to be sent. */
  removeSent({ ids, rows }: Parcel): void {
    this.remove(ids.filter((id, at) => this.#isCurrent(id, rows[at]?.unsettledAttempts)));
  }

  #isCurrent(id: string, unsettledAttempts: number | undefined): boolean {
    // Nothing replaces a settled trace.
    if (unsettledAttempts === undefined) return true;
    const query = "SELECT 1 FROM request WHERE id = ? AND unsettled_attempts = ?";
    return this.#sql.exec(query, id, unsettledAttempts).toArray().length > 0;
  }

  /** Takes out what need not be sent any more. Answers the ids that were waiting. */
  remove(ids: readonly string[]): string[] {
    const found = ids.filter((id) => this.#waiting.has(id));
    const inTable = found.filter((id) => this.#waiting.get(id)?.isInTable);
    if (inTable.length > 0) {
      const statement = "DELETE FROM waiting WHERE trace_id IN (SELECT value FROM json_each(?))";
      this.#sql.exec(statement, JSON.stringify(inTable));
    }
    const isNumbered = found.some((id) => this.#waiting.get(id)?.isInTable === false);
    for (const id of found) this.#waiting.delete(id);
    if (isNumbered) this.#note(found);
    return found;
  }

  /** Notes up to where all numbered rows are sent. Of what was sent behind it, memory alone knows: it may go again. */
  #note(sent: readonly string[]): void {
    let first = this.#lastSeq + 1;
    let floor = floorOf(sent.reduce((last, id) => (id > last ? id : last)));
    for (const [id, { seq, isInTable }] of this.#waiting) {
      if (isInTable) continue;
      first = Math.min(first, seq);
      if (id < floor) floor = id;
    }
    this.#floor = floor > this.#floor ? floor : this.#floor;
    this.#sql.exec("UPDATE ledger SET shipped_seq = ?, ship_from = ?", first - 1, this.#floor);
  }

  /** Nothing is sent any more of what waits. */
  erase(): void {
    this.#sql.exec("DELETE FROM waiting");
    this.#sql.exec("UPDATE ledger SET shipped_seq = ?", this.#lastSeq);
    this.#waiting.clear();
  }

  /** Sends every stored trace again. Answers how many wait now. */
  refill(): number {
    enqueueAllTraces(this.#sql);
    this.load();
    return this.count();
  }
}

function floorOf(traceId: string): string {
  return traceId.slice(0, -BELOW_FLOOR);
}

function indexOf(body: string): string | null {
  const trace = tryParseJson(body);
  if (!isJsonObject(trace)) return null;
  const { env, created_at } = trace;
  if (typeof env !== "string" || env === "" || typeof created_at !== "string") return null;
  return /^\d{4}-\d\d-\d\dT/.test(created_at) ? `${env}:${created_at.slice(0, 10)}` : null;
}
