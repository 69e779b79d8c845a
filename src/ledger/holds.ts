/**
 * What attempts hold that are not settled yet, in a table as small as what runs, and the same in memory, changed only
 * together with it and read from it by `load`.
 *
 * Rows are slots that are used again, because a row that is deleted is a row written: the settlement of a request ends
 * what it holds by the row that it writes anyway, and the next reservation takes the slot.
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

/** Slots that are kept for later, at least; otherwise as many as are in use. */
const SPARE_SLOTS = 256;

const COLUMNS = `n, trace_id, attempt, state, reserved_at, expires_at, bound_nano_usd, tokens, requests, provider, model,
  origin, isolate`;
const PUT = `INSERT OR REPLACE INTO slot (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const IS_OVER = "(state = '' OR EXISTS (SELECT 1 FROM request WHERE id = trace_id AND ends_holds = 1))";

/** One attempt's reservation, or the mark that it was released before its reservation came (`W`). */
export type Hold = {
  /** Number of its slot. */
  readonly n: number;
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
  /** What is open, by trace id. */
  readonly #open = new Map<string, Hold[]>();
  #freeSlots: number[] = [];
  #nextSlot = 1;
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
    this.#open.clear();
    this.#freeSlots = [];
    this.#nextSlot = 1;
    this.#reservedNanoUsd.clear();
    this.#openRequests = 0;
    this.#nextExpiryAt = Number.POSITIVE_INFINITY;
    const open = new Map<string, number>();
    const query = `SELECT ${COLUMNS}, ${IS_OVER} AS is_over FROM slot ORDER BY n`;
    for (const { is_over, ...hold } of this.#sql.exec<Hold & { is_over: number }>(query).toArray()) {
      this.#nextSlot = hold.n + 1;
      if (is_over === 1) this.#freeSlots.push(hold.n);
      else this.#remember(hold);
      if (is_over === 1 || hold.state !== "R") continue;
      this.#count(hold.reserved_at, hold.bound_nano_usd, hold.requests);
      this.#nextExpiryAt = Math.min(this.#nextExpiryAt, hold.expires_at);
      if (hold.isolate !== "") open.set(hold.isolate, (open.get(hold.isolate) ?? 0) + 1);
    }
    this.leases.load(open);
  }

  #remember(hold: Hold): void {
    const others = this.#open.get(hold.trace_id);
    if (others === undefined) this.#open.set(hold.trace_id, [hold]);
    else others.push(hold);
  }

  #forget(hold: Hold): void {
    const left = this.of(hold.trace_id).filter(({ attempt }) => attempt !== hold.attempt);
    if (left.length > 0) this.#open.set(hold.trace_id, left);
    else this.#open.delete(hold.trace_id);
  }

  #put(hold: Omit<Hold, "n">): void {
    const whole = { n: this.#freeSlots.pop() ?? this.#nextSlot++, ...hold };
    const { n, trace_id, attempt, state, reserved_at, expires_at, bound_nano_usd, tokens, requests } = whole;
    this.#sql.exec(
      PUT,
      ...[n, trace_id, attempt, state, reserved_at, expires_at, bound_nano_usd, tokens, requests],
      ...[hold.provider, hold.model, hold.origin, hold.isolate],
    );
    this.#remember(whole);
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
    return [...this.#open.values()].flat().filter(({ state }) => state === "R");
  }

  of(traceId: string): readonly Hold[] {
    return this.#open.get(traceId) ?? [];
  }

  open(reservation: Reservation, requests: number, now: number): void {
    const { traceId, attempt, boundNanoUsd, boundTokens, provider, model, isolate = "" } = reservation;
    const expiresAt = Math.min(reservation.expiresAt, now + MAX_HOLD_MS);
    const origin = originText(reservation.origin);
    this.#put({
      ...{ trace_id: traceId, attempt, state: "R", reserved_at: now, expires_at: expiresAt },
      ...{ bound_nano_usd: boundNanoUsd, tokens: boundTokens, requests, provider, model, origin, isolate },
    });
    this.#count(now, boundNanoUsd, requests);
    this.onChange(origin, now, boundNanoUsd);
    this.leases.count(isolate, 1);
    this.#nextExpiryAt = Math.min(this.#nextExpiryAt, expiresAt);
  }

  /** For a minute, a reservation under this number is not taken. */
  withdraw(traceId: string, attempt: number, now: number): void {
    this.#put({
      ...{ trace_id: traceId, attempt, state: "W", reserved_at: now, expires_at: now + WITHDRAWN_MS },
      ...{ bound_nano_usd: 0, tokens: 0, requests: 0, provider: "", model: "", origin: "", isolate: "" },
    });
  }

  /**
   * The attempt will cost no more than `nanoUsd`; what is held for it was never less. It is held until `expiresAt` at
   * least, because its request goes on with another attempt, and is settled when that is over.
   */
  lower(traceId: string, attempt: number, nanoUsd: number, expiresAt: number): void {
    const hold = this.of(traceId).find((each) => each.attempt === attempt && each.state === "R");
    if (hold === undefined) return;
    const bound = Math.min(hold.bound_nano_usd, nanoUsd);
    const until = Math.max(hold.expires_at, Math.min(expiresAt, hold.reserved_at + MAX_HOLD_MS));
    this.#sql.exec("UPDATE slot SET bound_nano_usd = ?, expires_at = ? WHERE n = ?", bound, until, hold.n);
    this.#forget(hold);
    this.#remember({ ...hold, bound_nano_usd: bound, expires_at: until });
    this.#count(hold.reserved_at, bound - hold.bound_nano_usd, 0);
    this.onChange(hold.origin, hold.reserved_at, bound - hold.bound_nano_usd);
  }

  remove(hold: Hold): void {
    this.#sql.exec("UPDATE slot SET state = '' WHERE n = ?", hold.n);
    this.end(hold);
  }

  /** The row of its request ends it, in the same transaction. */
  end(hold: Hold): void {
    const { n, state, reserved_at, bound_nano_usd, requests, isolate, origin } = hold;
    this.#forget(hold);
    this.#freeSlots.push(n);
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
    const held = this.all().filter((hold) => hold.isolate === isolate);
    return this.#take(held.toSorted((a, b) => a.reserved_at - b.reserved_at).slice(0, Math.max(0, limit)));
  }

  #takeOld(now: number, limit: number): Hold[] {
    if (this.#nextExpiryAt > now) return [];
    const expired = this.all().filter(({ expires_at }) => expires_at <= now);
    const taken = this.#take(expired.toSorted((a, b) => a.expires_at - b.expires_at).slice(0, limit));
    this.#nextExpiryAt = this.all().reduce(
      (first, { expires_at }) => Math.min(first, expires_at),
      Number.POSITIVE_INFINITY,
    );
    return taken;
  }

  #take(holds: Hold[]): Hold[] {
    for (const hold of holds) this.remove(hold);
    return holds;
  }

  /** Withdrawn numbers that may come no more, and slots that a busy time has left. */
  tidy(now: number): void {
    for (const hold of [...this.#open.values()].flat()) {
      if (hold.state === "W" && hold.expires_at <= now) this.remove(hold);
    }
    const spare = this.#freeSlots.length - Math.max(SPARE_SLOTS, this.#open.size);
    if (spare <= 0) return;
    const numbers = this.#freeSlots.toSorted((a, b) => a - b).slice(-spare);
    this.#sql.exec("DELETE FROM slot WHERE n IN (SELECT value FROM json_each(?))", JSON.stringify(numbers));
    const dropped = new Set(numbers);
    this.#freeSlots = this.#freeSlots.filter((n) => !dropped.has(n));
  }

  /** Before requests are deleted: what ended by their rows must not seem open without them. */
  clear(traceIds: readonly string[]): void {
    const ids = JSON.stringify(traceIds);
    this.#sql.exec(`DELETE FROM slot WHERE trace_id IN (SELECT value FROM json_each(?)) AND ${IS_OVER}`, ids);
  }

  /** Nothing is left of what has ended. */
  erase(): void {
    this.#sql.exec(`DELETE FROM slot WHERE ${IS_OVER}`);
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
