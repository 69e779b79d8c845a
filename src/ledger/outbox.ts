/**
 * Traces on their way to the index that spans all keys, one object of it per environment and day.
 *
 * A row is made in the transaction that settles the request and deleted when the index has the trace, so it arrives at
 * least once. The trace itself is not copied: retention of traces bounds this table too.
 */
import { isJsonObject, tryParseJson } from "../lib/json.ts";
import { enqueueAllTraces } from "./ledger-schema.sql.ts";

/** What an index takes; it ignores a trace that it has, unless that was of the sweep and this one says more. */
export interface IndexBatch {
  readonly keyId: string;
  readonly rows: readonly {
    /** Grows with the age of the key: the number of its traces. */
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
  readonly rows: IndexBatch["rows"];
}

/** A trace is of a settled request or of a refused one. */
const SELECT_WAITING = `
  SELECT outbox.trace_id AS trace_id, seq, coalesce(request.body, refusal.body) AS body,
    coalesce(unsettled_attempts, 0) AS unsettled_attempts, coalesce(nano_usd, 0) AS unadmitted
  FROM outbox LEFT JOIN request ON request.id = outbox.trace_id LEFT JOIN refusal ON refusal.id = outbox.trace_id
  LEFT JOIN unadmitted ON unadmitted.trace_id = outbox.trace_id
  WHERE outbox.trace_id > ? AND coalesce(request.body, refusal.body) IS NOT NULL ORDER BY outbox.trace_id LIMIT ?`;

export class Outbox {
  readonly #sql: SqlStorage;
  #hasNews = false;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  add(traceId: string, seq: number): void {
    this.#sql.exec("INSERT OR IGNORE INTO outbox (trace_id, seq) VALUES (?, ?)", traceId, seq);
    this.#hasNews = true;
  }

  /** Was something added since the last call? After a transaction that failed it may say so for nothing. */
  takeNews(): boolean {
    const hadNews = this.#hasNews;
    this.#hasNews = false;
    return hadNews;
  }

  get isEmpty(): boolean {
    return this.#sql.exec("SELECT 1 FROM outbox LIMIT 1").toArray().length === 0;
  }

  count(): number {
    return this.#sql.exec<{ count: number }>("SELECT count(*) AS count FROM outbox").one().count;
  }

  /** How many wait, and when the request of the oldest ended, epoch ms. */
  standing(): { waiting: number; oldestAt: number | null } {
    const [first] = this.parcels(1, "").flatMap(({ rows }) => rows);
    const trace = first === undefined ? null : tryParseJson(first.trace);
    if (!isJsonObject(trace) || typeof trace["created_at"] !== "string")
      return { waiting: this.count(), oldestAt: null };
    const { latency, created_at } = trace;
    const totalMs = isJsonObject(latency) && typeof latency["total_ms"] === "number" ? latency["total_ms"] : 0;
    return { waiting: this.count(), oldestAt: Date.parse(created_at) + totalMs };
  }

  /** The first `limit` traces that wait above `afterId`, by index. */
  parcels(limit: number, afterId: string): Parcel[] {
    const rows = this.#sql
      .exec<{ trace_id: string; seq: number; body: string; unsettled_attempts: number; unadmitted: number }>(
        SELECT_WAITING,
        afterId,
        limit,
      )
      .toArray();
    const groups = Map.groupBy(rows, ({ body }) => indexOf(body));
    return [...groups].map(([index, group]) => ({
      index,
      ids: group.map(({ trace_id }) => trace_id),
      rows: group.map(({ seq, body, unadmitted, unsettled_attempts: unsettledAttempts }) => ({
        ...{ seq, trace: body, unadmittedNanoUsd: unadmitted },
        ...(unsettledAttempts === 0 ? {} : { unsettledAttempts }),
      })),
    }));
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
    return this.#sql
      .exec<{ trace_id: string }>(
        "DELETE FROM outbox WHERE trace_id IN (SELECT value FROM json_each(?)) RETURNING trace_id",
        JSON.stringify(ids),
      )
      .toArray()
      .map(({ trace_id }) => trace_id);
  }

  /** Nothing is sent any more of what waits. */
  erase(): void {
    this.#sql.exec("DELETE FROM outbox");
  }

  /** Sends every stored trace again. Answers how many wait now. */
  refill(): number {
    enqueueAllTraces(this.#sql);
    return this.count();
  }
}

function indexOf(body: string): string | null {
  const trace = tryParseJson(body);
  if (!isJsonObject(trace)) return null;
  const { env, created_at } = trace;
  if (typeof env !== "string" || env === "" || typeof created_at !== "string") return null;
  return /^\d{4}-\d\d-\d\dT/.test(created_at) ? `${env}:${created_at.slice(0, 10)}` : null;
}
