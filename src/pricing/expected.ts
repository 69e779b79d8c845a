/** What a request will probably cost, to compare targets by. Pure. */
import type { Price } from "../catalog/model-facts.ts";
import { costOfRow, priceRowOf } from "./price-row.ts";

export interface ExpectedUse {
  readonly promptTokens: number;
  readonly outputTokens: number;
  /** Share of the prompt that is read from a cache, 0 to 1. */
  readonly cachedShare: number;
}

/** Nano-USD; `null` where the price of such a request is not known. `now`: epoch ms. */
export function expectedCost(price: Price, provider: string, use: ExpectedUse, now: number): number | null {
  const promptTokens = Math.ceil(use.promptTokens);
  const cachedTokens = Math.min(promptTokens, Math.round(promptTokens * use.cachedShare));
  const usage = {
    promptTokens,
    cachedTokens,
    completionTokens: Math.ceil(use.outputTokens),
    cacheWriteTokens: 0,
    reasoningTokens: 0,
  };
  const row = priceRowOf(price, usage, { provider, startedAt: now });
  return row === null ? null : costOfRow(usage, row);
}
