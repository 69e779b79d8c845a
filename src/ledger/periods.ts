/** What is spent per day, month and in all: names of periods, and the table of their sums. */
import type { Budget } from "./types.ts";

/** `2026-11-22`, `2026-11` or `total`, in UTC. `at` is epoch ms. */
export function periodName(period: Budget["period"], at: number): string {
  // A period of a later release: all that was ever spent is never too little.
  if (period !== "day" && period !== "month") return "total";
  return new Date(at).toISOString().slice(0, period === "day" ? 10 : 7);
}

/** When the period that `at` belongs to is over, epoch ms; `null`: never. */
export function periodEnd(period: Budget["period"], at: number): number | null {
  if (period === "total") return null;
  const date = new Date(at);
  const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()];
  return period === "day" ? Date.UTC(year, month, day + 1) : Date.UTC(year, month + 1, 1);
}

/** The three periods that a moment belongs to. */
export function periodsOf(at: number): readonly [string, string, string] {
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

const NOTHING: PeriodSum = { nanoUsd: 0, requests: 0, unpriced: 0 };

/** Gathers what one transaction adds, so that each period is written once. */
export class SpendChanges {
  readonly byPeriod = new Map<string, PeriodSum>();

  /** `at` is epoch ms and chooses the periods. `nanoUsd` is negative where a charge is corrected. */
  add(at: number, nanoUsd: number, requests = 0, unpriced = 0): void {
    if (nanoUsd === 0 && requests === 0 && unpriced === 0) return;
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

export class PeriodSums {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  of(period: string): PeriodSum {
    const [row] = this.#sql
      .exec<{ nano_usd: number; requests: number; unpriced_requests: number }>(
        "SELECT nano_usd, requests, unpriced_requests FROM spend WHERE period = ?",
        period,
      )
      .toArray();
    if (row === undefined) return NOTHING;
    return { nanoUsd: row.nano_usd, requests: row.requests, unpriced: row.unpriced_requests };
  }

  /** Throws `RangeError` where a sum would leave the exact numbers, so that the caller's transaction ends. */
  add({ byPeriod }: SpendChanges): void {
    for (const [period, { nanoUsd, requests, unpriced }] of byPeriod) {
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
