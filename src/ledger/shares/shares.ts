/**
 * The shares that this key's ledger has of budgets above keys.
 *
 * A share counts what was booked in the budget's running period and what is reserved in it, and knows how far both may go
 * together: that much the budget's pool has leased to this ledger. Sums are rows; reservations are added up in memory and
 * made from the holds again after an eviction.
 */
import type { BudgetShortage, BudgetTerms, Lease, Part } from "../../budgets/types.ts";
import { isJsonObject, parseJson, tryParseJson } from "../../lib/json.ts";
import { dayStart, spanOf } from "../../lib/time/calendar.ts";
import { type Booked, spentSince } from "../budget-window.ts";
import type { Holds } from "../holds.ts";
import { type SpendChanges, type SpendSource, UTC } from "../periods.ts";
import type { Reservation } from "../types.ts";

/** A lease that ends sooner is no longer enough for calls that start before they are admitted. */
const FRESH_MS = 6_000;
const COLUMNS = "id, key_id, terms, start_at, end_at, spent, held, until";

type Row = {
  readonly id: string;
  readonly key_id: string;
  readonly terms: string;
  readonly start_at: number;
  readonly end_at: number;
  readonly spent: number;
  readonly held: number;
  readonly until: number;
};

export interface Share {
  readonly id: string;
  readonly keyId: string;
  readonly terms: BudgetTerms;
  /** Epoch ms of its running period. */
  startAt: number;
  endAt: number;
  spent: number;
  reserved: number;
  /** What spent and reserved may reach, until the lease ends (epoch ms). */
  held: number;
  until: number;
  /** What the pool last said: for refusals, and for what is asked next. */
  free: number;
  limitUsd: number;
  isTight: boolean;
  /** It has changed since the pool was told. */
  isNews: boolean;
  /** The most that an attempt might cost of late. */
  bound: number;
}

const ALL = { app: null, tag: null };

export class Shares {
  readonly #sql: SqlStorage;
  readonly #booked: Booked;
  readonly #holds: Holds;
  readonly #shares = new Map<string, Share>();
  /** Budgets that were deleted or changed, and the era below which nothing of them counts. In memory: asked again. */
  readonly #gone = new Map<string, number>();

  constructor(sql: SqlStorage, booked: Booked, holds: Holds) {
    this.#sql = sql;
    this.#booked = booked;
    this.#holds = holds;
    holds.onChange = (origin, at, nanoUsd) => this.#noteHold(origin, at, nanoUsd);
  }

  load(): void {
    this.#shares.clear();
    for (const row of this.#sql.exec<Row>(`SELECT ${COLUMNS} FROM share`).toArray()) {
      this.#shares.set(row.id, {
        ...{ id: row.id, keyId: row.key_id, startAt: row.start_at, endAt: row.end_at, spent: row.spent },
        // Written by `learn` from `BudgetTerms`, and nothing else writes to this column.
        terms: parseJson(row.terms) as unknown as BudgetTerms,
        ...{
          held: row.held,
          until: row.until,
          reserved: 0,
          free: 0,
          limitUsd: 0,
          isTight: false,
          isNews: true,
          bound: 0,
        },
      });
    }
    this.#countHolds();
  }

  /** Counts again what was spent: another release has booked without budgets. Belongs to a transaction. */
  recount(): void {
    for (const share of this.#shares.values()) {
      share.spent = this.#spentBefore(share.terms, share.startAt, share.endAt);
      share.held = Math.max(share.held, share.spent + share.reserved);
      share.isNews = true;
      this.#sql.exec("UPDATE share SET spent = ?, held = ? WHERE id = ?", share.spent, share.held, share.id);
    }
  }

  get isEmpty(): boolean {
    return this.#shares.size === 0;
  }

  all(): IterableIterator<Share> {
    return this.#shares.values();
  }

  find(id: string): Share | undefined {
    return this.#shares.get(id);
  }

  /** Is one of these new, or newer than what is known? */
  knows(terms: readonly BudgetTerms[] | undefined, now: number): boolean {
    const isKnown = ({ id, era }: BudgetTerms): boolean =>
      (this.#shares.get(id)?.terms.era ?? (this.#gone.get(id) ?? 0) - 1) >= era;
    return (terms ?? []).every(isKnown) && [...this.#shares.values()].every(({ endAt }) => endAt > now);
  }

  /** Takes part in budgets from now on, with what was booked of them in their running period. */
  learn(terms: readonly BudgetTerms[] | undefined, keyId: string, now: number): void {
    for (const each of terms ?? []) {
      const known = this.#shares.get(each.id);
      if (known === undefined ? each.era < (this.#gone.get(each.id) ?? 0) : each.era <= known.terms.era) continue;
      this.#begin(each, keyId, now);
    }
    for (const { endAt, terms: own, keyId: of } of [...this.#shares.values()]) {
      if (endAt <= now) this.#begin(own, of, now);
    }
  }

  #begin(terms: BudgetTerms, keyId: string, now: number): void {
    const { start, end } = spanOf(terms.period, terms.time_zone ?? UTC, now);
    const [startAt, endAt] = [Math.max(0, start), Math.min(Number.MAX_SAFE_INTEGER, end)];
    const spent = this.#spentBefore(terms, startAt, endAt);
    const share: Share = {
      ...{ id: terms.id, keyId, terms, startAt, endAt, spent, reserved: 0, held: spent, until: 0 },
      ...{ free: 0, limitUsd: 0, isTight: false, isNews: true, bound: 0 },
    };
    this.#shares.set(terms.id, share);
    this.#countHolds();
    share.held = spent + share.reserved;
    this.#sql.exec(
      `INSERT OR REPLACE INTO share (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      ...[share.id, keyId, JSON.stringify(terms), startAt, endAt, spent, share.held, share.until],
    );
  }

  /**
   * The booked charges of its requests, those that are deleted by the hour. Where these are not all, because a release
   * before did not keep what it deleted or because the sums came from another deployment, all of whole days: never less.
   */
  #spentBefore({ app, tag, carriedAt }: BudgetTerms, periodAt: number, endAt: number): number {
    const { sums, charges, folded } = this.#booked;
    const startAt = Math.max(periodAt, tag?.since ?? 0);
    const scope = { app, tag };
    const own = (): number => charges.sumOfScope(scope, startAt, endAt) + folded.sumOfScope(scope, startAt, endAt);
    // The pool has what came from another deployment.
    if (carriedAt === periodAt) return own();
    const whole = startAt === 0 ? sums.of("total").nanoUsd : spentSince(this.#booked, startAt, endAt);
    if (app === null && tag === null) return whole;
    const dayAt = dayStart(startAt);
    const known = charges.sumBetween(dayAt, endAt) + folded.sumOfScope(ALL, dayAt, endAt);
    if (known < whole) return whole;
    return own();
  }

  /** The budget is no more, or of another scope. */
  forget(id: string, below: number): void {
    this.#gone.set(id, below);
    const share = this.#shares.get(id);
    if (share === undefined || share.terms.era >= below) return;
    this.#shares.delete(id);
    this.#sql.exec("DELETE FROM share WHERE id = ?", id);
  }

  #noteHold(origin: string, at: number, nanoUsd: number): void {
    if (this.#shares.size === 0) return;
    for (const share of this.#matching(origin)) if (at >= share.startAt) share.reserved += nanoUsd;
  }

  #countHolds(): void {
    for (const share of this.#shares.values()) share.reserved = 0;
    if (this.#shares.size === 0) return;
    for (const { origin, reserved_at, bound_nano_usd } of this.#holds.all()) {
      this.#noteHold(origin, reserved_at, bound_nano_usd);
    }
  }

  /** Keeps the sums equal to what was booked. */
  add({ moves }: SpendChanges): void {
    if (this.#shares.size === 0) return;
    const changed = new Set<Share>();
    for (const { at, nanoUsd, source } of moves) {
      for (const share of this.#matching(source)) {
        if (at < share.startAt || at >= share.endAt) continue;
        share.spent += nanoUsd;
        changed.add(share);
      }
    }
    for (const share of changed) {
      share.isNews = true;
      this.#sql.exec("UPDATE share SET spent = ? WHERE id = ?", share.spent, share.id);
    }
  }

  /** Where the origin of a request is unknown, those that are for all requests. */
  #matching(source: SpendSource): Share[] {
    const shares = [...this.#shares.values()];
    if (shares.every(({ terms: { app, tag } }) => app === null && tag === null)) return shares;
    const from = readSource(source);
    return shares.filter(({ terms: { app, tag } }) => {
      if (app !== null && from["app"] !== app) return false;
      return tag === null || (isJsonObject(from["tags"]) && from["tags"][tag.name] === tag.value);
    });
  }

  /** Those that say no, of the budgets that the reservation names. A free attempt needs none of them. */
  #refusing({ budgets, boundNanoUsd, origin }: Reservation): Share[] {
    if (budgets === undefined || boundNanoUsd === 0 || this.#shares.size === 0) return [];
    const named = new Set(budgets.map(({ id }) => id));
    return this.#matching(origin ?? null).filter(({ id, terms }) => terms.on_exceeded === "deny" && named.has(id));
  }

  /** What is missing for all of these together, by budget. */
  shortOf(reservations: readonly Reservation[], now: number): Map<string, number> {
    const wanted = new Map<Share, number>();
    for (const reservation of reservations) {
      for (const share of this.#refusing(reservation)) {
        wanted.set(share, (wanted.get(share) ?? 0) + reservation.boundNanoUsd);
        share.bound = Math.max(share.bound / 2, reservation.boundNanoUsd);
      }
    }
    const missing = [...wanted].map(([share, nanoUsd]) => [share.id, nanoUsd - roomOf(share, now)] as const);
    return new Map(missing.filter(([, nanoUsd]) => nanoUsd > 0));
  }

  /** The first share without room for the attempt; `null`: all have. */
  refusalOf(reservation: Reservation, now: number): BudgetShortage | null {
    const full = this.#refusing(reservation).find((share) => roomOf(share, now) < reservation.boundNanoUsd);
    if (full === undefined) return null;
    const remainingNanoUsd = roomOf(full, now) + Math.max(0, full.free);
    return {
      ...{ id: full.id, limitUsd: full.limitUsd || full.terms.limit_usd, remainingNanoUsd },
      isFitting: remainingNanoUsd >= reservation.boundNanoUsd,
      resetsAt: full.endAt === Number.MAX_SAFE_INTEGER ? null : full.endAt,
    };
  }

  /** What every share has room for; infinite where none says no. A lease that ends soon has none. */
  freeNanoUsd(now: number): number {
    let least = Number.POSITIVE_INFINITY;
    for (const share of this.#shares.values()) {
      if (share.terms.on_exceeded === "deny") least = Math.min(least, roomOf(share, now + FRESH_MS));
    }
    return Math.max(0, least);
  }

  /** Gives back, in the books here, what is not used; the pool is to be told. */
  lower(share: Share): void {
    const used = share.spent + share.reserved;
    if (share.held === used) return;
    share.held = used;
    share.isNews = true;
    this.#sql.exec("UPDATE share SET held = ? WHERE id = ?", used, share.id);
  }

  grant(share: Share, { held, until, freeNanoUsd, limitUsd, isTight }: Lease): void {
    // The budget may have been changed, or a period begun, while the answer was on its way.
    if (this.#shares.get(share.id) !== share) return;
    share.held = Math.max(share.held, held);
    share.until = until;
    share.free = freeNanoUsd;
    share.limitUsd = limitUsd;
    share.isTight = isTight;
    this.#sql.exec("UPDATE share SET held = ?, until = ? WHERE id = ?", share.held, until, share.id);
  }
}

/** Whole nano-USD that may still be reserved; 0 once the lease is over. */
export function roomOf({ held, spent, reserved, until, endAt }: Share, now: number): number {
  return until > now && endAt > now ? Math.max(0, held - spent - reserved) : 0;
}

export function partOf({ keyId, terms, startAt, held, spent, reserved }: Share, seq: number): Part {
  return { keyId, era: terms.era, seq, start: startAt, held, spent, reserved };
}

function readSource(source: SpendSource): Readonly<Record<string, unknown>> {
  const value = typeof source === "string" ? tryParseJson(source) : source;
  return (isJsonObject(value) ? value : {}) as Readonly<Record<string, unknown>>;
}
