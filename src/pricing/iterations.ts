/**
 * An answer that several models of one provider made: Anthropic's own fallback, an advisor. `iterations` lists what is
 * billed, each at the price of the model that it names.
 * https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback
 */
import type { Price } from "../catalog/model-facts.ts";
import type { Usage } from "../conversation/usage.ts";
import { isJsonObject } from "../lib/json.ts";
import { costOf } from "./price.ts";
import type { Conditions } from "./price-row.ts";
import { readUsage } from "./usage.ts";

export interface MixedCost {
  readonly nanoUsd: number;
  /** Every model has a price. If not, those without are in the sum at the price of the model that was asked. */
  readonly isComplete: boolean;
}

const NO_TOKENS = { promptTokens: 0, completionTokens: 0, cachedTokens: 0, cacheWriteTokens: 0, reasoningTokens: 0 };

/**
 * `null`: no model but the one that was asked, whose price is `own`, or no list. `usage` is of the whole answer: its fees
 * are in no iteration. Figures of an iteration are in chat's shape.
 */
export function costOfIterations(
  raw: unknown,
  usage: Usage,
  own: Price,
  priceOf: (model: string) => Price | undefined,
  conditions: Conditions,
): MixedCost | null {
  const listed = isJsonObject(raw) && Array.isArray(raw["iterations"]) ? raw["iterations"].filter(isJsonObject) : [];
  const prices = listed.map(({ model }) => (typeof model === "string" ? priceOf(model) : own));
  if (prices.every((price) => JSON.stringify(price) === JSON.stringify(own))) return null;
  const { webSearches = 0, fileSearches = 0, groundedPrompts = 0 } = usage;
  const fees = costOf({ ...NO_TOKENS, webSearches, fileSearches, groundedPrompts }, own, conditions).nanoUsd;
  let nanoUsd = fees ?? 0;
  let isComplete = fees !== null;
  for (const [at, each] of listed.entries()) {
    const counts = readUsage(each, conditions.provider);
    const price = prices[at];
    const cost = counts === null ? 0 : costOf(counts, price ?? own, conditions).nanoUsd;
    nanoUsd += cost ?? 0;
    isComplete &&= price !== undefined && cost !== null;
  }
  return { nanoUsd, isComplete };
}
