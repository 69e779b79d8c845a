/**
 * Puts right what charges of a target cost, in steps that each are one transaction and may be repeated.
 *
 * Charges that are kept are corrected one by one; those that are deleted by the sums of their hours. The difference is
 * booked in the periods in which the charges were reserved. What the trail has to know waits here until it was taken.
 */
import type { Price } from "../catalog/model-facts.ts";
import { isJsonObject, parseJson, tryParseJson } from "../lib/json.ts";
import { toUsd } from "../lib/money.ts";
import { type BookRow, PriceBook } from "../prices/book.ts";
import { costOfFolded, readBasis, recost, unknownLengths } from "../pricing/fold.ts";
import type { Account } from "./account.ts";
import { type Folded, type FoldedRow, type Place, placeOf } from "./folded.ts";
import type { SpendChanges } from "./periods.ts";

const HOUR_MS = 3_600_000;
/** Charges and folded rows that one step looks at. */
const STEP = 200;
/** How long the sums of a job are remembered. */
const KEPT_MS = 30 * 86_400_000;

export interface RepriceOrder {
  readonly job: string;
  readonly provider: string;
  readonly model: string;
  /** Epoch ms; `until` is exclusive. */
  readonly since: number;
  readonly until: number;
  /** `null`: the price by the record of its time. */
  readonly price: Price | null;
  /** The operators' rows of the model, by `from`. */
  readonly rows: readonly BookRow[];
  readonly includeReported: boolean;
  readonly dryRun: boolean;
}

/** What the trail has to add to its sums. */
export interface Adjustment {
  readonly seq: number;
  /** First ms of the hour in which the requests arrived. */
  readonly at: number;
  readonly provider: string;
  readonly model: string;
  readonly place: Place;
  readonly nanoUsd: number;
  /** Requests whose cost is no longer unknown: of the target, its provider, its model, and in whole. */
  readonly priced: readonly [target: number, provider: number, model: number, whole: number];
  /** Traces that the trail has, with what they cost now; `null`: still unknown. */
  readonly traces: readonly { readonly id: string; readonly repricedUsd: number | null }[];
}

export interface RepriceProgress {
  readonly isDone: boolean;
  readonly charges: number;
  readonly beforeNanoUsd: number;
  readonly afterNanoUsd: number;
  readonly isExact: boolean;
  /** What is still to be handed to the trail. */
  readonly adjustments: readonly Adjustment[];
}

export interface RepriceCheck {
  /** The first hour whose charges are kept one by one or by the hour, epoch ms; 0: all are. */
  readonly firstHour: number;
  /** Charges that can only be corrected by whole hours are inside hours that the span cuts. */
  readonly needsWholeHours: boolean;
  /** Lengths of prompts at which the price changes and that sums cannot be told apart by. */
  readonly unknownLengths: readonly number[];
}

type Job = {
  cursor: string;
  is_done: number;
  charges: number;
  before_nano_usd: number;
  after_nano_usd: number;
  is_exact: number;
};
type Kept = {
  trace_id: string;
  attempt: number;
  provider: string;
  model: string;
  reserved_at: number;
  nano_usd: number | null;
  source: string;
  basis: string;
};

/** Where a job goes on: among the charges, then among the folded rows. */
type Cursor =
  | { readonly of: "charges"; readonly after: readonly [string, number] }
  | { readonly of: "folded"; readonly after: FoldedRow["keys"] };

export class Repricing {
  readonly #sql: SqlStorage;
  readonly #account: Account;
  readonly #folded: Folded;

  constructor(sql: SqlStorage, account: Account, folded: Folded) {
    this.#sql = sql;
    this.#account = account;
    this.#folded = folded;
  }

  check({ provider, model, since, until, price }: RepriceOrder): RepriceCheck {
    const { folded_since } = this.#sql.exec<{ folded_since: number }>("SELECT folded_since FROM account").one();
    const target = { provider, model, since, until };
    const rows = this.#folded.rows(target, [0, "", ""], 1);
    const isCut = (at: number): boolean => {
      const hour = at - (at % HOUR_MS);
      return (
        at % HOUR_MS !== 0 && this.#folded.rows({ ...target, since: hour, until: hour + 1 }, [0, "", ""], 1).length > 0
      );
    };
    return {
      firstHour: folded_since,
      needsWholeHours: isCut(since) || isCut(until),
      unknownLengths: rows.length > 0 && price !== null ? unknownLengths(price) : [],
    };
  }

  /** One step. `deliveredSeq`: what the trail has taken up to it. Changes are booked by the caller. */
  step(order: RepriceOrder, deliveredSeq: number, now: number, changes: SpendChanges): RepriceProgress {
    this.#sql.exec("DELETE FROM adjustment WHERE job = ? AND seq <= ?", order.job, deliveredSeq);
    this.#sql.exec("DELETE FROM repricing WHERE started_at < ?", now - KEPT_MS);
    this.#sql.exec(
      `INSERT OR IGNORE INTO repricing (job, started_at, cursor, is_done, charges, before_nano_usd, after_nano_usd, is_exact)
       VALUES (?, ?, ?, 0, 0, 0, 0, 1)`,
      ...[order.job, now, JSON.stringify({ of: "charges", after: ["", -1] } satisfies Cursor)],
    );
    const job = this.#job(order.job);
    if (job.is_done === 0 && !this.#hasWaiting(order.job)) {
      const cursor = parseJson(job.cursor) as Cursor;
      const sums = cursor.of === "charges" ? this.#charges(order, cursor, changes) : this.#rows(order, cursor, changes);
      this.#sql.exec(
        `UPDATE repricing SET cursor = ?, is_done = ?, charges = charges + ?, before_nano_usd = before_nano_usd + ?,
         after_nano_usd = after_nano_usd + ?, is_exact = min(is_exact, ?) WHERE job = ?`,
        ...[JSON.stringify(sums.next ?? cursor), sums.next === null ? 1 : 0, sums.charges, sums.before, sums.after],
        ...[sums.isExact ? 1 : 0, order.job],
      );
    }
    return this.#progress(order.job);
  }

  #job(job: string): Job {
    return this.#sql.exec<Job>("SELECT * FROM repricing WHERE job = ?", job).one();
  }

  #hasWaiting(job: string): boolean {
    return this.#sql.exec("SELECT 1 FROM adjustment WHERE job = ? LIMIT 1", job).toArray().length > 0;
  }

  #progress(name: string): RepriceProgress {
    const job = this.#job(name);
    const waiting = this.#sql
      .exec<{ seq: number; body: string }>("SELECT seq, body FROM adjustment WHERE job = ? ORDER BY seq", name)
      .toArray();
    return {
      isDone: job.is_done === 1 && waiting.length === 0,
      charges: job.charges,
      beforeNanoUsd: job.before_nano_usd,
      afterNanoUsd: job.after_nano_usd,
      isExact: job.is_exact === 1,
      // Written by `#tell` from an `Adjustment` without its number.
      adjustments: waiting.map(({ seq, body }) => ({ ...(parseJson(body) as Omit<Adjustment, "seq">), seq })),
    };
  }

  #charges(order: RepriceOrder, { after }: Extract<Cursor, { of: "charges" }>, changes: SpendChanges): StepSums {
    const charges = this.#sql
      .exec<Kept>(
        `SELECT trace_id, attempt, provider, model, reserved_at, nano_usd, source, basis FROM charge
         WHERE (trace_id, attempt) > (?, ?) ORDER BY trace_id, attempt LIMIT ?`,
        ...[...after, STEP],
      )
      .toArray();
    const sums = new StepTally();
    for (const charge of charges) this.#charge(order, charge, sums, changes);
    for (const adjustment of sums.adjustments()) this.#tell(order.job, adjustment);
    const last = charges.at(-1);
    const next: Cursor =
      charges.length < STEP || last === undefined
        ? { of: "folded", after: [0, "", ""] }
        : { of: "charges", after: [last.trace_id, last.attempt] };
    return { ...sums.sums, next, isExact: true };
  }

  #charge(order: RepriceOrder, charge: Kept, sums: StepTally, changes: SpendChanges): void {
    const { provider, model, reserved_at: at } = charge;
    const isMeant = provider === order.provider && model === order.model && at >= order.since && at < order.until;
    // What was charged at its bound was never counted: no price says what it cost.
    if (!isMeant || charge.source === "upper_bound") return;
    const basis = readBasis(charge.basis);
    const isReported = basis?.usage.reportedNanoUsd !== undefined;
    const price = basis === null ? null : priceFor(order, basis.conditions.startedAt);
    if (basis === null || price === null || (isReported && !order.includeReported)) return;
    const cost = recost(basis, price);
    if (cost === null) return;
    sums.add(1, charge.nano_usd ?? 0, cost.nanoUsd);
    if (order.dryRun || cost.nanoUsd === charge.nano_usd) return;
    const others = this.#sql
      .exec<{ provider: string; model: string; nano_usd: number | null; reserved_at: number }>(
        "SELECT provider, model, nano_usd, reserved_at FROM charge WHERE trace_id = ? AND attempt <> ?",
        ...[charge.trace_id, charge.attempt],
      )
      .toArray();
    this.#sql.exec(
      "UPDATE charge SET nano_usd = ?, basis = ? WHERE trace_id = ? AND attempt = ?",
      ...[cost.nanoUsd, JSON.stringify({ ...basis, row: cost.row }), charge.trace_id, charge.attempt],
    );
    const [trace] = this.#sql
      .exec<{ body: string }>("SELECT body FROM request WHERE id = ?", charge.trace_id)
      .toArray();
    const place = placeOf(trace?.body ?? "");
    const unknown = others.filter(({ nano_usd }) => nano_usd === null);
    const isNowPriced = charge.nano_usd === null && unknown.length === 0;
    const firstAt = Math.min(at, ...others.map(({ reserved_at }) => reserved_at));
    changes.source = trace?.body === undefined || trace.body === "" ? null : trace.body;
    changes.add(at, cost.nanoUsd - (charge.nano_usd ?? 0));
    if (isNowPriced) changes.add(firstAt, 0, 0, -1);
    const total = unknown.length > 0 ? null : others.reduce((sum, each) => sum + (each.nano_usd ?? 0), cost.nanoUsd);
    const repricedUsd = total === null ? null : toUsd(total);
    this.#noteOnTrace(charge.trace_id, trace?.body ?? "", repricedUsd);
    if (place === null) return;
    const isFirst = (of: (each: { provider: string; model: string }) => boolean): number =>
      charge.nano_usd === null && !unknown.some(of) ? 1 : 0;
    sums.note({
      ...{ at: place.at ?? at - (at % HOUR_MS), provider, model, place: withoutTime(place) },
      nanoUsd: cost.nanoUsd - (charge.nano_usd ?? 0),
      priced: [
        isFirst((each) => each.provider === provider && each.model === model),
        isFirst((each) => each.provider === provider),
        isFirst((each) => each.model === model),
        isNowPriced ? 1 : 0,
      ],
      traces: [{ id: charge.trace_id, repricedUsd }],
    });
  }

  #noteOnTrace(id: string, body: string, repricedUsd: number | null): void {
    const trace = tryParseJson(body);
    if (!isJsonObject(trace) || repricedUsd === null) return;
    this.#sql.exec(
      "UPDATE request SET body = ? WHERE id = ?",
      JSON.stringify({ ...trace, repriced_usd: repricedUsd }),
      id,
    );
  }

  #rows(order: RepriceOrder, { after }: Extract<Cursor, { of: "folded" }>, changes: SpendChanges): StepSums {
    const { provider, model } = order;
    const rows = this.#folded.rows(order, after, STEP);
    const sums = new StepTally();
    for (const row of rows) {
      const price = priceFor(order, row.hour);
      if (price === null || (row.shape.isReported && !order.includeReported)) continue;
      const cost = costOfFolded(row.usage, row, price, provider, row.hour);
      if (cost === null) continue;
      // Each request was rounded up by itself, the sum is once: a difference that is only that is none.
      const isSame = !row.shape.isUnpriced && cost <= row.nanoUsd && row.nanoUsd - cost < row.count;
      const nanoUsd = isSame ? row.nanoUsd : cost;
      const difference = nanoUsd - row.nanoUsd;
      sums.add(row.count, row.nanoUsd, nanoUsd);
      if (order.dryRun || isSame) continue;
      this.#folded.correct(provider, model, row, nanoUsd);
      this.#account.count({ deletedNanoUsd: difference });
      changes.source = { app: row.place.app, tags: row.place.tags };
      changes.add(row.hour, difference);
      if (row.unpriced > 0) changes.add(row.hour, 0, 0, -row.unpriced);
      sums.note({
        ...{ at: row.place.at ?? row.hour, provider, model, place: withoutTime(row.place), nanoUsd: difference },
        priced: [row.unpriced, row.unpriced, row.unpriced, row.unpriced],
        traces: [],
      });
    }
    for (const adjustment of sums.adjustments()) this.#tell(order.job, adjustment);
    const next: Cursor | null = rows.length < STEP ? null : { of: "folded", after: rows.at(-1)?.keys ?? after };
    return { ...sums.sums, next, isExact: sums.sums.charges === 0 };
  }

  #tell(job: string, adjustment: Omit<Adjustment, "seq">): void {
    this.#sql.exec("INSERT INTO adjustment (job, body) VALUES (?, ?)", job, JSON.stringify(adjustment));
  }
}

interface Sums {
  readonly charges: number;
  readonly before: number;
  readonly after: number;
}

interface StepSums extends Sums {
  /** `null`: the job is through. */
  readonly next: Cursor | null;
  readonly isExact: boolean;
}

/** What one step adds up. */
class StepTally {
  sums: Sums = { charges: 0, before: 0, after: 0 };
  readonly #notes = new Map<string, Omit<Adjustment, "seq">>();

  add(charges: number, before: number, after: number): void {
    this.sums = {
      charges: this.sums.charges + charges,
      before: this.sums.before + before,
      after: this.sums.after + after,
    };
  }

  note(note: Omit<Adjustment, "seq">): void {
    const name = JSON.stringify([note.at, note.place]);
    const known = this.#notes.get(name);
    const plus = (at: number): number => (known?.priced[at] ?? 0) + (note.priced[at] ?? 0);
    this.#notes.set(name, {
      ...note,
      nanoUsd: (known?.nanoUsd ?? 0) + note.nanoUsd,
      priced: [plus(0), plus(1), plus(2), plus(3)],
      traces: [...(known?.traces ?? []), ...note.traces],
    });
  }

  adjustments(): Iterable<Omit<Adjustment, "seq">> {
    return this.#notes.values();
  }
}

function priceFor({ provider, model, price, rows }: RepriceOrder, at: number): Price | null {
  if (price !== null) return price;
  const book = new PriceBook({ prices: { [`${provider}/${model}`]: [...rows] }, spend_tags: [] });
  return book.find(provider, model, at)?.price ?? null;
}

const withoutTime = ({ at: _, ...place }: Place): Place => place;
