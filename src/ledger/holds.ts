/**
 * What attempts hold that are not settled yet, in a table as small as what runs. Its sums are also kept in memory,
 * changed only together with it, and read from it by `load`.
 */

import type { Span } from "../lib/time/calendar.ts";
import { Leases } from "./leases.ts";
import { assertNanoUsd } from "./periods.ts";
import type { RequestOrigin, Reservation } from "./types.ts";

const DAY_MS = 86_400_000;
/** No policy lets a request run for longer than hours; a clock that is wrong must not hold money for years. */
const MAX_HOLD_MS = DAY_MS;
/** Periods of all time zones begin at a multiple of it. */
const QUARTER_MS = 900_000;
/** How long a release waits for the reservation it overtook. */
const WITHDRAWN_MS = 60_000;

const COLUMNS =
  "trace_id, attempt, state, reserved_at, expires_at, bound_nano_usd, tokens, requests, provider, model, origin, isolate";
const INSERT = `INSERT INTO hold (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;

/** One attempt's reservation, or the mark that it was released before its reservation came (`W`). */
export type Hold = {
  readonly trace_id: string;
  readonly attempt: number;
  readonly state: "R" | "W";
  readonly reserved_at: number;
  readonly expires_at: number;
  readonly bound_nano_usd: number;
  readonly tokens: number;
  /** 1 on the attempt that counts its request for the limits. */
  readonly requests: number;
  readonly provider: string;
  readonly model: string;
  /** JSON of a `RequestOrigin`; empty where there is none. */
  readonly origin: string;
  /** Whose lease it is held under; empty where there is none. */
  readonly isolate: string;
};

export class Holds {
  readonly leases = new Leases();
  readonly #sql: SqlStorage;
  /** By the quarter of an hour in which it was reserved, counted from 1970. No hold is older than a day. */
  readonly #reservedNanoUsd = new Map<number, number>();
  #openRequests = 0;
  #nextExpiryAt = Number.POSITIVE_INFINITY;
  /** Told of every change of what is held: the origin of the request, when it was reserved, and by how much. */
  onChange: (origin: string, reservedAt: number, nanoUsd: number) => void = () => {};

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  load(): void {
    this.#reservedNanoUsd.clear();
    this.#openRequests = 0;
    const query = `SELECT reserved_at / ${QUARTER_MS} AS quarter, sum(bound_nano_usd) AS nano_usd,
      sum(requests) AS requests FROM hold WHERE state = 'R' GROUP BY quarter`;
    type Sums = { quarter: number; nano_usd: number; requests: number };
    for (const { quarter, nano_usd, requests } of this.#sql.exec<Sums>(query).toArray()) {
      this.#count(quarter * QUARTER_MS, nano_usd, requests);
    }
    this.#findExpiry();
    const isolates = "SELECT isolate, count(*) AS open FROM hold WHERE state = 'R' AND isolate <> '' GROUP BY isolate";
    const open = this.#sql.exec<{ isolate: string; open: number }>(isolates).toArray();
    this.leases.load(new Map(open.map((row) => [row.isolate, row.open])));
  }

  /** Held for attempts that were reserved in the period. */
  reservedNanoUsd({ start, end }: Span): number {
    let sum = 0;
    for (const [quarter, nanoUsd] of this.#reservedNanoUsd) {
      const at = quarter * QUARTER_MS;
      if (at >= start && at < end) sum += nanoUsd;
    }
    return sum;
  }

  get openRequests(): number {
    return this.#openRequests;
  }

  /** Epoch ms; never later than the first reservation or lease expires, infinite without one. */
  get nextExpiryAt(): number {
    return Math.min(this.#nextExpiryAt, this.leases.nextLapseAt);
  }

  /** All reservations that are open. */
  all(): Hold[] {
    return this.#sql.exec<Hold>(`SELECT ${COLUMNS} FROM hold WHERE state = 'R'`).toArray();
  }

  of(traceId: string): Hold[] {
    return this.#sql.exec<Hold>(`SELECT ${COLUMNS} FROM hold WHERE trace_id = ?`, traceId).toArray();
  }

  open(reservation: Reservation, requests: number, now: number): void {
    const { traceId, attempt, boundNanoUsd, boundTokens, provider, model, origin, isolate = "" } = reservation;
    const expiresAt = Math.min(reservation.expiresAt, now + MAX_HOLD_MS);
    const from = originText(origin);
    this.#sql.exec(
      INSERT,
      ...[traceId, attempt, "R", now, expiresAt, boundNanoUsd, boundTokens, requests, provider, model],
      ...[from, isolate],
    );
    this.#count(now, boundNanoUsd, requests);
    this.onChange(from, now, boundNanoUsd);
    this.leases.count(isolate, 1);
    this.#nextExpiryAt = Math.min(this.#nextExpiryAt, expiresAt);
  }

  /** For a minute, a reservation under this number is not taken. */
  withdraw(traceId: string, attempt: number, now: number): void {
    this.#sql.exec(INSERT, ...[traceId, attempt, "W", now, now + WITHDRAWN_MS, 0, 0, 0, "", "", "", ""]);
  }

  /**
   * The attempt will cost no more than `nanoUsd`; what is held for it was never less. It is held until `expiresAt` at
   * least, because its request goes on with another attempt, and is settled when that is over.
   */
  lower(traceId: string, attempt: number, nanoUsd: number, expiresAt: number): void {
    const hold = this.of(traceId).find((each) => each.attempt === attempt && each.state === "R");
    if (hold === undefined) return;
    const bound = Math.min(hold.bound_nano_usd, nanoUsd);
    const values = [bound, Math.min(expiresAt, hold.reserved_at + MAX_HOLD_MS), traceId, attempt];
    this.#sql.exec(
      "UPDATE hold SET bound_nano_usd = ?, expires_at = max(expires_at, ?) WHERE trace_id = ? AND attempt = ?",
      ...values,
    );
    this.#count(hold.reserved_at, bound - hold.bound_nano_usd, 0);
    this.onChange(hold.origin, hold.reserved_at, bound - hold.bound_nano_usd);
  }

  remove({ trace_id, attempt, state, reserved_at, bound_nano_usd, requests, isolate, origin }: Hold): void {
    this.#sql.exec("DELETE FROM hold WHERE trace_id = ? AND attempt = ?", trace_id, attempt);
    if (state !== "R") return;
    this.#count(reserved_at, -bound_nano_usd, -requests);
    this.onChange(origin, reserved_at, -bound_nano_usd);
    this.leases.count(isolate, -1);
  }

  /** Takes out up to `limit` reservations that have expired, or whose isolate fell silent, the oldest first. */
  takeExpired(now: number, limit: number): Hold[] {
    if (this.nextExpiryAt > now) return [];
    const expired = this.#takeOld(now, limit);
    for (const isolate of this.leases.lapsed(now)) expired.push(...this.#takeOf(isolate, limit - expired.length));
    return expired;
  }

  #takeOf(isolate: string, limit: number): Hold[] {
    const query = `SELECT ${COLUMNS} FROM hold WHERE state = 'R' AND isolate = ? ORDER BY reserved_at LIMIT ?`;
    const held = this.#sql.exec<Hold>(query, isolate, Math.max(0, limit)).toArray();
    for (const hold of held) this.remove(hold);
    return held;
  }

  #takeOld(now: number, limit: number): Hold[] {
    if (this.#nextExpiryAt > now) return [];
    const expired = this.#sql
      .exec<Hold>(
        `SELECT ${COLUMNS} FROM hold WHERE state = 'R' AND expires_at <= ? ORDER BY expires_at LIMIT ?`,
        now,
        limit,
      )
      .toArray();
    for (const hold of expired) this.remove(hold);
    this.#findExpiry();
    return expired;
  }

  forgetWithdrawn(now: number): void {
    this.#sql.exec("DELETE FROM hold WHERE state = 'W' AND expires_at <= ?", now);
  }

  /** Sums of the rows themselves, for the audit. */
  sums(): { readonly openNanoUsd: number; readonly openReservations: number } {
    return this.#sql
      .exec<{ openNanoUsd: number; openReservations: number }>(
        `SELECT coalesce(sum(bound_nano_usd), 0) AS openNanoUsd, count(*) AS openReservations FROM hold
         WHERE state = 'R'`,
      )
      .one();
  }

  #findExpiry(): void {
    const query = "SELECT min(expires_at) AS expires_at FROM hold WHERE state = 'R'";
    const { expires_at } = this.#sql.exec<{ expires_at: number | null }>(query).one();
    this.#nextExpiryAt = expires_at ?? Number.POSITIVE_INFINITY;
  }

  #count(at: number, nanoUsd: number, requests: number): void {
    this.#openRequests += requests;
    const quarter = Math.floor(at / QUARTER_MS);
    const sum = (this.#reservedNanoUsd.get(quarter) ?? 0) + nanoUsd;
    assertNanoUsd(sum);
    if (sum === 0) this.#reservedNanoUsd.delete(quarter);
    else this.#reservedNanoUsd.set(quarter, sum);
  }
}

/** A time that no date has could not be put on a trace, and would keep the sweep from ever ending. */
function originText(origin: RequestOrigin | undefined): string {
  return Number.isNaN(new Date(origin?.receivedAt ?? Number.NaN).getTime()) ? "" : JSON.stringify(origin);
}
