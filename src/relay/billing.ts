/**
 * What attempts cost: records in, bills out. Pure.
 *
 * A bill is made from what is known: the provider's own figures, else a count of what came. What is not known is never
 * taken for zero: an answer that broke off costs at least the prompt, which the provider has read, and where the model
 * may have thought unseen and the attempt has a bound, the bound.
 */
import type { Price } from "../catalog/model-facts.ts";
import type { Usage } from "../conversation/usage.ts";
import { costOfIterations, type MixedCost } from "../pricing/iterations.ts";
import { basisOf, type Conditions, type CostBasis, costOf } from "../pricing/price.ts";
import { readConditions } from "../pricing/surcharge-rules.ts";
import { countedUsage, readUsage } from "../pricing/usage.ts";
import type { UsageSource } from "../traces/schema.ts";
import type { Received } from "./received.ts";
import type { AbortReason } from "./types.ts";

/** What an attempt is charged by, known before it starts. */
export interface Tariff {
  readonly price: Price | undefined;
  /** The price of another model of the provider's at the same time; `undefined`: it is unknown. */
  readonly priceOf?: ((model: string) => Price | undefined) | undefined;
  /** Names the row of prices it was found in, for the trace; `null`: there is none. */
  readonly priceRow: string | null;
  /** Address the provider is called at: it may decide the region. */
  readonly baseUrl: string;
  /** Does the model think in answer to this request? `undefined`: unknown. */
  readonly thinks: boolean | undefined;
  /** The stream says when the model thinks, even where it does not show what. */
  readonly announcesThinking: boolean;
}

/** As much of an attempt's record as its bill is made from. */
export interface BillableAttempt {
  readonly provider: string;
  readonly startedAt: number;
  /** The most it can cost; 0 where it is not needed. */
  readonly boundNanoUsd: number;
  readonly tariff: Tariff;
  readonly received: Received;
  readonly status: number | null;
  /** Why we ended it; `null` where we did not. */
  readonly endedBy: AbortReason | null;
  /** The router itself failed while the provider's answer was under way. */
  readonly hasFault: boolean;
  /** The key was refused after the call had been sent: the deployment pays. */
  readonly isUnadmitted: boolean;
}

/** Tokens of an answer, where the figures come from, and what they cost. */
export interface Bill {
  readonly usage: Usage;
  readonly usageSource: UsageSource;
  /** 0 where nothing is billed, `null` where the price is unknown. */
  readonly costNanoUsd: number | null;
  /** What the cost was made of, for the ledger; `null` where nothing is billed. */
  readonly costBasis: CostBasis | null;
}

export const NO_USAGE: Usage = {
  promptTokens: 0,
  completionTokens: 0,
  cachedTokens: 0,
  cacheWriteTokens: 0,
  reasoningTokens: 0,
};

export const NO_BILL: Bill = { usage: NO_USAGE, usageSource: "none", costNanoUsd: 0, costBasis: null };

/** Ends of ours that a provider at work may bill. */
const MAY_BE_BILLED: ReadonlySet<AbortReason | null> = new Set([
  ...(["client", "latency_budget", "hedge_lost", "first_token", "total", "idle", "too_large"] as const),
]);

/** What the key pays for an attempt. `promptTokens`: our own count of the request's text. */
export function billOf(attempt: BillableAttempt, promptTokens: () => number): Bill {
  return attempt.isUnadmitted || !isBilled(attempt) ? NO_BILL : fullBill(attempt, promptTokens);
}

/**
 * What the provider may bill for a call that was ended because the key was refused: its own figures where it sent them,
 * else the most that the call can cost. Without a bound the prompt is all that is known. Nano-USD.
 */
export function unadmittedNanoUsd(attempt: BillableAttempt, promptTokens: () => number): number {
  if (!attempt.isUnadmitted || !isServed(attempt)) return 0;
  const isAtWork = attempt.received.isWhole || attempt.received.hasContent || attempt.endedBy !== null;
  if (!isAtWork) return 0;
  const { costNanoUsd, usageSource } = fullBill(attempt, promptTokens);
  const isExact = usageSource === "upstream" && attempt.received.isWhole && costNanoUsd !== null;
  return isExact ? costNanoUsd : Math.max(attempt.boundNanoUsd, costNanoUsd ?? 0);
}

/** The provider has not refused the call, which would cost nothing. */
function isServed({ status, received }: BillableAttempt): boolean {
  return status === null || status < 300 || received.hasAnsweredCall;
}

function isBilled(attempt: BillableAttempt): boolean {
  const { received, endedBy, hasFault } = attempt;
  const hasAnswer = received.isWhole || received.hasContent || received.hasAnsweredCall;
  return isServed(attempt) && (hasAnswer || hasFault || MAY_BE_BILLED.has(endedBy));
}

function fullBill(attempt: BillableAttempt, promptTokens: () => number): Bill {
  const { provider, startedAt, tariff, received } = attempt;
  const reported = readUsage(received.rawUsage, provider);
  const isExact = reported !== null && received.isWhole;
  const usage = isExact ? reported : atLeast(reported, received, promptTokens);
  const conditions = readConditions(received.rawUsage, { provider, startedAt, baseUrl: tariff.baseUrl });
  const mixed = mixedCost(tariff, received, usage, conditions);
  // Kept as one figure: no row of one model's prices gives it again.
  const charged = mixed === null ? usage : { ...usage, reportedNanoUsd: mixed.nanoUsd };
  const cost = costOf(charged, mixed === null ? tariff.price : undefined, conditions);
  const bill: Bill = {
    usage,
    usageSource: isExact || usage === reported ? "upstream" : "counted",
    costNanoUsd: cost.nanoUsd,
    costBasis: basisOf(received.rawUsage, charged, cost, conditions),
  };
  if (mixed?.isComplete === false) return atBound(bill, attempt.boundNanoUsd);
  return isBound(attempt, bill, reported, isExact) ? atBound(bill, attempt.boundNanoUsd) : bill;
}

/** `null`: one model made the answer, or the price of the one that was asked is unknown. */
function mixedCost(
  { price, priceOf }: Tariff,
  { rawUsage }: Received,
  usage: Usage,
  conditions: Conditions,
): MixedCost | null {
  if (price === undefined || priceOf === undefined || usage.reportedNanoUsd !== undefined) return null;
  return costOfIterations(rawUsage, usage, price, priceOf, conditions);
}

/** The provider's partial figures and what came behind them. Without figures, our count of both sides. */
function atLeast(reported: Usage | null, received: Received, promptTokens: () => number): Usage {
  if (reported === null) return countedUsage(received.callTokens ?? promptTokens(), received.tokens);
  if (received.runningTokens > 0) return { ...reported, promptTokens: reported.promptTokens + received.runningTokens };
  if (received.isUsageBehind) {
    return { ...reported, completionTokens: Math.max(reported.completionTokens, Math.ceil(received.tokens)) };
  }
  const further = Math.ceil(received.tokensBeyondUsage);
  return further <= 0 ? reported : { ...reported, completionTokens: reported.completionTokens + further };
}

/**
 * Costs an attempt all that was held for it? What has a bound is never free just because its bill cannot be computed.
 */
function isBound(attempt: BillableAttempt, bill: Bill, reported: Usage | null, isExact: boolean): boolean {
  if (attempt.boundNanoUsd <= 0) return false;
  if (bill.costNanoUsd === null) return true;
  return !isExact && ((attempt.hasFault && reported === null) || mayHideThoughts(attempt, reported));
}

/** May the model have thought more than was streamed or reported? */
function mayHideThoughts({ tariff, received }: BillableAttempt, reported: Usage | null): boolean {
  if (tariff.thinks === false || (reported !== null && reported.reasoningTokens > 0)) return false;
  if (received.hidesReasoning) return true;
  return !received.showsReasoning && !tariff.announcesThinking;
}

function atBound(bill: Bill, boundNanoUsd: number): Bill {
  return { ...bill, costNanoUsd: Math.max(bill.costNanoUsd ?? 0, boundNanoUsd), usageSource: "upper_bound" };
}

/** The cost of all `bills`; `null` when the price of one is unknown. Nano-USD. */
export function sumOf(bills: readonly Bill[]): number | null {
  let sum = 0;
  for (const { costNanoUsd } of bills) {
    if (costNanoUsd === null) return null;
    sum += costNanoUsd;
  }
  return sum;
}
