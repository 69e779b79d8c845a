/**
 * KeyLedger: one Durable Object per API key, the only writer of that key's spend, revocation and traces.
 *
 * A settlement writes the trace and adds its cost in one transaction, so the log and the bill cannot disagree. The
 * trace's primary key is what makes settling repeatable: a row that is already there costs nothing. For that reason
 * retention never touches a trace in the minute after it was written, whatever its age, because a retry may still
 * be under way.
 */
import { DurableObject } from "cloudflare:workers";
import { parseJson } from "../lib/json.ts";
import { fromUsd } from "../lib/money.ts";
import { keyIdOfTrace, type Trace, traceIdFloor } from "../traces/schema.ts";
import type { Admission, Budget, PeriodSpend, SettleRow, TracePage, TraceQuery } from "./types.ts";

const MAX_TRACES = 10_000;
const MAX_TRACE_AGE_MS = 30 * 86_400_000;
/** Twice the 30 s that `waitUntil` allows a caller for its retries. */
const MIN_TRACE_AGE_MS = 60_000;
/** Traces older than the limit are looked for once a day. */
const AGE_CHECK_MS = 86_400_000;
/** Rows deleted by one run of the alarm, so that it never holds up requests for long. */
const TRIM_BATCH = 5_000;
const MAX_PAGE = 1_000;
/** The largest time a trace id can hold. */
const MAX_TRACE_TIME = 62 ** 8 - 1;
/** Ids are ASCII and begin with `tr_`. */
const ABOVE_ALL_IDS = "~";

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS trace (
    id TEXT PRIMARY KEY,
    settled_at INTEGER NOT NULL,
    status TEXT NOT NULL,
    route TEXT NOT NULL,
    body TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS spend (
    period TEXT PRIMARY KEY,
    nano_usd INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    unpriced_requests INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS ledger (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    revoked INTEGER NOT NULL,
    trimmed_traces INTEGER NOT NULL
  ) STRICT;
  INSERT OR IGNORE INTO ledger VALUES (1, 0, 0);
`;

export class KeyLedger extends DurableObject {
  readonly #sql: SqlStorage;
  #revoked: boolean;
  /** Traces now in the table. Kept in step with it, because counting them reads every row. */
  #traceCount: number;
  /** When the alarm rings, epoch ms; `undefined` until this instance has asked. */
  #alarmAt: number | null | undefined;

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    this.#sql.exec(SCHEMA);
    const row = this.#sql.exec<{ revoked: number; trimmed_traces: number }>("SELECT * FROM ledger").one();
    this.#revoked = row.revoked === 1;
    this.#traceCount = this.#spendOf("total").requests - row.trimmed_traces;
  }

  /** Books finished requests, each once however often it is sent. Accepts them from a revoked or spent key too. */
  async settle(rows: SettleRow[]): Promise<{ revoked: boolean }> {
    const now = Date.now();
    const added = this.ctx.storage.transactionSync(() => this.#book(rows, now));
    this.#traceCount += added;
    const dueAt = now + (this.#traceCount > MAX_TRACES ? MIN_TRACE_AGE_MS : AGE_CHECK_MS);
    if (added > 0) await this.#armAlarm(dueAt);
    return { revoked: this.#revoked };
  }

  /** May a request of this key start? `now` is epoch ms and chooses the period. Changes nothing. */
  async admit(budget: Budget | null, now: number): Promise<Admission> {
    if (this.#revoked) return { ok: false, reason: "revoked" };
    if (budget === null) return { ok: true, remainingNanoUsd: null };
    const { spentNanoUsd } = this.#spendOf(periodName(budget.period, now));
    const remainingNanoUsd = fromUsd(budget.limit_usd) - spentNanoUsd;
    return remainingNanoUsd > 0 ? { ok: true, remainingNanoUsd } : { ok: false, reason: "budget" };
  }

  /** For good: there is no way back from it. */
  async revoke(): Promise<void> {
    this.#sql.exec("UPDATE ledger SET revoked = 1");
    this.#revoked = true;
  }

  /** What was booked in the budget's current period; without a budget, ever. */
  async spend(budget: Budget | null): Promise<PeriodSpend> {
    return this.#spendOf(periodName(budget?.period ?? "total", Date.now()));
  }

  async trace(id: string): Promise<Trace | null> {
    const [row] = this.#sql.exec<{ body: string }>("SELECT body FROM trace WHERE id = ?", id).toArray();
    return row === undefined ? null : readTrace(row.body);
  }

  async traces(query: TraceQuery): Promise<TracePage> {
    const limit = Math.min(MAX_PAGE, Math.max(1, Math.trunc(query.limit)));
    const untilId = this.#idFloor(query.until);
    const below = [query.cursor, untilId].filter((id) => id !== undefined).sort()[0] ?? ABOVE_ALL_IDS;
    const rows = this.#sql
      .exec<{ id: string; body: string }>(
        `SELECT id, body FROM trace WHERE id >= ? AND id < ?
         AND status = coalesce(?, status) AND route = coalesce(?, route) ORDER BY id DESC LIMIT ?`,
        this.#idFloor(query.since) ?? "",
        below,
        query.status ?? null,
        query.route ?? null,
        limit + 1,
      )
      .toArray();
    const page = rows.slice(0, limit);
    return {
      data: page.map((row) => readTrace(row.body)),
      next_cursor: rows.length > limit ? (page.at(-1)?.id ?? null) : null,
    };
  }

  /** Retention. Running it twice deletes nothing more. */
  override async alarm(): Promise<void> {
    this.#alarmAt = null;
    const now = Date.now();
    const deleted = this.ctx.storage.transactionSync(() => this.#trim(now));
    this.#traceCount -= deleted;
    if (this.#traceCount === 0) return;
    const isBehind = deleted === TRIM_BATCH;
    const pauseMs = isBehind ? 0 : this.#traceCount > MAX_TRACES ? MIN_TRACE_AGE_MS : AGE_CHECK_MS;
    await this.#armAlarm(now + pauseMs);
  }

  /** Writes the rows that are new and adds their cost. Returns how many were new. */
  #book(rows: readonly SettleRow[], now: number): number {
    let added = 0;
    let unpriced = 0;
    let nanoUsd = 0;
    for (const { id, status, route, trace, costNanoUsd } of rows) {
      const { rowsWritten } = this.#sql.exec(
        "INSERT OR IGNORE INTO trace VALUES (?, ?, ?, ?, ?)",
        id,
        now,
        status,
        route,
        trace,
      );
      if (rowsWritten === 0) continue;
      added++;
      if (costNanoUsd === null) unpriced++;
      else nanoUsd += costNanoUsd;
    }
    if (added === 0) return 0;
    for (const period of ["day", "month", "total"] as const) {
      this.#sql.exec(
        `INSERT INTO spend VALUES (?, ?, ?, ?) ON CONFLICT (period) DO UPDATE SET nano_usd = nano_usd + excluded.nano_usd,
         requests = requests + excluded.requests, unpriced_requests = unpriced_requests + excluded.unpriced_requests`,
        periodName(period, now),
        nanoUsd,
        added,
        unpriced,
      );
    }
    return added;
  }

  #spendOf(period: string): PeriodSpend {
    const [row] = this.#sql
      .exec<{ nano_usd: number; requests: number; unpriced_requests: number }>(
        "SELECT nano_usd, requests, unpriced_requests FROM spend WHERE period = ?",
        period,
      )
      .toArray();
    return {
      spentNanoUsd: row?.nano_usd ?? 0,
      requests: row?.requests ?? 0,
      unpricedRequests: row?.unpriced_requests ?? 0,
    };
  }

  /** Deletes at most one batch of what is too old or too much. Returns how many rows went. */
  #trim(now: number): number {
    const tooOld = this.#idFloor(now - MAX_TRACE_AGE_MS);
    const [oldestKept] = this.#sql
      .exec<{ id: string }>("SELECT id FROM trace ORDER BY id DESC LIMIT 1 OFFSET ?", MAX_TRACES - 1)
      .toArray();
    // Ids sort by time, so of two floors the larger one deletes more.
    const floor = [tooOld ?? "", oldestKept?.id ?? ""].sort().at(-1) ?? "";
    const { rowsWritten: deleted } = this.#sql.exec(
      "DELETE FROM trace WHERE id IN (SELECT id FROM trace WHERE id < ? AND settled_at < ? ORDER BY id LIMIT ?)",
      floor,
      now - MIN_TRACE_AGE_MS,
      TRIM_BATCH,
    );
    this.#sql.exec("UPDATE ledger SET trimmed_traces = trimmed_traces + ?", deleted);
    return deleted;
  }

  /** The smallest id of a trace begun at `time`. Any stored trace tells which key this is; without one, all match. */
  #idFloor(time: number | undefined): string | undefined {
    if (time === undefined) return undefined;
    const [row] = this.#sql.exec<{ id: string }>("SELECT id FROM trace LIMIT 1").toArray();
    const keyId = row === undefined ? null : keyIdOfTrace(row.id);
    return keyId === null ? undefined : traceIdFloor(keyId, Math.min(time, MAX_TRACE_TIME));
  }

  /** An alarm at `dueAt` or before it: it is set again only where the one that stands would be late. */
  async #armAlarm(dueAt: number): Promise<void> {
    if (this.#alarmAt === undefined) this.#alarmAt = await this.ctx.storage.getAlarm();
    if (this.#alarmAt !== null && this.#alarmAt <= dueAt) return;
    this.#alarmAt = dueAt;
    await this.ctx.storage.setAlarm(dueAt);
  }
}

/** `2026-11-22`, `2026-11` or `total`, in UTC. */
function periodName(period: Budget["period"], now: number): string {
  if (period === "total") return "total";
  return new Date(now).toISOString().slice(0, period === "day" ? 10 : 7);
}

function readTrace(body: string): Trace {
  // Written by `#book` from a `Trace`, and nobody else writes to this table.
  return parseJson(body) as Trace;
}
