/**
 * What a request costs.
 *
 * Pure. Counts that make no sense and conditions without a known price have no cost: `null` says unknown, where a guess
 * would look like a bill.
 */
import type { Price } from "../catalog/model-facts.ts";
import { CATALOG_VERSION } from "../catalog/provider-terms.ts";
import type { Usage } from "../conversation/usage.ts";
import { type Conditions, costOfRow, type PriceRow, priceRowOf } from "./price-row.ts";
import { readUsage } from "./usage.ts";

export type { Conditions, PriceRow } from "./price-row.ts";

export interface Cost {
  /** What is booked; `null`: unknown. */
  readonly nanoUsd: number | null;
  /** It is the provider's own figure. */
  readonly isReported: boolean;
  /** The cost by the price table, in addition to a reported cost. `null` where the table says nothing. */
  readonly checkNanoUsd: number | null;
  /** What was charged by; `null` where the price is unknown. */
  readonly priceRow: PriceRow | null;
}

/** Cost of one attempt in nano-USD. What the provider says it charges is booked, and ours kept as a check. */
export function costOf(usage: Usage, price: Price | undefined, conditions: Conditions): Cost {
  const priceRow = price === undefined ? null : priceRowOf(price, usage, conditions);
  return booked(usage, priceRow);
}

function booked(usage: Usage, priceRow: PriceRow | null): Cost {
  const computed = priceRow === null ? null : costOfRow(usage, priceRow);
  const reported = usage.reportedNanoUsd;
  return reported === undefined
    ? { nanoUsd: computed, isReported: false, checkNanoUsd: null, priceRow }
    : { nanoUsd: reported, isReported: true, checkNanoUsd: computed, priceRow };
}

/** The provider charges over 1 % more or less than the table says: one of the two is wrong, and an operator should look. */
export function isOffCheck({ nanoUsd, checkNanoUsd }: Cost): boolean {
  if (nanoUsd === null || checkNanoUsd === null) return false;
  return Math.abs(nanoUsd - checkNanoUsd) > Math.max(nanoUsd, checkNanoUsd) / 100;
}

/** All that a cost was made of, to be stored with it. Plain JSON. */
export interface CostBasis {
  /** The provider's usage object; `null` where it sent none, or one too large to keep. */
  readonly raw: unknown;
  readonly usage: Usage;
  readonly row: PriceRow | null;
  readonly conditions: Conditions;
  readonly catalog: string;
}

/** Real ones have less than 1,000 characters. */
const MAX_RAW_LENGTH = 8_192;

export function basisOf(raw: unknown, usage: Usage, cost: Cost, conditions: Conditions): CostBasis {
  return { raw: keepable(raw), usage, row: cost.priceRow, conditions, catalog: CATALOG_VERSION };
}

function keepable(raw: unknown): unknown {
  try {
    return (JSON.stringify(raw)?.length ?? Number.POSITIVE_INFINITY) <= MAX_RAW_LENGTH ? raw : null;
  } catch {
    // Nested deeper than the stack.
    return null;
  }
}

/**
 * The cost again: by the row it was charged by, or by a corrected price of the model. It needs nothing but what is stored
 * with a charge, so that books can be checked, and a wrong price be put right, at any later time.
 */
export function reprice(basis: CostBasis, price?: Price): Cost {
  const { raw, usage, row, conditions } = basis;
  if (price === undefined) return booked(usage, row);
  return costOf(readUsage(raw, conditions.provider) ?? usage, price, conditions);
}
