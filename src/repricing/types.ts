/** What passes between the admin endpoint, a repricing's object and the ledgers. Plain data. */
import type { RepriceOrder } from "../ledger/repricing.ts";

/** What an operator asks for, with the price and the rows to use. */
export type RepriceRequest = Omit<RepriceOrder, "job">;

export interface RepriceState {
  readonly id: string;
  readonly status: "running" | "done" | "failed";
  readonly provider: string;
  readonly model: string;
  /** ISO 8601 UTC. */
  readonly since: string;
  readonly until: string;
  readonly dry_run: boolean;
  /** Charges that the price says something about, whether it changes them or not. */
  readonly charges: number;
  /** Keys that have such charges. */
  readonly keys: number;
  readonly before_usd: number;
  readonly after_usd: number;
  readonly difference_usd: number;
  /** All charges were corrected one by one. */
  readonly exact: boolean;
  readonly as_of: string;
  /** Why it failed. */
  readonly error?: string;
}

export type RepriceRefusal =
  | { readonly reason: "range_not_kept"; readonly firstHour: number }
  | { readonly reason: "whole_hours" }
  | { readonly reason: "unknown_lengths"; readonly lengths: readonly number[] };

export type StartResult =
  | { readonly ok: true; readonly state: RepriceState }
  | ({ readonly ok: false } & RepriceRefusal);
