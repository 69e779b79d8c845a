/** What passes between a key's ledger and its callers. Plain data only: all of it crosses to a Durable Object. */
import type { Trace } from "../traces/schema.ts";

/** What a key may spend: the `budget` of a key record. */
export interface Budget {
  readonly limit_usd: number;
  readonly period: "day" | "month" | "total";
}

/** One finished request. Its trace and its cost are stored together or not at all. */
export interface SettleRow {
  readonly id: string;
  readonly status: string;
  readonly route: string;
  /** The trace as JSON text: strings cross to the object far cheaper than the nested value. */
  readonly trace: string;
  /** `null` when the price is unknown. */
  readonly costNanoUsd: number | null;
}

export type Admission =
  | { readonly ok: true /** `null` without a budget. */; readonly remainingNanoUsd: number | null }
  | { readonly ok: false; readonly reason: "budget" | "revoked" };

/** What was booked in one period, in UTC. */
export interface PeriodSpend {
  readonly spentNanoUsd: number;
  readonly requests: number;
  /** Requests whose cost is unknown, and which are therefore not in `spentNanoUsd`. */
  readonly unpricedRequests: number;
}

export interface TraceQuery {
  /** Clamped to 1 to 1000. */
  readonly limit: number;
  /** `next_cursor` of the page before. */
  readonly cursor?: string | undefined;
  readonly status?: string | undefined;
  /** As it stands on the trace: `flow/best-reasoning`. */
  readonly route?: string | undefined;
  /** Epoch ms, inclusive. */
  readonly since?: number | undefined;
  /** Epoch ms, exclusive. */
  readonly until?: number | undefined;
}

/** Newest first. */
export interface TracePage {
  readonly data: readonly Trace[];
  /** `null` on the last page. */
  readonly next_cursor: string | null;
}
