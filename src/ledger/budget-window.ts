/**
 * What a key has spent in its budget's running period.
 *
 * Days, months and all time in UTC are rows of the sums that are kept anyway, and a week in UTC is seven of them. The
 * period of another zone has a sum of its own, in one row: made from the charges when the period begins, or when the
 * budget's period or zone was changed, and kept up with every booking after that. Where retention has deleted charges of
 * the period, whole days in UTC that touch it stand in: that is never less than what was spent.
 */
import { DAY_MS, dayStart, spanOf } from "../lib/time/calendar.ts";
import type { Charges } from "./charges.ts";
import type { Folded } from "./folded.ts";
import { type PeriodSums, periodName, type SpendChanges, UTC } from "./periods.ts";
import type { Traces } from "./trace/traces.ts";
import type { Budget } from "./types.ts";

type Window = {
  readonly period: string;
  readonly time_zone: string;
  /** Epoch ms, as the next one. */
  readonly start_at: number;
  readonly end_at: number;
  readonly nano_usd: number;
};

/** The last day whose name sorts behind all before it. */
const LAST_DAY = Date.UTC(9999, 11, 31);
const COLUMNS = "period, time_zone, start_at, end_at, nano_usd";

/** Where the sum of a new period comes from. */
export interface Booked {
  readonly sums: PeriodSums;
  readonly charges: Charges;
  readonly traces: Traces;
  readonly folded: Folded;
}

export class BudgetWindow {
  readonly #sql: SqlStorage;
  readonly #booked: Booked;
  #window: Window | null = null;

  constructor(sql: SqlStorage, booked: Booked) {
    this.#sql = sql;
    this.#booked = booked;
  }

  load(): void {
    this.#window = this.#sql.exec<Window>(`SELECT ${COLUMNS} FROM budget_window`).toArray()[0] ?? null;
  }

  /** Nano-USD. To be called in a transaction: it may begin a new period. */
  spentNanoUsd({ period, time_zone = UTC }: Pick<Budget, "period" | "time_zone">, now: number): number {
    const { sums } = this.#booked;
    const { start, end } = spanOf(period, time_zone, now);
    if (!Number.isFinite(start)) return sums.of("total").nanoUsd;
    if (time_zone === UTC && period !== "total") {
      return period === "week" ? sums.ofDays(start, end).nanoUsd : sums.of(periodName(period, now)).nanoUsd;
    }
    const known = this.#window;
    const isRunning = known?.period === period && known.time_zone === time_zone && known.start_at === start;
    return isRunning ? known.nano_usd : this.#begin({ period, time_zone, start_at: start, end_at: end });
  }

  #begin(of: Omit<Window, "nano_usd">): number {
    const window = { ...of, nano_usd: spentSince(this.#booked, of.start_at, of.end_at) };
    this.#sql.exec(
      `INSERT OR REPLACE INTO budget_window (singleton, ${COLUMNS}) VALUES (1, ?, ?, ?, ?, ?)`,
      ...[window.period, window.time_zone, window.start_at, window.end_at, window.nano_usd],
    );
    this.#window = window;
    return window.nano_usd;
  }

  /** Makes the running sum again: another release has booked without it. Belongs to a transaction. */
  recount(): void {
    if (this.#window === null) return;
    const { nano_usd: _, ...period } = this.#window;
    this.#begin(period);
  }

  /** Keeps the running sum equal to what was booked in its period. */
  add({ moves }: SpendChanges): void {
    const window = this.#window;
    if (window === null) return;
    const inside = moves.filter(({ at }) => at >= window.start_at && at < window.end_at);
    const change = inside.reduce((sum, { nanoUsd }) => sum + nanoUsd, 0);
    if (change === 0) return;
    this.#window = { ...window, nano_usd: window.nano_usd + change };
    this.#sql.exec("UPDATE budget_window SET nano_usd = ?", this.#window.nano_usd);
  }
}

/**
 * What was booked from `start` to `end` (epoch ms): by the charges where all are kept, else by whole days in UTC. Where
 * none was deleted and they still add up to less than their days, the sums came from another deployment.
 */
export function spentSince({ sums, charges, traces }: Booked, start: number, end: number): number {
  const whole = sums.ofDays(start, Math.min(end, LAST_DAY)).nanoUsd;
  const ofDays = (): number => charges.sumBetween(dayStart(start), dayStart(end - 1) + DAY_MS);
  const areKept = traces.reachBackTo(start) && (traces.hasDeleted || ofDays() >= whole);
  return areKept ? charges.sumBetween(start, end) : whole;
}
