/**
 * The books of one key, on SQLite and without a clock of their own.
 *
 * Every method that changes something must run in a transaction of the caller's; after one that failed, `load` makes
 * memory equal to the tables again. For each budget, what is spent and what is reserved in its period never exceed its
 * limit by an admission: only a bill above its own bound, a lower limit or a price that was unknown can take it there.
 */
import type { BudgetShortage } from "../budgets/types.ts";
import { fromUsd } from "../lib/money.ts";
import { spanOf } from "../lib/time/calendar.ts";
import { type Trace, traceIdFloor } from "../traces/schema.ts";
import { Account } from "./account.ts";
import { Attempts } from "./attempts.ts";
import { BudgetWindow } from "./budget-window.ts";
import type { InlineCharge } from "./charges.ts";
import { Folded } from "./folded.ts";
import { assertReservation, countOf, readRow } from "./incoming.ts";
import { prepareTables, takeBookedElsewhere } from "./ledger-schema.sql.ts";
import { Outbox } from "./outbox.ts";
import { type PeriodRow, PeriodSums, SpendChanges, UTC } from "./periods.ts";
import { Refusals } from "./refusals.ts";
import { Repricing } from "./repricing.ts";
import { Shares } from "./shares/shares.ts";
import { listTraces } from "./trace/trace-list.ts";
import { MAX_TRACE_DAYS, MIN_TRACE_AGE_MS, type OldTrace, Traces } from "./trace/traces.ts";
import type {
  Budget,
  BudgetSpend,
  KeyStanding,
  KeyTerms,
  LedgerAudit,
  PeriodSpend,
  RefusalReason,
  RefusedRow,
  Reservation,
  ReserveAnswer,
  SettleAnswer,
  SettleRow,
  TracePage,
  TraceQuery,
  Unavailable,
} from "./types.ts";
import { type Counted, countedAs, unsettledTrace } from "./unsettled.ts";

/** When one of the running requests will end is unknown. */
const CONCURRENCY_RETRY_MS = 1_000;
/** Rows of each table that one round of retention deletes, so that it never holds up requests for long. */
const TRIM_BATCH = 500;

type BudgetPeriod = Pick<Budget, "period" | "time_zone">;

interface Refusal {
  readonly reason: RefusalReason;
  readonly retryAfterMs: number;
  readonly shortage?: BudgetShortage;
}

export class Ledger {
  readonly account: Account;
  readonly attempts: Attempts;
  readonly traces: Traces;
  readonly outbox: Outbox;
  readonly refusals: Refusals;
  readonly folded: Folded;
  readonly repricing: Repricing;
  readonly shares: Shares;
  readonly #sql: SqlStorage;
  readonly #sums: PeriodSums;
  readonly #window: BudgetWindow;

  /** `traceDays`: how long traces are kept. */
  constructor(sql: SqlStorage, traceDays = MAX_TRACE_DAYS) {
    prepareTables(sql);
    this.#sql = sql;
    this.#sums = new PeriodSums(sql);
    this.account = new Account(sql);
    this.attempts = new Attempts(sql, this.account);
    this.traces = new Traces(sql, traceDays);
    this.folded = new Folded(sql);
    this.repricing = new Repricing(sql, this.account, this.folded);
    this.outbox = new Outbox(sql);
    this.refusals = new Refusals(sql, this.account, traceDays);
    const booked = { sums: this.#sums, charges: this.attempts.charges, traces: this.traces, folded: this.folded };
    this.#window = new BudgetWindow(sql, booked);
    this.shares = new Shares(sql, booked, this.attempts.holds);
    this.load();
    // After a rollback: the release before knows only days, months and all in UTC.
    if (takeBookedElsewhere(sql)) for (const each of [this.#window, this.shares]) each.recount();
  }

  /** Reads again what is kept in memory. */
  load(): void {
    this.#sums.load();
    this.account.load();
    this.attempts.load();
    this.refusals.load();
    this.traces.load(this.#sums.of("total").requests);
    this.#window.load();
    this.shares.load();
    this.outbox.load();
  }

  /**
   * Holds the bound of one attempt, or says why not. The same reservation again is answered again and held once.
   * `silent`: budgets above the key whose pool did not answer.
   */
  reserve(asked: Reservation, now: number, silent: ReadonlySet<string> = new Set()): ReserveAnswer | Unavailable {
    assertReservation(asked);
    this.account.learn(asked.terms);
    this.attempts.holds.leases.renew(asked.isolate ?? "", now);
    this.sweep(now);
    const reservation = this.#withinLimit(asked);
    this.attempts.endEarlier(reservation, now);
    const { state, isFirst } = this.attempts.standing(reservation.traceId, reservation.attempt);
    // A request that is settled sends nothing any more: a late reservation would never be released.
    const isOver = state === "new" && this.traces.has(reservation.traceId);
    if (state === "withdrawn" || isOver) return { ok: false, reason: "unavailable" };
    const { budget = null, limits = null } = this.account.terms ?? {};
    // Before the row exists: a window that is read from the rows must not count it twice.
    const window = limits === null ? null : this.attempts.window(reservation.traceId, now);
    const refusal = state === "new" ? this.#refusalOf(reservation, isFirst, now) : null;
    if (refusal?.shortage !== undefined && silent.has(refusal.shortage.id)) return { ok: false, reason: "unavailable" };
    if (state === "new" && refusal === null) this.attempts.open(reservation, isFirst, now);
    const facts = {
      remainingNanoUsd: this.#remaining(budget, now),
      keyVersion: this.account.keyVersion,
      rate: window?.state(limits, now, this.attempts.debt.current) ?? null,
      ...this.#freeSlots(now),
      ...this.#leased(now),
    };
    return refusal === null ? { ok: true, ...facts } : { ok: false, ...refusal, ...facts };
  }

  /** Counts a request that reserves nothing. `keyId`: the key's own. A number: its limit leaves no room for so many ms. */
  countRequest(keyId: string, terms: KeyTerms, now: number): number | null {
    this.account.learn(terms);
    return this.attempts.countRequest(`tr_${keyId}`, this.account.terms?.limits ?? null, now);
  }

  sumRows(): PeriodRow[] {
    return this.#sums.all();
  }

  importSums(rows: readonly PeriodRow[]): void {
    this.account.count({ deletedNanoUsd: this.#sums.adopt(rows) });
  }

  /** A request counts with the whole limit of tokens per minute at most, so that it is admitted when it is alone. */
  #withinLimit(reservation: Reservation): Reservation {
    const limit = this.account.terms?.limits?.tokens_per_minute ?? Number.POSITIVE_INFINITY;
    return reservation.boundTokens <= limit ? reservation : { ...reservation, boundTokens: limit };
  }

  /** The sender's share of what is free: all that are alive may start that many at once, and none is one too many. */
  #freeSlots(now: number): { readonly freeSlots?: number } {
    const most = this.account.terms?.limits?.concurrency;
    if (most === undefined) return {};
    const { openRequests, leases } = this.attempts.holds;
    return { freeSlots: Math.floor(Math.max(0, most - openRequests) / Math.max(1, leases.alive(now))) };
  }

  #leased(now: number): { readonly leasedNanoUsd?: number } {
    const leasedNanoUsd = this.shares.freeNanoUsd(now);
    return Number.isFinite(leasedNanoUsd) ? { leasedNanoUsd } : {};
  }

  /** An isolate is alive, and so is all that it holds. */
  renew(isolate: string, now: number): SettleAnswer {
    this.attempts.holds.leases.renew(isolate, now);
    return this.#standing(now);
  }

  #refusalOf(reservation: Reservation, isFirst: boolean, now: number): Refusal | null {
    const { traceId, boundNanoUsd, boundTokens } = reservation;
    if (this.account.isRefused) return { reason: "revoked", retryAfterMs: 0 };
    const { budget = null, limits = null } = this.account.terms ?? {};
    if (budget !== null) {
      const left = this.#left(budget, now);
      // An isolate that does not know of the budget yet has bounded nothing.
      const isSpent = reservation.terms.budget === null && left <= 0;
      if (boundNanoUsd > left || isSpent) return { reason: "budget", retryAfterMs: 0 };
    }
    const shortage = this.shares.refusalOf(reservation, now);
    if (shortage !== null) return { reason: "shared_budget", retryAfterMs: 0, shortage };
    if (limits === null) return null;
    const { current: debt } = this.attempts.debt;
    const wait = this.attempts.window(traceId, now).wait(limits, isFirst ? 1 : 0, boundTokens, now, debt);
    if (wait !== null) return wait;
    const isFull = isFirst && this.attempts.holds.openRequests >= (limits.concurrency ?? Number.POSITIVE_INFINITY);
    return isFull ? { reason: "concurrency", retryAfterMs: CONCURRENCY_RETRY_MS } : null;
  }

  /** The attempt was not sent and will not be. After its settlement this changes nothing. */
  release(traceId: string, attempt: number, now: number): void {
    this.attempts.release(traceId, attempt, now);
  }

  /** Books finished requests, each attempt once however often it is sent. */
  settle(rows: readonly SettleRow[], now: number, isolates: readonly string[] = []): SettleAnswer {
    for (const isolate of isolates) this.attempts.holds.leases.renew(isolate, now);
    const changes = new SpendChanges();
    for (const row of rows) this.#book(readRow(row, now), now, changes);
    this.bookChanges(changes);
    return this.#standing(now);
  }

  /** Adds what a transaction has gathered to all sums. */
  bookChanges(changes: SpendChanges): void {
    this.#sums.add(changes);
    this.#window.add(changes);
    this.shares.add(changes);
  }

  #standing(now: number): SettleAnswer {
    return {
      revoked: this.account.isRefused,
      keyVersion: this.account.keyVersion,
      remainingNanoUsd: this.#remaining(this.account.terms?.budget ?? null, now),
      ...this.#freeSlots(now),
      ...this.#leased(now),
    };
  }

  /** Keeps the light traces of refused requests, and counts those that had no room and `more` besides. */
  refuse(rows: readonly RefusedRow[], more: number, now: number): void {
    for (const id of this.refusals.add(rows, countOf(more), now)) this.outbox.add(id);
  }

  /** One trace, of a settled request or of a refused one; `null` where there is none. */
  trace(id: string): Trace | null {
    return this.traces.find(id) ?? this.refusals.find(id);
  }

  list(query: TraceQuery): TracePage {
    return listTraces(this.traces, this.refusals, query);
  }

  #book(row: SettleRow, now: number, changes: SpendChanges): void {
    this.account.learn(row.terms);
    const known = this.traces.unsettledAttempts(row.id);
    changes.source = row.trace;
    const booked = this.attempts.settle(row, { isNew: known !== 0, hasRow: known !== null }, now, changes);
    if (known === 0) return;
    const { at, swept, inline } = booked;
    const isNew = this.#store(row, 0, known, now, inline);
    const isPriced = row.costNanoUsd !== null && row.attempts.every(({ costNanoUsd }) => costNanoUsd !== null);
    this.#count(isNew, { before: swept, after: { at, unpriced: isPriced ? 0 : 1 } }, changes);
    if (row.unadmittedNanoUsd <= 0) return;
    const insert = "INSERT OR IGNORE INTO unadmitted (trace_id, nano_usd) VALUES (?, ?)";
    this.#sql.exec(insert, row.id, row.unadmittedNanoUsd);
    this.account.count({ unadmittedNanoUsd: row.unadmittedNanoUsd });
  }

  /** Stores a trace that says more than the one that is known, and sends it on its way. Answers whether it is the first. */
  #store(
    trace: Pick<SettleRow, "id" | "status" | "route" | "trace">,
    unsettled: number,
    known: number | null,
    now: number,
    charge?: InlineCharge,
  ): boolean {
    const seq = this.outbox.number(trace.id);
    if (known === null) this.traces.add(trace, unsettled, now, seq, charge);
    else this.traces.replace(trace, unsettled, now, seq);
    return known === null;
  }

  /** Counts the request of a trace that was stored, once, however often the trace is replaced. */
  #count(
    isNew: boolean,
    { before, after }: { readonly before: Counted | null; readonly after: Counted },
    changes: SpendChanges,
  ): void {
    if (before !== null) {
      changes.add(before.at, 0, -1, -before.unpriced);
      if (isNew) this.traces.forgetTrimmed();
    }
    changes.add(after.at, 0, 1, after.unpriced);
  }

  /** Charges reservations that were not settled in time, a batch at most, and stores what is known as their trace. */
  sweep(now: number): void {
    this.attempts.holds.leases.adopt(now);
    const changes = new SpendChanges();
    for (const { traceId, before, after } of this.attempts.sweep(now, changes)) {
      const counted = countedAs(after);
      if (counted === null || after.length === before.length) continue;
      const known = this.traces.unsettledAttempts(traceId);
      // A settled one stays.
      if (known === 0 || (known ?? 0) >= after.length) continue;
      const isNew = this.#store(unsettledTrace(traceId, after), after.length, known, now);
      this.#count(isNew, { before: countedAs(before), after: counted }, changes);
    }
    this.bookChanges(changes);
  }

  applyTerms(terms: KeyTerms): void {
    this.account.learn(terms);
  }

  revoke(): void {
    this.account.revoke();
  }

  /**
   * In the budget's running period. To be called in a transaction: a period may begin. Requests are those of all days in
   * UTC that touch it.
   */
  spend(budget: BudgetPeriod, now: number): PeriodSpend {
    const { start, end } = spanOf(budget.period, budget.time_zone ?? UTC, now);
    const { requests, unpriced } = Number.isFinite(start) ? this.#sums.ofDays(start, end) : this.#sums.of("total");
    return { ...this.#against(budget, now), requests, unpricedRequests: unpriced };
  }

  #against(budget: BudgetPeriod, now: number): BudgetSpend {
    const reservedNanoUsd = this.attempts.holds.reservedNanoUsd(spanOf(budget.period, budget.time_zone ?? UTC, now));
    return { spentNanoUsd: this.#window.spentNanoUsd(budget, now), reservedNanoUsd };
  }

  /** What the holder of the key is shown. Changes nothing. */
  standing(keyId: string, { budget, limits }: Pick<KeyTerms, "budget" | "limits">, now: number): KeyStanding {
    const { holds, debt } = this.attempts;
    const isLimited = limits?.requests_per_minute !== undefined || limits?.tokens_per_minute !== undefined;
    const window = isLimited ? this.attempts.window(traceIdFloor(keyId, now), now) : null;
    return {
      spend: this.#against(budget ?? { period: "total" }, now),
      rate: window?.state(limits, now, debt.current) ?? null,
      openRequests: holds.openRequests,
    };
  }

  /** One round of retention. Sums never change by it. True while more is to be deleted at once. */
  trim(now: number): boolean {
    this.outbox.remove(this.refusals.trim(now));
    const old = this.traces.old(now, TRIM_BATCH);
    if (old.length > 0) this.#delete(old);
    this.folded.trim(now);
    this.attempts.holds.tidy(now);
    const floor = this.traces.oldest();
    this.#sql.exec("DELETE FROM unadmitted WHERE trace_id < ?", floor);
    const attempts = this.attempts.charges.trim(floor, MIN_TRACE_AGE_MS, now, TRIM_BATCH);
    return old.length === TRIM_BATCH || attempts === TRIM_BATCH;
  }

  #delete(old: readonly OldTrace[]): void {
    const ids = old.map(({ id }) => id);
    const lost = this.outbox.remove(ids);
    if (lost.length > 0)
      this.account.count({ lostTraces: lost.length, lostNanoUsd: this.attempts.charges.costOf(lost) });
    this.account.count({ deletedNanoUsd: this.folded.fold(old) });
    this.attempts.holds.clear(ids);
    this.traces.remove(ids);
  }

  /** Traces and tags are gone; charges and sums stay. */
  erase(): void {
    this.outbox.erase();
    this.traces.erase();
    this.refusals.erase();
    this.attempts.charges.eraseTags();
    this.attempts.holds.erase();
    this.folded.erase();
  }

  /** Takes out of the outbox what says neither environment nor day: no index can have it. */
  giveUp(traceIds: readonly string[]): void {
    const lost = this.outbox.remove(traceIds);
    this.account.count({ lostTraces: lost.length, lostNanoUsd: this.attempts.charges.costOf(lost) });
  }

  audit(now: number): LedgerAudit {
    const { holds, charges } = this.attempts;
    const { openNanoUsd, openReservations } = holds.sums();
    const { deletedNanoUsd, ...counters } = this.account.counters();
    const sumOf = (period: Budget["period"]): PeriodSpend => this.spend({ period }, now);
    const [day, month, total] = [sumOf("day"), sumOf("month"), sumOf("total")];
    const reservedNanoUsd = total.reservedNanoUsd;
    const bookedNanoUsd = charges.sumNanoUsd() + deletedNanoUsd;
    const areSumsRight = reservedNanoUsd === openNanoUsd && bookedNanoUsd === total.spentNanoUsd && this.#sums.agree();
    const isConsistent = areSumsRight && charges.agreeWithTraces();
    return {
      ...{ reservedNanoUsd, openNanoUsd, openReservations, openRequests: holds.openRequests },
      ...{ day, month, total, bookedNanoUsd, ...counters },
      unshippedTraces: this.outbox.count(),
      revoked: this.account.isRevoked,
      keyVersion: this.account.keyVersion,
      isConsistent,
    };
  }

  #left(budget: Budget, now: number): number {
    const { spentNanoUsd, reservedNanoUsd } = this.#against(budget, now);
    return fromUsd(budget.limit_usd) - spentNanoUsd - reservedNanoUsd;
  }

  #remaining(budget: Budget | null, now: number): number | null {
    return budget === null ? null : Math.max(0, this.#left(budget, now));
  }
}
