/** What callers send, as the books take it. */
import { assertNanoUsd } from "./periods.ts";
import type { Reservation, SettledAttempt, SettleRow } from "./types.ts";

/** Throws `RangeError` for a number that makes no sense. */
export function assertReservation({ attempt, boundNanoUsd, boundTokens, expiresAt }: Reservation): void {
  assertNanoUsd(boundNanoUsd);
  for (const number of [attempt, boundTokens, expiresAt]) {
    if (!Number.isSafeInteger(number) || number < 0) throw new RangeError("A reservation holds a bad number.");
  }
}

/**
 * A Worker of the version before may still be sending while this one runs: its rows know the sum only. Numbers that make
 * no sense become none: one such row must not take its batch with it.
 */
export function readRow(row: SettleRow, now: number): SettleRow {
  const given: Partial<SettleRow> = row;
  const whole: SettledAttempt = {
    ...{ attempt: 0, provider: "", model: "", winner: true, outcome: row.status },
    ...{ costNanoUsd: row.costNanoUsd, basis: "", source: "none" },
  };
  return {
    ...row,
    attempts: given.attempts ?? [whole],
    tokens: countOf(given.tokens),
    unadmittedNanoUsd: countOf(given.unadmittedNanoUsd),
    startedAt: countOf(given.startedAt) || now,
    terms: given.terms ?? null,
  };
}

/** 0 for what is no count. */
export function countOf(value: number | undefined): number {
  return value !== undefined && Number.isSafeInteger(value) && value > 0 ? value : 0;
}
