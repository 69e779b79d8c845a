/**
 * The attempts of a key: what each holds while it runs, and what it cost in the end.
 *
 * Sums of what is open and the rate window are kept in memory beside the rows, changed only together with them, and
 * read from them again by `load`: after an eviction, or after a transaction that was rolled back.
 */
import { keyIdOfTrace, traceIdFloor } from "../traces/schema.ts";
import type { Account } from "./account.ts";
import { assertNanoUsd, periodsOf, type SpendChanges } from "./periods.ts";
import { RateWindow, WINDOW_MS } from "./rates.ts";
import type { Reservation, SettledAttempt, SettleRow } from "./types.ts";

const DAY_MS = 86_400_000;
/** No policy lets a request run for longer than hours; a clock that is wrong must not hold money for years. */
const MAX_HOLD_MS = DAY_MS;
/** How far back a request that was not reserved may have started. */
const MAX_AGE_MS = DAY_MS;
/** A request lasts an hour at most, so older ids reserve nothing any more. */
const MAX_REQUEST_MS = 2 * 3_600_000;
/** Expired reservations that one call settles, so that none is held up for long. */
const SWEEP_BATCH = 500;
/** How long a release waits for the reservation it overtook. */
const WITHDRAWN_MS = 60_000;
/** A late settlement must find what the sweep charged, or it would be charged again. */
const EXPIRED_MS = 3_600_000;

export interface Standing {
  /** What became of a number: free to reserve, held or booked already, or taken back before it was reserved. */
  readonly state: "new" | "known" | "withdrawn";
  /** Nothing of its request is held or booked, so it is the one that counts as a request. */
  readonly isFirst: boolean;
}

type AttemptRow = {
  readonly attempt: number;
  readonly state: "R" | "S" | "X" | "V";
  readonly reserved_at: number;
  readonly expires_at: number;
  readonly bound_nano_usd: number | null;
  readonly nano_usd: number | null;
  readonly tokens: number;
  readonly requests: number;
};

const COLUMNS = "attempt, state, reserved_at, expires_at, bound_nano_usd, nano_usd, tokens, requests";

export class Attempts {
  readonly #sql: SqlStorage;
  readonly #account: Account;
  readonly #reservedNanoUsd = new Map<string, number>();
  #openRequests = 0;
  #nextExpiryAt = Number.POSITIVE_INFINITY;
  /** `null` until a limit asks for it. */
  #window: RateWindow | null = null;

  constructor(sql: SqlStorage, account: Account) {
    this.#sql = sql;
    this.#account = account;
  }

  load(): void {
    this.#reservedNanoUsd.clear();
    this.#openRequests = 0;
    this.#nextExpiryAt = Number.POSITIVE_INFINITY;
    this.#window = null;
    const query = `
      SELECT reserved_at / ${DAY_MS} AS day, sum(bound_nano_usd) AS nano_usd, sum(requests) AS requests,
      min(expires_at) AS expires_at FROM attempt WHERE state = 'R' GROUP BY day`;
    type Sums = { day: number; nano_usd: number; requests: number; expires_at: number };
    for (const { day, nano_usd, requests, expires_at } of this.#sql.exec<Sums>(query).toArray()) {
      this.#hold(day * DAY_MS, nano_usd);
      this.#openRequests += requests;
      this.#nextExpiryAt = Math.min(this.#nextExpiryAt, expires_at);
    }
  }

  /** Held for attempts that were reserved in `period`. */
  reservedNanoUsd(period: string): number {
    return this.#reservedNanoUsd.get(period) ?? 0;
  }

  get openRequests(): number {
    return this.#openRequests;
  }

  /** Epoch ms; never later than the first reservation expires, infinite without one. */
  get nextExpiryAt(): number {
    return this.#nextExpiryAt;
  }

  /** The last minute. `traceId`: any of this key. */
  window(traceId: string, now: number): RateWindow {
    this.#window ??= this.#readWindow(traceId, now);
    return this.#window;
  }

  standing(traceId: string, attempt: number): Standing {
    const { state, is_over, others } = this.#sql
      .exec<{ state: AttemptRow["state"] | null; is_over: number; others: number }>(
        `SELECT (SELECT state FROM attempt WHERE trace_id = ? AND attempt = ?) AS state,
         EXISTS (SELECT 1 FROM attempt WHERE trace_id = ? AND state <> 'V') AS others,
         EXISTS (SELECT 1 FROM trace WHERE id = ?) AS is_over`,
        ...[traceId, attempt, traceId, traceId],
      )
      .one();
    const isFirst = others === 0;
    if (state !== null && state !== "V") return { state: "known", isFirst };
    // A request that is settled sends nothing any more: a late reservation would be held for nobody.
    return { state: state === "V" || is_over === 1 ? "withdrawn" : "new", isFirst };
  }

  open(reservation: Reservation, isFirst: boolean, now: number): void {
    const { traceId, attempt, boundNanoUsd, boundTokens, provider, model } = reservation;
    const expiresAt = Math.min(reservation.expiresAt, now + MAX_HOLD_MS);
    const requests = isFirst ? 1 : 0;
    this.#sql.exec(
      `INSERT INTO attempt
       (trace_id, attempt, state, reserved_at, expires_at, bound_nano_usd, tokens, requests, provider, model)
       VALUES (?, ?, 'R', ?, ?, ?, ?, ?, ?, ?)`,
      ...[traceId, attempt, now, expiresAt, boundNanoUsd, boundTokens, requests, provider, model],
    );
    this.#hold(now, boundNanoUsd);
    this.#window?.add(now, requests, boundTokens);
    this.#openRequests += requests;
    this.#nextExpiryAt = Math.min(this.#nextExpiryAt, expiresAt);
  }

  /** Nothing was sent. What is not open stays as it is; what is not known yet will not be reserved any more. */
  release(traceId: string, attempt: number, now: number): void {
    const { state } = this.standing(traceId, attempt);
    if (state === "withdrawn") return;
    if (state === "new") {
      this.#sql.exec(
        `INSERT INTO attempt
         (trace_id, attempt, state, reserved_at, expires_at, settled_at, tokens, requests, provider, model)
         VALUES (?, ?, 'V', ?, ?, ?, 0, 0, '', '')`,
        ...[traceId, attempt, now, now, now],
      );
      return;
    }
    const row = this.#rowsOf(traceId).find((each) => each.attempt === attempt);
    if (row?.state === "R") this.#forget(traceId, row);
  }

  /**
   * Books the attempts of a request, each once. `isNew`: the request was not settled before; what else it holds was
   * never sent then, and is set free. Answers when its first attempt was reserved, which chooses the period.
   */
  settle(row: SettleRow, isNew: boolean, now: number, changes: SpendChanges): number {
    const rows = new Map(this.#rowsOf(row.id).map((each) => [each.attempt, each]));
    // The version before stored the sum of a request and no attempts: such a request is booked.
    if (!isNew && rows.size === 0) return now;
    const startedAt = Math.min(now, Math.max(row.startedAt, now - MAX_AGE_MS));
    let firstAt: number | null = null;
    // On the first: the tokens of all, and the request itself where no reservation has counted it.
    let tokens = isNew ? row.tokens : 0;
    let requests = [...rows.values()].some(({ state }) => state !== "V") ? 0 : 1;
    for (const settled of [...row.attempts].sort((a, b) => a.attempt - b.attempt)) {
      const before = rows.get(settled.attempt);
      if (before?.state === "S") continue;
      const after = this.#close(row.id, settled, before, { startedAt, now, tokens, requests }, changes);
      rows.set(settled.attempt, after);
      firstAt ??= after.reserved_at;
      tokens = requests = 0;
    }
    if (isNew) for (const rest of rows.values()) this.#correct(row.id, rest, changes);
    return firstAt ?? startedAt;
  }

  #close(
    traceId: string,
    settled: SettledAttempt,
    before: AttemptRow | undefined,
    to: { readonly startedAt: number; readonly now: number; readonly tokens: number; readonly requests: number },
    changes: SpendChanges,
  ): AttemptRow {
    const { attempt, provider, model, winner, outcome, source, basis } = settled;
    const nanoUsd = readNanoUsd(settled.costNanoUsd);
    const held = before?.state === "R" || before?.state === "X" ? before : null;
    const after: AttemptRow = {
      ...{ attempt, state: "S", tokens: to.tokens, nano_usd: nanoUsd },
      reserved_at: held?.reserved_at ?? to.startedAt,
      expires_at: held?.expires_at ?? to.now,
      bound_nano_usd: held?.bound_nano_usd ?? null,
      requests: held?.requests ?? to.requests,
    };
    const isOverBound = nanoUsd !== null && held !== null && nanoUsd > (held.bound_nano_usd ?? 0);
    if (isOverBound) this.#account.count({ overBound: 1 });
    if (held !== null) this.#drop(held);
    this.#window?.add(after.reserved_at, after.requests, after.tokens);
    this.#sql.exec(
      "INSERT OR REPLACE INTO attempt VALUES (?, ?, 'S', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      ...[traceId, attempt, after.reserved_at, after.expires_at, after.bound_nano_usd, after.tokens, after.requests],
      ...[to.now, nanoUsd, isOverBound ? 1 : 0, provider, model, winner ? 1 : 0, outcome, source, basis],
    );
    changes.add(after.reserved_at, (nanoUsd ?? 0) - this.#uncharge(held));
    return after;
  }

  /** A request is over and did not name this attempt: it was never sent. */
  #correct(traceId: string, row: AttemptRow, changes: SpendChanges): void {
    if (row.state !== "R" && row.state !== "X") return;
    changes.add(row.reserved_at, -this.#uncharge(row));
    this.#forget(traceId, row);
  }

  /** What the sweep has charged for this attempt; from now on it counts as settled after all. */
  #uncharge(row: AttemptRow | null): number {
    if (row?.state !== "X") return 0;
    const nanoUsd = row.nano_usd ?? 0;
    this.#account.count({ expired: -1, expiredNanoUsd: -nanoUsd });
    return nanoUsd;
  }

  #forget(traceId: string, row: AttemptRow): void {
    this.#sql.exec("DELETE FROM attempt WHERE trace_id = ? AND attempt = ?", traceId, row.attempt);
    this.#drop(row);
  }

  /** Charges what nobody settled in time at its bound, a batch at most. */
  sweep(now: number, changes: SpendChanges): void {
    if (this.#nextExpiryAt > now) return;
    const rows = this.#sql
      .exec<AttemptRow & { readonly trace_id: string }>(
        `SELECT trace_id, ${COLUMNS} FROM attempt
         WHERE state = 'R' AND expires_at <= ? ORDER BY expires_at LIMIT ?`,
        now,
        SWEEP_BATCH,
      )
      .toArray();
    for (const row of rows) {
      this.#sql.exec(
        "UPDATE attempt SET state = 'X', nano_usd = bound_nano_usd, settled_at = ? WHERE trace_id = ? AND attempt = ?",
        ...[now, row.trace_id, row.attempt],
      );
      const nanoUsd = row.bound_nano_usd ?? 0;
      this.#hold(row.reserved_at, -nanoUsd);
      this.#openRequests -= row.requests;
      changes.add(row.reserved_at, nanoUsd);
      this.#account.count({ expired: 1, expiredNanoUsd: nanoUsd });
    }
    const first = "SELECT min(expires_at) AS expires_at FROM attempt WHERE state = 'R'";
    const { expires_at } = this.#sql.exec<{ expires_at: number | null }>(first).one();
    this.#nextExpiryAt = expires_at ?? Number.POSITIVE_INFINITY;
  }

  /** Deletes up to `limit` finished attempts of traces below `floor`. Answers how many went. */
  trim(floor: string, minAgeMs: number, now: number, limit: number): number {
    this.#sql.exec("DELETE FROM attempt WHERE state = 'V' AND settled_at < ?", now - WITHDRAWN_MS);
    const deleted = this.#sql
      .exec<{ nano_usd: number | null }>(
        `DELETE FROM attempt WHERE (trace_id, attempt) IN (
           SELECT trace_id, attempt FROM attempt WHERE trace_id < ? AND state IN ('S', 'X')
           AND settled_at < CASE state WHEN 'X' THEN ? ELSE ? END ORDER BY trace_id LIMIT ?
         ) RETURNING nano_usd`,
        ...[floor, now - Math.max(minAgeMs, EXPIRED_MS), now - minAgeMs, limit],
      )
      .toArray();
    this.#account.count({ deletedNanoUsd: deleted.reduce((sum, { nano_usd }) => sum + (nano_usd ?? 0), 0) });
    return deleted.length;
  }

  /** Sums of the rows themselves, for the audit. */
  sums(): { readonly openNanoUsd: number; readonly openReservations: number; readonly storedNanoUsd: number } {
    return this.#sql
      .exec<{ openNanoUsd: number; openReservations: number; storedNanoUsd: number }>(
        `SELECT coalesce(sum(CASE state WHEN 'R' THEN bound_nano_usd END), 0) AS openNanoUsd,
         coalesce(sum(state = 'R'), 0) AS openReservations,
         coalesce(sum(CASE WHEN state IN ('S', 'X') THEN nano_usd END), 0) AS storedNanoUsd FROM attempt`,
      )
      .one();
  }

  #rowsOf(traceId: string): AttemptRow[] {
    return this.#sql.exec<AttemptRow>(`SELECT ${COLUMNS} FROM attempt WHERE trace_id = ?`, traceId).toArray();
  }

  /** Takes a reservation out of the sums. One that has expired is in the window only. */
  #drop(row: AttemptRow): void {
    this.#window?.add(row.reserved_at, -row.requests, -row.tokens);
    if (row.state !== "R") return;
    this.#hold(row.reserved_at, -(row.bound_nano_usd ?? 0));
    this.#openRequests -= row.requests;
  }

  #hold(at: number, nanoUsd: number): void {
    for (const period of periodsOf(at)) {
      const sum = (this.#reservedNanoUsd.get(period) ?? 0) + nanoUsd;
      assertNanoUsd(sum);
      if (sum === 0) this.#reservedNanoUsd.delete(period);
      else this.#reservedNanoUsd.set(period, sum);
    }
  }

  #readWindow(traceId: string, now: number): RateWindow {
    const window = new RateWindow();
    const keyId = keyIdOfTrace(traceId);
    type Second = { at: number; requests: number; tokens: number };
    const seconds = this.#sql.exec<Second>(
      `SELECT reserved_at / 1000 * 1000 AS at, sum(requests) AS requests, sum(tokens) AS tokens FROM attempt
       WHERE trace_id >= ? AND reserved_at > ? AND state <> 'V' GROUP BY at`,
      keyId === null ? "" : traceIdFloor(keyId, now - MAX_REQUEST_MS),
      now - WINDOW_MS,
    );
    for (const { at, requests, tokens } of seconds.toArray()) window.add(at, requests, tokens);
    return window;
  }
}

/** An amount that makes no sense is an unknown one: a batch must not be lost over it. */
function readNanoUsd(value: number | null): number | null {
  return value !== null && Number.isSafeInteger(value) && value >= 0 ? value : null;
}
