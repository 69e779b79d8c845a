/** What is spent per day, month and in all, in UTC: names of periods, and the table of their sums. */
import { spanOf } from "../lib/time/calendar.ts";
import type { Budget } from "./types.ts";

/** `2026-11-22`, `2026-11` or `total`, in UTC. `at` is epoch ms. */
export function periodName(period: "day" | "month" | "total", at: number): string {
  return period === "total" ? "total" : new Date(at).toISOString().slice(0, period === "day" ? 10 : 7);
}

export const UTC = "UTC";

/** When the budget's period that `at` belongs to is over, epoch ms; `null`: never. */
export function periodEnd(
  { period, time_zone = UTC }: Pick<Budget, "period" | "time_zone">,
  at: number,
): number | null {
  const { end } = spanOf(period, time_zone, at);
  return Number.isFinite(end) ? end : null;
}

/** The three periods that a moment belongs to. */
function periodsOf(at: number): readonly [string, string, string] {
  const day = periodName("day", at);
  return [day, day.slice(0, 7), "total"];
}

/** Money is whole nano-USD, and a sum that a double cannot hold exactly must not be booked. */
export function assertNanoUsd(value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError("An amount is not a whole number of nano-USD.");
}

export interface PeriodSum {
  readonly nanoUsd: number;
  readonly requests: number;
  readonly unpriced: number;
}

/** A sum as it is stored and exported. */
export interface PeriodRow {
  /** A day, a month or `total`, in UTC. */
  readonly period: string;
  readonly nano_usd: number;
  readonly requests: number;
  readonly unpriced_requests: number;
}

const NOTHING: PeriodSum = { nanoUsd: 0, requests: 0, unpriced: 0 };

/** What a request says of itself, as JSON or as an object with `app` and `tags`; `null`: unknown. */
export type SpendSource = string | object | null;

/** Gathers what one transaction adds, so that each period is written once. */
export class SpendChanges {
  readonly byPeriod = new Map<string, PeriodSum>();
  /** Each amount, and when it was reserved (epoch ms): for periods that are no days or months in UTC. */
  readonly moves: { readonly at: number; readonly nanoUsd: number; readonly source: SpendSource }[] = [];
  /** Whose request the next changes are about. */
  source: SpendSource = null;

  /** `at` is epoch ms and chooses the periods. `nanoUsd` is negative where a charge is corrected. */
  add(at: number, nanoUsd: number, requests = 0, unpriced = 0): void {
    if (nanoUsd === 0 && requests === 0 && unpriced === 0) return;
    if (nanoUsd !== 0) this.moves.push({ at, nanoUsd, source: this.source });
    for (const period of periodsOf(at)) {
      const sum = this.byPeriod.get(period) ?? NOTHING;
      this.byPeriod.set(period, {
        nanoUsd: sum.nanoUsd + nanoUsd,
        requests: sum.requests + requests,
        unpriced: sum.unpriced + unpriced,
      });
    }
  }
}

/** Periods whose sums are kept in memory: a day, a month and all time are in use. */
const MAX_KNOWN = 16;

export class PeriodSums {
  readonly #sql: SqlStorage;
  /** Every reservation asks for its budget's period. */
  readonly #known = new Map<string, PeriodSum>();

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Forgets what it knows: a transaction was undone. */
  load(): void {
    this.#known.clear();
  }

  of(period: string): PeriodSum {
    const known = this.#known.get(period) ?? this.#read(period);
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.set(period, known);
    return known;
  }

  #read(period: string): PeriodSum {
    const [row] = this.#sql
      .exec<{ nano_usd: number; requests: number; unpriced_requests: number }>(
        "SELECT nano_usd, requests, unpriced_requests FROM spend WHERE period = ?",
        period,
      )
      .toArray();
    if (row === undefined) return NOTHING;
    return { nanoUsd: row.nano_usd, requests: row.requests, unpriced: row.unpriced_requests };
  }

  /** What was booked on the days in UTC that touch the time from `start` to `end` (epoch ms, exclusive). */
  ofDays(start: number, end: number): PeriodSum {
    const query = `SELECT coalesce(sum(nano_usd), 0) AS nanoUsd, coalesce(sum(requests), 0) AS requests,
      coalesce(sum(unpriced_requests), 0) AS unpriced FROM spend
      WHERE length(period) = 10 AND period >= ? AND period <= ?`;
    const [first, last] = [periodName("day", start), periodName("day", end - 1)];
    return this.#sql.exec<{ nanoUsd: number; requests: number; unpriced: number }>(query, first, last).one();
  }

  /** Throws `RangeError` where a sum would leave the exact numbers, so that the caller's transaction ends. */
  add({ byPeriod }: SpendChanges): void {
    for (const [period, { nanoUsd, requests, unpriced }] of byPeriod) {
      this.#known.delete(period);
      const { nano_usd } = this.#sql
        .exec<{ nano_usd: number }>(
          `INSERT INTO spend (period, nano_usd, requests, unpriced_requests) VALUES (?, ?, ?, ?) ON CONFLICT (period) DO UPDATE SET nano_usd = nano_usd + excluded.nano_usd,
           requests = requests + excluded.requests, unpriced_requests = unpriced_requests + excluded.unpriced_requests
           RETURNING nano_usd`,
          period,
          nanoUsd,
          requests,
          unpriced,
        )
        .one();
      assertNanoUsd(nano_usd);
    }
  }

  all(): PeriodRow[] {
    const query = "SELECT period, nano_usd, requests, unpriced_requests FROM spend ORDER BY period";
    return this.#sql.exec<{ [Column in keyof PeriodRow]: PeriodRow[Column] }>(query).toArray();
  }

  /** Takes over what was spent elsewhere, where nothing was booked yet. Answers the sum that it took. */
  adopt(rows: readonly PeriodRow[]): number {
    if (this.all().length > 0) return 0;
    const changes = new SpendChanges();
    for (const { period, nano_usd: nanoUsd, requests, unpriced_requests: unpriced } of rows) {
      changes.byPeriod.set(period, { nanoUsd, requests, unpriced });
    }
    this.add(changes);
    return this.of("total").nanoUsd;
  }

  /** Every charge is in one day and one month, so three sums must be equal. */
  agree(): boolean {
    const { days, months, total } = this.#sql
      .exec<{ days: number; months: number; total: number }>(
        `SELECT coalesce(sum(CASE length(period) WHEN 10 THEN nano_usd END), 0) AS days,
         coalesce(sum(CASE length(period) WHEN 7 THEN nano_usd END), 0) AS months,
         coalesce(sum(CASE period WHEN 'total' THEN nano_usd END), 0) AS total FROM spend`,
      )
      .one();
    return days === total && months === total;
  }
}
